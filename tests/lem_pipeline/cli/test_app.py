from __future__ import annotations

import datetime as dt
import re
import shutil

import pytest
from typer.testing import CliRunner

from lem.registry import Registry
from lem_pipeline.cli.app import app

COMMANDS = ("run", "backfill", "status", "models", "report", "reap", "ui")


@pytest.fixture
def home(tiny_home, tmp_path):
    """A copy of the materialised tiny home, to be changed."""
    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def models(tiny_home):
    """Ids of the registered models, the newest last."""
    registry = Registry(f"sqlite:///{tiny_home.folder}/home/registry.sqlite", read_only=True)
    return [record.id for record in sorted(registry.models("tiny"), key=lambda record: record.usable_on)]


def test_the_help_names_every_command_with_what_it_does():
    done = CliRunner().invoke(app, ["--help"], terminal_width=200)
    assert done.exit_code == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b +\S+", done.output)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_its_options(command):
    done = CliRunner().invoke(app, [command, "--help"], terminal_width=200)
    assert done.exit_code == 0
    assert "Usage" in done.output
    for option in re.findall(r"(--[a-z]+)", done.output):
        line = next(line for line in done.output.splitlines() if option in line)
        assert len(re.sub(r"[^a-zA-Z ]", "", line).split()) > 3, f"{option} has no help: {line}"


def test_no_command_at_all_gives_the_help():
    assert "Usage" in CliRunner().invoke(app, [], terminal_width=200).output


def test_the_first_run_says_what_it_does_and_ends_with_the_results(tiny_home):
    out = tiny_home.made.out
    assert "report of 2024-01-18, 2 walk-forward days, 2 models, bars from 2024-01-04" in out
    assert re.search(r"\[1/9\] raw_bars, bars +AAA-USD\|2024-01-04 \.\.\. BBB-USD\|2024-01-19", out)
    assert "[9/9] execution_report  2024-01-18" in out
    assert "check failed" not in out
    assert "LEM against TWAP, after costs: " in out
    assert (tiny_home.folder / "home/lake/tiny/execution_report/date=2024-01-18/report.html").is_file()
    assert tiny_home.made.err == ""


def test_the_second_run_says_that_everything_is_there_and_shows_the_same_results(tiny_home, lem_command):
    done = lem_command(tiny_home.folder, "run", "-u", "tiny", "-d", "2024-01-18")
    assert done.code == 0
    assert "Everything is there already." in done.out
    results = tiny_home.made.out.partition("runs in ")[2].partition("\n")[2]
    assert results
    assert done.out.endswith(results)


def test_an_unknown_universe_names_those_that_there_are(tiny_home, lem_command):
    done = lem_command(tiny_home.folder, "run", "-u", "nope")
    assert done.code == 1
    assert done.err.startswith(f"error: no universe 'nope': {tiny_home.folder}/universes (LEM_UNIVERSES) has tiny; ")


@pytest.mark.parametrize("text", ["2024-13-01", "yesterday", "18.01.2024", "2024-01-18T00:00"])
def test_what_is_no_date_is_refused(text, tiny_home, lem_command):
    done = lem_command(tiny_home.folder, "run", "-u", "tiny", "-d", text)
    assert done.code == 1
    assert done.err == f"error: date '{text}' is not a date; allowed: year-month-day as in 2024-03-30\n"


@pytest.mark.parametrize(
    ("first", "last"), [("2024-01-12", "2024-01-10"), ("2023-12-31", "2024-01-02"), ("2024-01-30", "2024-02-01")]
)
def test_a_backfill_outside_of_the_universe_is_refused(first, last, tiny_home, lem_command):
    done = lem_command(tiny_home.folder, "backfill", "-u", "tiny", "--from", first, "--to", last)
    assert done.code == 1
    assert f"from {first} to {last}; allowed: an ordered range within 2024-01-01 to 2024-01-31" in done.err


@pytest.mark.parametrize(
    ("arguments", "span"),
    [
        (("backfill", "--from", "2024-01-13", "--to", "2024-01-14"), "from 2024-01-13 to 2024-01-14"),
        (("run", "-d", "2024-01-13"), "for 2024-01-13"),
        (("report", "-d", "2024-01-13"), "for 2024-01-13"),
    ],
)
def test_a_weekend_of_an_exchange_is_refused_with_the_dates_beside_it(
    arguments, span, tmp_path, lem_command, tiny_keys, write_universe
):
    training = {"window_days": 20, "holdout_days": 5, "sequence": 12}
    write_universe(tmp_path / "universes", tiny_keys(calendar="XNYS", bar="1d", training=training))
    done = lem_command(tmp_path, *arguments, "-u", "tiny")
    assert done.code == 1
    told = f"universe 'tiny' has no partition {span}; allowed: Monday to Friday; nearest in the universe:"
    assert done.err == f"error: {told} 2024-01-12, 2024-01-15\n"


def test_a_backfill_leaves_what_is_there_and_says_so(tiny_home, lem_command):
    done = lem_command(tiny_home.folder, "backfill", "-u", "tiny", "--from", "2024-01-12", "--to", "2024-01-14")
    assert done.code == 0
    assert "0 runs to do" in done.out


def test_status_counts_partitions_and_names_holes(home, lem_command, models):
    (home / "home/lake/tiny/features/asset=BBB-USD/date=2024-01-12.parquet").unlink()
    done = lem_command(home, "status", "-u", "tiny")
    assert done.code == 0
    rows = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in done.out.splitlines() if "│" in line}
    assert [cell.strip() for cell in rows["bars"]] == ["32", "2024-01-04", "2024-01-19", "0", "0", "0"]
    assert [cell.strip() for cell in rows["features"]] == ["21", "2024-01-09", "2024-01-19", "1", "0", "0"]
    repair = "lem backfill --universe tiny --from 2024-01-12 --to 2024-01-12"
    assert f"missing features: BBB-USD|2024-01-12; make them with: {repair}\n" in done.out
    assert "Latest report: 2024-01-18; possible: 2024-01-30" in done.out
    assert re.search(rf"Champion: ({'|'.join(models)}|none yet)", done.out)


def test_status_of_an_untouched_universe_says_what_to_do(tmp_path, lem_command, tiny_keys, write_universe):
    write_universe(tmp_path / "universes", tiny_keys())
    done = lem_command(tmp_path, "status", "-u", "tiny")
    assert done.code == 0
    assert "Champion: none yet" in done.out
    assert "Next: lem run --universe tiny" in done.out


def test_status_before_the_first_day_of_data_is_a_message(tmp_path, lem_command, tiny_keys, write_universe):
    start = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=10)).isoformat()
    write_universe(tmp_path / "universes", tiny_keys(start=start, end=None) | {"end": "2999-01-01"})
    for command in ("status", "run"):
        done = lem_command(tmp_path, command, "-u", "tiny")
        assert done.code == 1
        assert f"no data yet: it starts on {start}" in done.err


def test_a_report_is_shown_and_saved(home, lem_command):
    done = lem_command(home, "report", "-u", "tiny", "--save", str(home / "page.html"))
    assert done.code == 0
    assert "mean gain after costs in bps" in done.out
    assert (home / "page.html").read_bytes() == (
        home / "home/lake/tiny/execution_report/date=2024-01-18/report.html"
    ).read_bytes()


def test_a_report_that_cannot_be_saved_is_a_message(tiny_home, lem_command):
    done = lem_command(tiny_home.folder, "report", "-u", "tiny", "--save", "no/such/folder/page.html")
    assert done.code == 1
    assert "no/such/folder/page.html: cannot be written" in done.err


def test_a_report_that_is_not_there_names_those_that_are(tiny_home, lem_command):
    done = lem_command(tiny_home.folder, "report", "-u", "tiny", "-d", "2024-01-17")
    assert done.code == 1
    assert "no report of 2024-01-17 in the lake; there are: 2024-01-18; make one with: lem run -u tiny" in done.err


def test_files_of_others_in_the_lake_are_not_taken_for_dates(home, lem_command):
    lake = home / "home/lake/tiny"
    folders = [lake / "execution_report", lake / "quarantine/asset=AAA-USD", lake / "bars/asset=AAA-USD"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (".DS_Store", "20240116", "date=20240117", "date=2024-02-30.txt", "date=2024-01-16.txt.orig"):
            (folder / name).write_bytes(b"\0")
    shown = lem_command(home, "report", "-u", "tiny")
    status = lem_command(home, "status", "-u", "tiny")
    again = lem_command(home, "run", "-u", "tiny", "-d", "2024-01-18")
    assert [done.code for done in (shown, status, again)] == [0, 0, 0]
    assert "execution_report/date=2024-01-18/report.html" in shown.out
    assert "Latest report: 2024-01-18;" in status.out
    assert "quarantined bars" not in status.out
    assert "Everything is there already." in again.out


def test_an_errors_text_in_brackets_is_printed_as_it_is(tmp_path, lem_command):
    (tmp_path / "universes").mkdir()
    done = lem_command(tmp_path, "run", "-u", "[/bold][outages]")
    assert done.code == 1
    assert "no universe '[/bold][outages]'" in done.err


def test_a_description_in_brackets_is_printed_as_it_is(tmp_path, lem_command, tiny_keys, write_universe):
    write_universe(tmp_path / "universes", tiny_keys(description="pairs [usd] and [/eur]"))
    done = lem_command(tmp_path, "status", "-u", "tiny")
    assert done.code == 0
    assert "tiny: pairs [usd] and [/eur]" in done.out
