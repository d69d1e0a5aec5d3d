"""`lem advise`: every command of the page on live use runs as it stands there, and errors are messages."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import httpx
import pytest

from lem.advice.store import AdviceStore
from tests.conftest import ROOT
from tests.lem.advice.desk import HOURLY, NOON, make_desk

PAGE = ROOT / "docs" / "live.md"
TOKEN = "n4XDS2m0aVYh_p8Kq1GmBzWc"


def commands() -> list[str]:
    """The commands of the page, in their order."""
    lines = [line[4:] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]
    assert len(lines) > 14
    return lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_universe, tiny_keys, write_universe):
    """A home with a tiny universe by the name of the page's, and its champion."""
    keys = tiny_keys(**HOURLY, name="sample", start="2024-03-01", end="2024-03-31")
    keys |= {"assets": {"BTC-USDT": {}, "ETH-USDT": {}}, "horizon": 12}
    keys["training"] = {**keys["training"], "sequence": 20}
    made = tmp_path_factory.mktemp("desk")
    write_universe(made / "universes", keys)
    make_desk(made, make_universe(**keys), date=NOON.date().replace(month=3, day=30))
    return made


def test_the_commands_of_the_page_do_what_it_says(folder, lem_command):
    outputs = {}
    for line in commands():
        words = shlex.split(line)
        if words[:2] == ["lem", "advise"]:
            done = lem_command(folder, *words[1:])
            assert done.code == 0, f"{line}\n{done.out}{done.err}"
            outputs[line] = done.out
    first, second = (out for line, out in outputs.items() if " next " in line and "desk-17" in line)
    assert re.search(
        r"2024-03-30 10:00 to 11:00 UTC  order desk-17  buy \S+ BTC .* bar 1 .* as of 2024-03-30 10:00", first
    )
    assert re.search(r"2024-03-30 11:00 to 12:00 .* bar 2 .*gain [-+]", second)
    followed = next(out for line, out in outputs.items() if " follow " in line)
    assert "Order desk-17 is finished: 100.0% of it filled in" in followed
    shown = next(out for line, out in outputs.items() if " show " in line)
    assert "filled 0.4" in shown
    assert "filled 1.5" in shown
    corrected = next(out for line, out in outputs.items() if "--correct" in line)
    assert "fill t-1 of 0.4 in the bar of 2024-03-30 11:00 UTC (revision 2)" in corrected
    assert "repeated" not in shown
    one, saved, day = (out for line, out in outputs.items() if " report " in line)
    for told in ("Desk", "TWAP", "Optimal with costs", "Implementation shortfall", "Fees"):
        assert told in one
    assert "BTC were not told by fills: they count at their bars’ prices, without fees or other costs." in one
    assert "The order is not closed" in one
    assert "Saved: desk-17.html" in saved
    assert re.search(r"desk-17.*finished", day)
    assert re.search(r"Not after all fees.*the net gain of .*desk-17", day)
    for listed in (out for line, out in outputs.items() if " list " in line):
        assert re.search(r"desk-17.*finished", listed)
    of_one, since = (out for line, out in outputs.items() if " log " in line)
    assert re.search(r"2024-03-30 10:00:0\d UTC  cli \w+  order desk-17  created  asset BTC-USDT", of_one)
    assert "order desk-17  corrected  fill_id t-1  revision 2" in of_one
    assert ("created" in since, "order desk-17  ended" in since) == (False, True)
    store = AdviceStore(f"sqlite:///{folder}/home/registry.sqlite")
    assert store.order("desk-18").status == "cancelled"
    assert store.order("desk-18").closed_at is not None
    assert (store.order("desk-22").order.fallback, store.order("desk-17").order.fallback) == (True, False)
    amended = store.order("desk-21")
    assert (str(amended.filled), amended.paused_at) == ("0.5", None)
    assert (amended.order.size, amended.order.order.max_bars, amended.order.limit_price) == (15.0, 11, None)


def serve(folder, line: str, **env: str) -> tuple[subprocess.Popen, str]:
    """The page's `lem serve` at any free port; the process, and its base URL."""
    words = shlex.split(line)[1:]
    homes = {"LEM_HOME": str(folder / "home"), "LEM_UNIVERSES": str(folder / "universes"), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "lem_pipeline.cli", *words, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | homes | env,
        cwd=folder,
    )
    started = process.stdout.readline()
    return process, f"http://127.0.0.1:{re.search(r':([0-9]+) for universe', started)[1]}"


def curl(line: str, url: str) -> httpx.Response:
    """What the page's curl command asks for."""
    words = shlex.split(line.replace("$LEM_TOKEN", TOKEN))
    headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
    body = next((words[n + 1] for n, word in enumerate(words) if word == "-d"), None)
    path = next(word for word in words if word.startswith("http://")).partition(":8321")[2]
    return httpx.request("POST" if "POST" in words else "GET", url + path, headers=headers, content=body, timeout=300)


def first_event(line: str, url: str, words: str) -> str:
    """The first event with some words of the stream that the page's curl command opens."""
    path = next(word for word in shlex.split(line) if word.startswith("http://")).partition(":8321")[2]
    with httpx.stream("GET", url + path, timeout=300) as stream:
        return next(told for told in stream.iter_lines() if words in told)


@pytest.mark.thorough
def test_the_requests_of_the_page_are_answered(folder):
    (open_line, bound), asked = [line for line in commands() if line.startswith("lem serve")], []
    curls = [line for line in commands() if line.startswith("curl")]
    for line, env in ((open_line, {}), (bound, {"LEM_TOKEN": TOKEN})):
        process, url = serve(folder, line, **env)
        try:
            for request in (r for r in curls if ("LEM_TOKEN" in r) == bool(env)):
                if "/events" in request:
                    asked.append(first_event(request, url, "desk-19"))
                    continue
                answer = curl(request, url)
                assert answer.status_code in (200, 201), answer.text
                asked.append(json.dumps(answer.json()))
            if env:
                assert httpx.get(f"{url}/orders", timeout=300).status_code == 401
        finally:
            process.kill()
            process.communicate()
    assert len(asked) == len(curls) == 5
    assert all("desk-19" in text for text in asked)


def test_an_order_may_be_sent_again_in_a_later_bar(folder, lem_command):
    order = ["advise", "new", "-u", "sample", "--asset", "BTC-USDT", "--size", "3", "--id", "desk-20"]
    first, again = (lem_command(folder, *order, "--at", f"2024-03-30T{hour}:00Z") for hour in (10, 12))
    assert (first.code, again.code) == (0, 0), again.err
    assert ("desk-20 is stored" in first.out, "desk-20 is there already" in again.out) == (True, True)
    other = lem_command(folder, *order, "--start", "2024-03-30T12:00Z", "--at", "2024-03-30T12:00Z")
    assert other.code == 1
    assert "another order of this id" in other.err
    assert "start 2024-03-30T10:00:00Z" in " ".join(other.err.split()), "the difference is told"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["next", "nothing"], "there is no order 'nothing'; allowed: an id of the list (lem advise list --help)"),
        (["new", "--asset", "DOGE", "--size", "1"], "asset 'DOGE'; allowed: BTC-USDT, ETH-USDT"),
        (["new", "--asset", "BTC-USDT", "--size", "nan"], "size nan; allowed: more than 0"),
        (["new", "--asset", "BTC-USDT", "--size", "1", "--start", "soon"], "--start 'soon' is not a time"),
        (["next", "--at", "2024-04-02"], "no bars are expected on 2024-04-02; allowed: 2024-03-01 to 2024-03-31"),
    ],
)
def test_what_cannot_be_done_is_a_message(folder, lem_command, arguments, message):
    at = [] if "--at" in arguments else ["--at", "2024-03-30T10:00Z"]
    done = lem_command(folder, "advise", arguments[0], "-u", "sample", *arguments[1:], *at)
    assert done.code == 1
    assert message in done.err


def test_the_service_does_not_start_on_another_address_without_a_token(folder, lem_command):
    done = lem_command(folder, "serve", "-u", "sample", "--host", "0.0.0.0", LEM_TOKEN="")
    assert (done.code, "LEM_TOKEN is not set" in done.err) == (1, True)
    done = lem_command(folder, "serve", "-u", "sample", "--host", "0.0.0.0", LEM_TOKEN="a guess")
    assert (done.code, "a guess" in done.err) == (1, False)
