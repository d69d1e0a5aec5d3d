"""What all benchmarks share: statistics, the table, and a file that says where its figures come from."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import socket
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import common
from benchmarks.common import (
    BenchmarkError,
    Column,
    command_line,
    cores,
    each_seed,
    parser,
    publish,
    spread,
    write_json,
)
from lem.errors import LemError

COLUMNS = (Column("what", "what"), Column("gain", "gain, bps", ".1f"))
ROWS = [{"what": "lem", "gain": 25.123, "hidden": [1, 2]}, {"what": "twap", "gain": math.nan}]


def asked(folder: Path, *words: str) -> argparse.Namespace:
    return parser("trial", "A trial.").parse_args(["--out", str(folder / "trial.json"), *words])


def published(folder: Path, *words: str, **more: Any) -> dict[str, Any]:
    path = publish("trial", "Trial", COLUMNS, ROWS, asked(folder, *words), **more)
    return json.loads(path.read_text(encoding="utf-8"))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_spread_is_the_mean_and_the_sample_deviation(values):
    found = spread(values)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert found.sd == pytest.approx(statistics.stdev(values))
    assert found.count == len(values)


def test_a_single_value_has_no_deviation_and_none_at_all_is_an_error():
    assert math.isnan(spread([1.0]).sd)
    with pytest.raises(BenchmarkError, match="no values"):
        spread([])


def test_the_file_says_what_ran_when_and_on_what(tmp_path):
    document = published(tmp_path, "--seeds", "3", peer=["lems==0.1.1"])
    assert document["name"] == "trial"
    assert document["seeds"] == [0, 1, 2]
    assert document["arguments"] == {"seeds": 3, "jobs": cores(), "quick": False}
    assert document["peer"] == ["lems==0.1.1"]
    assert not document["smoke"]
    assert dt.datetime.fromisoformat(document["date"]).utcoffset() == dt.timedelta(0)
    assert {"cpu", "cores", "torch", "threads"} <= set(document["machine"])
    assert document["rows"][0] == ROWS[0]


def test_seeds_that_a_benchmark_names_replace_those_of_the_command_line(tmp_path):
    assert published(tmp_path, seeds=[0])["seeds"] == [0]


def test_a_figure_that_is_not_finite_is_null_in_the_file_and_a_dash_in_the_table(tmp_path, capsys):
    assert published(tmp_path)["rows"][1]["gain"] is None
    printed = capsys.readouterr().out
    assert "25.1 " in printed
    assert "–" in printed
    assert "nan" not in printed


def test_the_file_names_neither_the_host_nor_a_path(tmp_path):
    text = json.dumps(published(tmp_path, data=Path("/somewhere/else/crypto")))
    assert "somewhere" not in text
    assert str(tmp_path) not in text
    assert str(common.ROOT) not in text
    assert f'"{socket.gethostname()}"' not in text


def test_a_smoke_run_says_so_and_has_a_file_of_its_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(common, "OUT", tmp_path / "out")
    path = publish("trial", "Trial", COLUMNS, ROWS, parser("trial", "").parse_args(["--quick"]))
    assert path == tmp_path / "out" / "trial-quick.json"
    assert json.loads(path.read_text(encoding="utf-8"))["smoke"]
    assert "SMOKE RUN" in capsys.readouterr().out


def test_no_figure_is_cut_short_in_a_narrow_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    long = "a name that is much longer than the terminal is wide"
    publish("trial", "Trial", COLUMNS, [{"what": long, "gain": 123456.789}], asked(tmp_path))
    printed = capsys.readouterr().out
    assert long in printed
    assert "123456.8" in printed


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(tmp_path):
    path = tmp_path / "trial.json"
    write_json(path, {"a": 1})
    with pytest.raises(BenchmarkError, match=r"trial\.json"):
        write_json(path, {"a": object()})
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match="--out"):
        write_json(tmp_path / "file" / "trial.json", {"a": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "trial.json"]


@pytest.mark.parametrize("seeds", ["0", "-1", "two"])
def test_a_number_of_seeds_below_one_is_refused(seeds, capsys):
    with pytest.raises(SystemExit):
        parser("trial", "").parse_args(["--seeds", seeds])
    assert "allowed: 1 or more" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for place, said in ((tmp_path, "is a folder; allowed: a file"), (tmp_path / "file" / "x.json", "is no folder")):
        with pytest.raises(SystemExit):
            parser("trial", "A trial.").parse_args(["--out", str(place)])
        assert said in capsys.readouterr().err
    assert parser("trial", "A trial.").parse_args(["--out", str(tmp_path / "new" / "x.json")]).out.name == "x.json"


def test_an_error_to_act_on_is_one_message_and_a_defect_keeps_its_traceback():
    def fails() -> None:
        raise LemError("universe x: no")

    with pytest.raises(SystemExit, match="error: universe x: no"):
        command_line(fails)
    with pytest.raises(ZeroDivisionError):
        command_line(lambda: 1 / 0)


def times_ten(seed: int, plus: int) -> tuple[int, int]:
    return 10 * seed + plus, torch.get_num_threads()


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_seed_runs_once_in_one_thread_and_the_answers_keep_their_order(jobs):
    assert each_seed(times_ten, range(3), jobs, 7) == [(7, 1), (17, 1), (27, 1)]
