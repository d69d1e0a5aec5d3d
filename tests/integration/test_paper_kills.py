"""kill -9 of server and paper venue under 50 clients: no order, fill or slice is lost, doubled or invented."""

from __future__ import annotations

import datetime as dt
import random
import shlex
import sqlite3
import threading
import time
from collections import Counter
from decimal import Decimal

import pytest

from tests.integration.live_fleet import Fleet, Told, client, kept_by, kill
from tests.lem.advice.desk import HOURLY, NOON, make_desk

CLIENTS, KILLS = 50, 20
VENUE = shlex.split(
    "--seed 7 --partial 0.5 --parts 3 --delay 2400 --duplicates 0.2 --corrections 0.3 --participation 0.5"
)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def fleet(request, tmp_path, make_universe, tiny_keys, write_universe):
    keys = tiny_keys(**HOURLY | {"horizon": 8}, drift={"max_age": 60})
    keys["training"] = {**keys["training"], "sequence": 20}
    write_universe(tmp_path / "universes", keys)

    def made(url):
        desk = make_desk(tmp_path, make_universe(**keys), url=url)
        return Fleet(tmp_path, desk.url, NOON, speed=240.0)

    if request.param == "SQLite":
        yield made("")
        return
    with request.getfixturevalue("postgresql").database() as url:
        yield made(url)


def killed_often(fleet: Fleet, threads: list[threading.Thread], kills: int) -> Counter:
    """Start all; kill server and venue in turn, at random moments while they work, and start them again."""
    chance, done = random.Random(3), Counter()
    arguments = ("--stay", "--state", str(fleet.folder / "paper.sqlite"), *VENUE)
    server, venue = fleet.serve(), fleet.venue(*arguments)
    while not venue.lines():  # what was advised before its books began is not the venue's matter
        time.sleep(0.1)
    for thread in threads:
        thread.start()
    while min(done["server"], done["venue"]) < kills:
        victim = "server" if done["server"] <= done["venue"] else "venue"
        seen, patience = len(venue.lines()), time.monotonic() + 15
        while len(venue.lines()) < seen + 1 and time.monotonic() < patience:
            time.sleep(0.02)
        done[f"{victim} at work"] += len(venue.lines()) >= seen + 1
        time.sleep(chance.uniform(0.0, 1.0))
        kill(server if victim == "server" else venue)
        done[victim] += 1
        if victim == "server":
            server = fleet.serve()
        else:
            venue = fleet.venue(*arguments)
    kill(venue)
    fleet.stopped = True
    for thread in threads:
        thread.join(90)
    last = fleet.venue("--state", str(fleet.folder / "paper.sqlite"), *VENUE)
    last.process.join(900)
    assert last.process.exitcode == 0, f"it ends when no order is open and all is told: {last.lines()[-5:]}"
    fleet.server = server
    return done


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_kills_of_each_lose_double_and_invent_nothing(fleet, capsys):
    told = Told()
    threads = [
        threading.Thread(target=client, args=(fleet, n, told, (3.0, 12.5, 40.0)), daemon=True) for n in range(CLIENTS)
    ]
    kills = killed_often(fleet, threads, KILLS)
    kept = kept_by(fleet.url)
    kill(fleet.server)

    with sqlite3.connect(fleet.folder / "paper.sqlite") as books:
        venue_fills = books.execute("SELECT order_id, bar, fill_id, amount, price, fee FROM fills").fetchall()
        worked = books.execute("SELECT order_id, bar, amount FROM slices").fetchall()
        states = dict(books.execute("SELECT state, count(*) FROM messages GROUP BY state").fetchall())
        query = "SELECT count(*) - count(DISTINCT order_id || fill_id || corrects) FROM messages WHERE fill_id NOT NULL"
        twice = books.execute(query).fetchone()[0]

    assert told.wrong == []
    assert told.changed == [], "a slice that was told never changed"
    assert told.taken <= set(kept), "no order that was taken is lost"
    assert set(kept) <= set(told.sent), "none is invented"
    for key, own in kept.items():
        assert own.order["size"] == told.sent[key]["size"]
        assert own.order["status"] in ("finished", "expired"), own.order
        assert [row["number"] for row in own.slices] == list(range(1, len(own.slices) + 1)), "no bar twice"

    stored = {(key, row["bar"]): row["exact_amount"] for key, own in kept.items() for row in own.slices}
    assert told.slices.items() <= stored.items(), "no slice that was told is lost"
    utc = {(key, dt.datetime.fromisoformat(bar)): Decimal(amount) for (key, bar), amount in stored.items()}
    for key, bar, amount in worked:
        assert Decimal(amount) <= utc[key, dt.datetime.fromisoformat(bar)], "the venue works no more than was advised"

    at_desk = {
        (key, fill["id"], Decimal(fill["amount"]), Decimal(fill["price"]), Decimal(fill["fee"]))
        for key, own in kept.items()
        for fill in own.counting.values()
    }
    at_venue = {(key, name, *map(Decimal, numbers)) for key, _, name, *numbers in venue_fills}
    assert at_desk == at_venue, "every fill counts once and as it was, and no other"
    assert set(states) == {"told"}
    for key, own in kept.items():
        size, filled = Decimal(repr(own.order["size"])), Decimal(own.order["filled"])
        left = Decimal(own.order["left"]) - Decimal(own.order["overfilled"])
        assert filled + left == size
        assert left >= 0, "never more than was ordered"
        of_venue = sum((Decimal(row[3]) for row in venue_fills if row[0] == key), Decimal(0))
        assert filled == of_venue, (key, own.order["mode"])
        by_bar = Counter()
        for fill in own.counting.values():
            by_bar[fill["bar"]] += Decimal(fill["amount"])
        for row in own.slices:
            if row["exact_filled"] is not None:
                assert Decimal(row["exact_filled"]) == by_bar[row["bar"]]
    with capsys.disabled():
        ended = dict(Counter(own.order["status"] for own in kept.values()))
        print(
            f"\n{kills['server']} kills of the server ({kills['server at work']} at work), {kills['venue']} of the "
            f"venue ({kills['venue at work']}), {CLIENTS} clients: "
            f"{len(told.taken)} orders taken, {len(kept)} kept {ended}; "
            f"{len(stored)} slices, {len(told.slices)} of them told to clients; {len(at_venue)} fills of the venue, "
            f"{len(at_desk)} count at the desk; {sum(states.values())} messages, {twice} told twice on purpose; "
            "lost 0, doubled 0, invented 0"
        )
