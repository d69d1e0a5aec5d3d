"""A month of bars at speed: orders of every kind, a paper venue that fails in every way, bars that are late or lost."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from lem.advice.advisor import Advisor
from lem.advice.feed import Feed
from lem.advice.order import OPEN, ParentOrder, scenario
from lem.errors import LemError, OrderStateError, SourceError
from lem.execution.orders import Order
from lem.paper.bars import ClosedBars
from lem.paper.behaviour import Behaviour
from lem.paper.book import Book
from lem.paper.own_desk import OwnDesk
from lem.paper.venue import PaperVenue
from lem.sources import open_source
from tests.integration.live_sums import Line, market_bars, sums_of
from tests.lem.advice.desk import HOURLY, NOON, Desk, StoppedClock, make_desk

HOUR, DAYS, ORDERS = dt.timedelta(hours=1), 30, 200
OUTAGE = (NOON + 100 * HOUR, NOON + 103 * HOUR)
BEHAVIOUR = Behaviour(
    seed=11, participation=0.6, partial=0.3, parts=4, delay=9000.0, duplicates=0.2, corrections=0.2, fee_bps=1.5
)


class Killed(BaseException):
    """The venue's process ends here."""


class Mortal(OwnDesk):
    """A desk at which the venue sometimes dies: before it has told something, or after it."""

    def __init__(self, advisor: Advisor, chance: random.Random) -> None:
        super().__init__(advisor)
        self._chance = chance

    def tell(self, message: Any) -> None:
        if self._chance.random() < 0.01:
            raise Killed
        super().tell(message)
        if self._chance.random() < 0.01:
            raise Killed


@dataclass
class Failing:
    """A source that does not answer at times, and that has some bars hours late.

    Args:
        source: that has all bars.
        clock: says what is late.
        holes: for each asset, opens of bars, and when the source has them.
        chance: when it does not answer.
    """

    source: Any
    clock: StoppedClock
    holes: dict[str, dict[dt.datetime, dt.datetime]]
    chance: random.Random
    failures: Counter = field(default_factory=Counter)

    def fetch(self, symbol: str, start: dt.datetime, end: dt.datetime) -> Any:
        if self.chance.random() < 0.01:
            self.failures["no answer"] += 1
            raise SourceError(f"{symbol}: no answer")
        answer, now = self.source.fetch(symbol, start, end), self.clock.now()
        late = [opened for opened, there in self.holes[symbol].items() if now < there]
        rows = answer.table["ts"].isin(late)
        self.failures["bars left out"] += int(rows.sum())
        return replace(answer, table=answer.table[~rows].reset_index(drop=True))

    def forget(self, symbol: str) -> None:
        self.source.forget(symbol)


def orders(universe: Any, chance: random.Random) -> list[tuple[dt.datetime, ParentOrder]]:
    """When each order is sent, and the order."""
    out = []
    for n in range(ORDERS):
        asset = chance.choice(list(universe.assets))
        target = chance.choice(["quantity", "quantity", "notional"])
        size = float(chance.randint(8, 80)) / 2 * (1.0 if target == "quantity" else 400.0)
        kind = scenario(chance.choice(["buy", "sell"]), chance.choice(["vwap", "twap"]), target)
        least = chance.randint(1, 8)
        terms = Order(kind, least, chance.randint(least, universe.horizon), 0.0, 1.0, chance.choice([0.0, 1.0, 5.0]))
        limit = Decimal(chance.choice(["380", "400", "420"])) if chance.random() < 0.15 else None
        at = NOON + HOUR * chance.randint(0, 24 * DAYS - 24)
        order = ParentOrder(
            f"o{n}", universe.name, asset, terms, size, at, chance.choice(["assume", "confirm"]), limit_price=limit
        )
        out.append((at, order))
    return sorted(out, key=lambda pair: pair[0])


@dataclass
class Soak:
    """A desk, its venue and its clock; both come back after they have died.

    Args:
        desk: with universe and model.
        clock: of all.
        source: of both.
        chance: of everything that fails.
    """

    desk: Desk
    clock: StoppedClock
    source: Failing
    chance: random.Random
    counts: Counter = field(default_factory=Counter)
    ended: dict[str, dt.datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.advisor = self.desk.advisor(self.clock, self.source)
        self._open_venue()

    def _open_venue(self) -> None:
        universe = self.desk.universe
        bars = ClosedBars(universe, Feed(universe, self.desk.lake, self.source))
        self.book = Book(self.desk.folder / "paper.sqlite", universe.name)
        self.venue = PaperVenue(Mortal(self.advisor, self.chance), bars, self.book, BEHAVIOUR)

    def restart(self, server: bool = True) -> None:
        self.counts["restarts of the server" if server else "restarts of the venue"] += 1
        if server:
            self.advisor = self.desk.advisor(self.clock, self.source)
        self.book.close()
        self._open_venue()

    def turn(self) -> None:
        try:
            turn = self.venue.turn()
        except Killed:
            self.counts["venue killed while it tells"] += 1
            self.restart(server=False)
            return
        assert turn.refused == []
        self.counts["problems"] += len(turn.problems)

    def act(self) -> None:
        """What a trader does at times: pauses, goes on, cancels; and closes what has ended and was told in full."""
        now = self.clock.now()
        for state in self.advisor.store.orders("tiny", None, 1000):
            key = state.order.id
            if state.status in OPEN:
                self.ended.pop(key, None)
                what = self.chance.random()
                if state.paused_at is not None and what < 0.5:
                    self.advisor.resume(key)
                elif state.paused_at is None and what < 0.02:
                    self.counts["paused"] += 1
                    self.advisor.pause(key)
                elif what < 0.03:
                    self.counts["cancelled"] += 1
                    self.advisor.cancel(key)
            elif state.closed_at is None and now - self.ended.setdefault(key, now) > 12 * HOUR:
                self.advisor.close(key)


@pytest.fixture
def soak(tmp_path, make_universe, tiny_keys) -> Soak:
    chance = random.Random(5)
    keys = tiny_keys(**HOURLY | {"horizon": 12}, drift={"max_age": 60})
    keys |= {"end": "2024-02-29", "assets": {"AAA-USD": {"lot": 0.5, "tick": 0.01, "min_amount": 1}, "BBB-USD": {}}}
    keys["training"] = {**keys["training"], "sequence": 24}
    outage = {"start": OUTAGE[0].isoformat(), "end": OUTAGE[1].isoformat(), "assets": ["BBB-USD"], "reason": "a test"}
    universe = make_universe(**keys, outages=[outage])
    desk, clock = make_desk(tmp_path, universe), StoppedClock(NOON)
    every = [NOON + n * HOUR for n in range(24 * DAYS)]
    holes = {
        symbol: {opened: opened + HOUR * chance.uniform(1, 4) for opened in every if chance.random() < 0.03}
        for symbol in universe.assets
    }
    return Soak(desk, clock, Failing(open_source(universe, ""), clock, holes, chance), chance)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_after_a_month_every_order_is_closed_and_its_report_is_what_the_log_adds_up_to(soak, capsys):
    waiting = orders(soak.desk.universe, soak.chance)
    for hour in range(24 * DAYS + 24):
        soak.clock.set(NOON + hour * HOUR)
        while waiting and waiting[0][0] <= soak.clock.now():
            soak.advisor.submit(replace(waiting.pop(0)[1], start=soak.clock.now()))
        soak.turn()
        for _ in range(soak.chance.choice([0, 0, 1, 2])):
            soak.clock.sleep(soak.chance.uniform(60, 1500))
            soak.turn()
        if soak.chance.random() < 0.04:
            soak.restart(server=soak.chance.random() < 0.5)
        if soak.chance.random() < 0.02:
            soak.counts["bars that the venue slept through"] += 1
            soak.clock.set(NOON + hour * HOUR + 3599 * dt.timedelta(seconds=1))
            soak.advisor.advise()
        soak.act()

    advisor, universe = soak.advisor, soak.desk.universe
    states = {state.order.id: state for state in advisor.store.orders("tiny", None, 1000)}
    assert len(states) == ORDERS
    assert all(state.closed_at is not None for state in states.values())
    assert soak.book.is_idle()
    assert soak.book.refused() == []
    raw = {
        symbol: soak.source.source.fetch(symbol, NOON - 24 * HOUR, NOON + (DAYS + 2) * 24 * HOUR).table
        for symbol in universe.assets
    }
    bars = {symbol: market_bars(raw[symbol], [OUTAGE] if symbol == "BBB-USD" else []) for symbol in raw}
    lines: dict[str, list[Line]] = {}
    for entry in log_of(advisor):
        lines.setdefault(entry.order_id, []).append(Line(entry.event, entry.facts))
    soak.source.chance = random.Random(0)
    failures = dict(soak.source.failures)
    filled = Counter()
    for key, state in states.items():
        sums = sums_of(lines[key], bars[state.order.asset])
        check(report_of(advisor, key), sums)
        own = sum((fill.amount for fill in soak.book.fills(key)), Decimal(0))
        assert sums["filled"] == own, f"{key} ({state.order.mode}): the desk counts what the venue filled"
        assert sums["filled"] + sums["left"] == sums["size"]
        assert sums["left"] >= 0
        filled[state.status] += 1
        filled["fills"] += len(soak.book.fills(key))
        filled["slices"] += len(sums["bars"])
    with capsys.disabled():
        print(
            f"\n{ORDERS} orders in {DAYS} days of hourly bars: {dict(filled)}; {dict(soak.counts)}; source: {failures}"
        )


def log_of(advisor: Advisor) -> Any:
    """The audit log of the desk."""
    return advisor.store.audit.entries("tiny")


def report_of(advisor: Advisor, key: str) -> Any:
    """The report on an order; a source that does not answer is asked again."""
    while True:
        try:
            return advisor.report(key)
        except OrderStateError:
            raise
        except LemError as error:
            if "no answer" not in str(error):
                raise


def near(told: float | None, summed: float | None) -> bool:
    """Whether both are the same up to the order of sums; or neither is there."""
    if told is None or summed is None:
        return told is summed
    return told == pytest.approx(summed, rel=1e-7, abs=1e-7)


def check(report: Any, sums: dict[str, Any]) -> None:
    """A report says what its log adds up to: amounts to the digit, prices and gains as floats add up."""
    for name in ("size", "status", "closed", "filled", "left", "fees", "confirmed"):
        assert getattr(report, name) == sums[name], (report.order_id, name)
    rows = [(pd.Timestamp(row.bar), row.advised, row.filled, row.fills) for row in report.bars]
    assert rows == [(pd.Timestamp(bar), *rest) for bar, *rest in sums["bars"]], report.order_id
    assert report.deviation_share == pytest.approx(sums["deviation_share"], rel=1e-9, abs=1e-12)
    if not rows:
        assert report.execution is None
        return
    for name in ("opportunity_bps", "implementation_shortfall_bps", "fees_bps", "slippage_bps"):
        assert near(getattr(report, name), sums.get(name)), (report.order_id, name)
    own = report.execution
    assert own.bars == sums["used"]
    names = ("benchmark_price", "average_price", "gain_bps", "net_gain_bps", "shortfall_bps", "net_shortfall_bps")
    for name in names:
        assert near(getattr(own, name), sums.get(name)), (report.order_id, name)
