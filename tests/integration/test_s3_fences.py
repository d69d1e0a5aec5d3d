"""Fences on S3: conditional writes, what comes between reading and writing, and answers that are lost."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings

from lem.errors import FencedError, LakeError
from lem.lake import Lake
from lem.lake.fences import COUNTER, S3Fences
from tests.lem.builders import PROPERTY
from tests.lem.fencing import PATHS, check_order, orders
from tests.servers import s3_server


@pytest.fixture(scope="module")
def root():
    with s3_server("desk") as s3, pytest.MonkeyPatch.context() as patch:
        for name, value in s3.items():
            patch.setenv(name, value)
        yield lambda: Lake(f"s3://desk/{uuid.uuid4().hex}", skip_instance_cache=True)


@pytest.fixture
def lake(root):
    return root()


@settings(PROPERTY, max_examples=15)
@given(orders)
def test_whatever_the_order_the_latest_step_has_the_last_word(root, order):
    lake = root()
    check_order(
        order,
        lake.fenced,
        lambda step, path, number: step.write_bytes(path, str(number).encode()) and None,
        lambda: {path: int(lake.read_bytes(path)) for path in PATHS if lake.exists(path)},
    )


def test_tokens_are_taken_by_one_step_each(lake):
    with ThreadPoolExecutor(4) as pool:
        tokens = list(pool.map(lambda _: lake.fenced()._token, range(12)))
    assert len(set(tokens)) == 12
    assert lake.fenced()._token == max(tokens) + 1


def between(monkeypatch, lake, act):
    """`act` happens once, after the object's fence was read and before it is written."""
    put = S3Fences._put

    def overtaken(self, path, data, token, etag):
        if path != COUNTER:
            monkeypatch.undo()
            act()
        return put(self, path, data, token, etag)

    monkeypatch.setattr(S3Fences, "_put", overtaken)


@pytest.mark.parametrize("there", [b"", b"old"])
def test_a_later_step_that_comes_between_reading_and_writing_is_not_overwritten(lake, monkeypatch, there):
    if there:
        lake.fenced().write_bytes("x", there)
    orphan, later = lake.fenced(), lake.fenced()
    between(monkeypatch, lake, lambda: later.write_bytes("x", b"later"))
    with pytest.raises(FencedError, match="x was written by a step that began later"):
        orphan.write_bytes("x", b"orphan")
    assert lake.read_bytes("x") == b"later"


def test_an_earlier_step_that_comes_between_is_overwritten_and_one_that_removes_does_no_harm(lake, monkeypatch):
    earlier, later = lake.fenced(), lake.fenced()
    between(monkeypatch, lake, lambda: earlier.write_bytes("x", b"earlier"))
    later.write_bytes("x", b"later")
    assert lake.read_bytes("x") == b"later"
    between(monkeypatch, lake, lambda: lake.remove("x"))
    later.write_bytes("x", b"again")
    assert lake.read_bytes("x") == b"again"


def test_a_write_whose_answer_was_lost_is_repeated_and_stands(lake, monkeypatch):
    step, call = lake.fenced(), type(lake.fs).call_s3

    def lost(self, method, *args, **kwargs):
        done = call(self, method, *args, **kwargs)
        if method == "put_object":
            monkeypatch.undo()
            return call(self, method, *args, **kwargs)  # what botocore does when the connection breaks
        return done

    monkeypatch.setattr(type(lake.fs), "call_s3", lost)
    step.write_bytes("x", b"once")
    assert lake.read_bytes("x") == b"once"


def test_a_store_that_knows_no_conditions_is_one_message(lake, monkeypatch):
    step, call = lake.fenced(), type(lake.fs).call_s3

    def refusing(self, method, *args, **kwargs):
        if method == "put_object":
            answer = {"Error": {"Code": "NotImplemented", "Message": "A header you provided is not implemented"}}
            raise OSError("A header you provided is not implemented") from ClientError(answer, method)
        return call(self, method, *args, **kwargs)

    monkeypatch.setattr(type(lake.fs), "call_s3", refusing)
    with pytest.raises(LakeError, match="cannot write x: A header you provided is not implemented"):
        step.write_bytes("x", b"data")


def test_a_bucket_that_is_not_there_is_one_message(root):
    with pytest.raises(LakeError, match=r"lake s3://nobody/lake: cannot write its fences: .*bucket"):
        Lake("s3://nobody/lake", skip_instance_cache=True).fenced()
