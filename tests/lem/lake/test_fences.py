"""Fences of a lake on a disk; those on S3 are in tests/integration, those of the registry beside its tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given

from lem.errors import FencedError, LakeError
from lem.lake import Lake
from lem.lake.fences import FILE, FileFences
from lem.lake.files import leftovers
from tests.lem.builders import PROPERTY
from tests.lem.fencing import PATHS, check_order, orders


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@PROPERTY
@given(orders)
def test_whatever_the_order_the_latest_step_has_the_last_word(order):
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        check_order(
            order,
            lake.fenced,
            lambda step, path, number: step.write_bytes(path, str(number).encode()) and None,
            lambda: {path: int(lake.read_bytes(path)) for path in PATHS if lake.exists(path)},
        )


def test_the_bytes_of_an_object_do_not_depend_on_the_step_that_wrote_it(lake, tmp_path):
    lake.fenced().write_bytes("small/x", b"one")
    Lake(str(tmp_path / "other")).write_bytes("small/x", b"one")
    one, other = (tmp_path / name / "small" / "x" for name in ("lake", "other"))
    assert one.read_bytes() == other.read_bytes()
    assert sorted(path.name for path in (tmp_path / "lake" / "small").iterdir()) == ["x"]


def test_tokens_rise_across_processes_and_threads(lake):
    with ThreadPoolExecutor(4) as pool:
        tokens = list(pool.map(lambda _: lake.fenced()._token, range(40)))
    assert len(set(tokens)) == 40
    script = "import sys; from lem.lake import Lake; print(Lake(sys.argv[1]).fenced()._token)"
    done = subprocess.run([sys.executable, "-c", script, lake.url], capture_output=True, text=True, check=True)
    assert int(done.stdout) > max(tokens)


def test_many_steps_may_open_a_new_lake_at_once(tmp_path):
    for number in range(80):
        root, start = tmp_path / str(number), threading.Barrier(12)

        def first(_, root=root, start=start):
            start.wait()
            return FileFences(root).take()

        with ThreadPoolExecutor(12) as pool:
            assert len(set(pool.map(first, range(12)))) == 12


def test_a_counter_that_is_lost_begins_above_what_it_gave(lake, monkeypatch):
    given = [lake.fenced()._token for _ in range(3)][-1]
    for path in Path(lake.root).glob(f"{FILE}*"):
        path.unlink()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)
    assert lake.fenced()._token > given


WRITER = """
import sys
from lem.errors import FencedError
from lem.lake import Lake
lake = Lake(sys.argv[1])
step = lake.fenced()
print(step._token, flush=True)
sys.stdin.readline()
for turn in range(int(sys.argv[2])):
    try:
        step.write_bytes("small/x", str(step._token).encode())
    except FencedError:
        pass
"""


def test_of_processes_that_write_one_object_at_once_the_latest_wins(lake):
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, lake.url, "40"], **pipe) for _ in range(3)]
    tokens = [int(writer.stdout.readline()) for writer in writers]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert int(lake.read_bytes("small/x")) == max(tokens)
    assert leftovers(Path(lake.root), -1) == []


KILLED = """
import os, signal, sys
from lem.lake import fences
from lem.lake import Lake
step = Lake(sys.argv[1]).fenced()
refuse, calls = fences.refuse, []
def killed(*what):
    refuse(*what)
    calls.append(what)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
fences.refuse = killed
step.write_bytes("small/x", b"killed")
"""


def test_a_step_killed_between_fence_and_object_leaves_the_old_object_and_no_lock(lake):
    before = lake.fenced()
    before.write_bytes("small/x", b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, lake.url], check=False)
    assert done.returncode == -signal.SIGKILL
    assert lake.read_bytes("small/x") == b"old"
    with pytest.raises(FencedError):
        before.write_bytes("small/x", b"orphan")
    lake.fenced().write_bytes("small/x", b"next")
    assert lake.read_bytes("small/x") == b"next"
    assert [path.name[:3] for path in leftovers(Path(lake.root), -1)] == [".x."]
    assert leftovers(Path(lake.root), 3600) == []


def test_a_later_step_that_comes_between_fence_and_object_is_not_overwritten(lake, monkeypatch):
    first, second = lake.fenced(), lake.fenced()
    published = FileFences._published

    def overtaken(self, path, token):
        held = published(self, path, token)
        execute = self._database.execute

        class Database:
            def execute(_, sql, *values):
                done = execute(sql, *values)
                if sql == "COMMIT":
                    monkeypatch.undo()
                    self._database = real
                    second.write_bytes("small/x", b"second")
                return done

        real, self._database = self._database, Database()
        return held

    monkeypatch.setattr(FileFences, "_published", overtaken)
    with pytest.raises(FencedError):
        first.write_bytes("small/x", b"first")
    assert lake.read_bytes("small/x") == b"second"


def test_a_lake_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "lake").write_text("a file where the folder should be")
    with pytest.raises(LakeError, match=r"cannot write its fences: .*setting LEM_LAKE"):
        Lake(str(tmp_path / "lake")).fenced()


def test_a_store_without_conditional_writes_is_written_without_a_fence(tmp_path):
    lake = Lake(f"memory://{tmp_path.name}")
    assert lake.fenced() is lake
    assert os.listdir(tmp_path) == []
