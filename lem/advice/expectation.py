"""What an order may be expected to gain: what the model's own orders of the kind kept in the last report before it.

That is a backtest's figure, of the champions of the report's days, walk-forward and after assumed costs. Reports have
orders of the whole horizon, of one size and risk aversion and without rate limits. For others, and where no report has
any of the kind, it is what the theory that models correct keeps of simulated orders on bars of the weeks before
(`lem.advice.theory_gain`). Either is known when an order arrives and says nothing of how the order has gone so far.
"""

from __future__ import annotations

import datetime as dt
import io
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from queue import SimpleQueue
from typing import Literal

import pandas as pd

from lem.advice.past_bars import PastBars, read_past_bars
from lem.advice.records import OrderRecord
from lem.advice.theory_gain import Kind, Node, TheoryGains
from lem.errors import BarsError, LakeError
from lem.lake import Lake
from lem.lineage.stored_report import report_dates, report_path
from lem.reports.tables import MODEL, SCENARIO
from lem.sources.limits import Clock
from lem.universe import Universe

_LOG = logging.getLogger("lem.advice")
FRESH = dt.timedelta(minutes=10)
"""How long the newest report that was found is taken for the newest."""
PAUSE_SECONDS = 0.02
"""Between two simulations in the background: a bar may have to be decided."""
NEAR = 2.0
"""An order up to so many times larger or smaller than those of the reports is told of theirs."""
MOST_PASTS = 16
"""Weeks whose bars of before are kept."""
MOST_KEPT = 20_000
"""Expectations of single orders that are kept: they are told with every bar."""
MOST_WAIT_SECONDS = 0.25
"""How long a simulation in the background waits before each of its bars while slices are being advised."""
AT_ONCE = 24
"""Bars of simulations that an answer of a service waits for; each takes some 2 ms."""
Basis = Literal["backtest", "theory"]
"""backtest: the model's own orders in a report. theory: simulated orders of the theory that models correct."""
_COLUMNS = {"level": str, "costs": str, "strategy": str, "against": str, **dict.fromkeys((*SCENARIO, "min_bars"), str)}


@dataclass(frozen=True)
class Expectation:
    """The gain of a single order after assumed costs, in bps; positive is good.

    Args:
        mean_bps: of the orders; None where there are none of the kind.
        low_bps: of 5 in 100 orders it was lower.
        high_bps: of 5 in 100 orders it was higher.
        source: which orders, in words; why there are none.
        basis: where the orders are from; None where there are none.
    """

    mean_bps: float | None
    low_bps: float | None
    high_bps: float | None
    source: str
    basis: Basis | None


@dataclass(frozen=True)
class _Report:
    """Rows of a report by side, benchmark and target, each by m, in ascending order."""

    date: str
    rows: dict[tuple[str, ...], list[tuple[int, float, float, float, int]]] = field(default_factory=dict)


@dataclass(frozen=True)
class _LookedUp:
    """What is looked up once for all orders of an answer.

    Args:
        before: the report of before a date.
        past: the bars of before a week; None where they are looked up in the background.
        to_do: what is to be made in the background.
        nodes: simulations that the answer waits for.
    """

    before: Callable[[dt.date], _Report | str]
    past: Callable[[dt.date], tuple[PastBars | None] | None]
    to_do: SimpleQueue[Node | dt.date | None] | None
    nodes: list[Node] = field(default_factory=list)


class Expectations:
    """The expectations of a universe's orders.

    Args:
        universe: whose orders they are.
        lake: has the reports.
        clock: says how old what was read is.
    """

    def __init__(self, universe: Universe, lake: Lake, clock: Clock) -> None:
        self._universe, self._lake, self._clock = universe, lake, clock
        self._gains = TheoryGains(universe.costs)
        self._to_do: SimpleQueue[Node | dt.date | None] | None = None
        self._held, self._one_at_a_time, self._free = 0, threading.Lock(), threading.Event()
        self._free.set()
        self._asked = set[Node | dt.date]()
        self._pasts: dict[dt.date, tuple[dt.datetime, PastBars | None]] = {}
        self._told: dict[tuple[str, int], tuple[_Report | str, Expectation]] = {}
        self._known: dict[dt.date, tuple[dt.datetime, _Report | str]] = {}

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """In the block an answer waits for few simulations: the others are made in a thread, and told the next time."""
        self._to_do = to_do = SimpleQueue[Node | dt.date | None]()
        thread = threading.Thread(target=self._work, args=(to_do,), name="expectations", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._to_do = None
            to_do.put(None)
            thread.join()

    def _work(self, to_do: SimpleQueue[Node | dt.date | None]) -> None:
        while (job := to_do.get()) is not None and self._to_do is to_do:
            if isinstance(job, dt.date):
                self._read_past(job)
            else:
                self._gains.simulated(job, before_bar=self._wait_until_free)
            self._asked.discard(job)
            time.sleep(PAUSE_SECONDS)

    def _ask(self, to_do: SimpleQueue[Node | dt.date | None], *jobs: Node | dt.date) -> None:
        for job in jobs:
            if job not in self._asked:
                self._asked.add(job)
                to_do.put(job)

    def _wait_until_free(self) -> None:
        self._free.wait(MOST_WAIT_SECONDS)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """In the block simulations in the background wait: whoever asks for slices shall not share a core with them."""
        with self._one_at_a_time:
            self._held += 1
            self._free.clear()
        try:
            yield
        finally:
            with self._one_at_a_time:
                self._held -= 1
                if not self._held:
                    self._free.set()

    def of(self, orders: Sequence[OrderRecord]) -> list[Expectation]:
        """Of orders that have begun: from the newest report of a day before their first bars, else from the theory."""
        # What all orders of a day have in common is looked up once, not once an order.
        looked_up = _LookedUp(cache(self._before), cache(partial(self._past_or_ask, self._to_do)), self._to_do)
        return [self._known_or_made(order, looked_up) for order in orders]

    def _known_or_made(self, order: OrderRecord, made: _LookedUp) -> Expectation:
        """Of an order it stays the same, until it is amended or there is another report of a day before it."""
        found, key = made.before(order.arrived().first_bar.date()), (order.id, order.amended)
        of, told = self._told.get(key, (None, None))
        if told is None or of != found:
            told, is_final = self._of(order, found, made)
            if is_final:
                if len(self._told) >= MOST_KEPT:
                    self._told = {}
                self._told[key] = found, told
        return told

    def _of(self, order: OrderRecord, found: _Report | str, made: _LookedUp) -> tuple[Expectation, bool]:
        """What is told, and whether that is all that will be known."""
        horizon = self._universe.horizon
        if isinstance(found, str):
            return self._theory(order, made, found)
        other = self._other_than_reported(order)
        if other:
            return self._theory(order, made, f"the report of {found.date} has no orders {other}")
        for m, mean, low, high, count in found.rows.get((order.side, order.benchmark, order.target), ()):
            # The more an order may choose from, the more it is worth: a later m says too little, never too much.
            if m >= order.min_bars:
                words = (
                    f"{count} orders of {m} to {horizon} bars in the report of {found.date}, of the assumed size and "
                    "without rate limits, after assumed costs"
                )
                return Expectation(mean, low, high, words, "backtest"), True
        return self._theory(order, made, f"the report of {found.date} has no orders of {order.min_bars} or more bars")

    def _other_than_reported(self, order: OrderRecord) -> str:
        """In what an order is not as those of the reports, but for its scenario and m; empty if in nothing."""
        horizon, assumed = self._universe.horizon, self._universe.costs.order_size
        told, size = self._universe.backtest.risk_aversion, _size(order)
        if order.max_bars != horizon:
            return f"of at most {order.max_bars} bars"
        if order.risk_aversion != told:
            return f"of risk_aversion {order.risk_aversion:g}; theirs is {told:g}"
        if order.min_rate > 0 or order.max_rate < 1:
            return "with rate limits"
        if not assumed / NEAR <= size <= assumed * NEAR:
            return f"of {size:.2g} mean bar volumes; theirs is {assumed:g}"
        return ""

    def _theory(self, order: OrderRecord, made: _LookedUp, why: str) -> tuple[Expectation, bool]:
        """What the theory keeps of an order, and why that is all that is known; and whether it will be."""
        arrived, limits = order.arrived(), (order.min_rate, order.max_rate, order.risk_aversion)
        week = arrived.first_bar.date() - dt.timedelta(days=arrived.first_bar.weekday())
        to_do, later = made.to_do, f"{why}; orders of the theory are being simulated: ask again"
        known = made.past(week)
        if known is None:
            return Expectation(None, None, None, later, None), False
        kind, size = Kind(order.benchmark, order.min_bars, order.max_bars, *limits), _size(order)
        past = known[0]
        past = past if past and past.market(order.max_bars) else None
        missing = self._gains.missing(kind, size, past)
        if missing and to_do is not None and sum(one[0].max_bars for one in (*made.nodes, *missing)) > AT_ONCE:
            self._ask(to_do, *missing)
            return Expectation(None, None, None, later, None), False
        made.nodes.extend(missing)
        gain = self._gains.of(kind, size, arrived.sigma, past)
        if gain is None:
            why += f"; nor has the theory: {order.max_bars} bars cannot trade it under the participation_cap"
            return Expectation(None, None, None, why, None), True
        where = f"on the bars of {past.days}, bought and sold" if past else "on a market of even volatility"
        words = (
            f"{kind.orders if past is None else past.orders(kind.max_bars)} simulated orders of {kind.min_bars} to "
            f"{kind.max_bars} bars, of its size and volatility, by the theory that models correct, {where}, after "
            f"assumed costs: {why}"
        )
        return Expectation(gain.mean_bps, gain.low_bps, gain.high_bps, words, "theory"), True

    def _past_or_ask(
        self, to_do: SimpleQueue[Node | dt.date | None] | None, week: dt.date
    ) -> tuple[PastBars | None] | None:
        """As `_past`, but looked up now where nobody does it in the background."""
        known = self._past(week)
        if known is not None:
            return known
        if to_do is None:
            return self._read_past(week)
        self._ask(to_do, week)
        return None

    def _past(self, week: dt.date) -> tuple[PastBars | None] | None:
        """The bars of before a week, or that there are none; None where that has to be looked up."""
        at, past = self._pasts.get(week, (None, None))
        fresh = at is not None and (past is not None or dt.timedelta(0) <= self._clock.now() - at < FRESH)
        return (past,) if fresh else None

    def _read_past(self, week: dt.date) -> tuple[PastBars | None]:
        past = None
        try:
            past = read_past_bars(self._lake, self._universe, week)
        except (LakeError, BarsError) as error:
            _LOG.warning("%s", error)
        if len(self._pasts) >= MOST_PASTS:
            self._pasts = {}
        self._pasts[week] = self._clock.now(), past
        return (past,)

    def _before(self, date: dt.date) -> _Report | str:
        now = self._clock.now()
        at, report = self._known.get(date, (None, ""))
        if at is None or not dt.timedelta(0) <= now - at < FRESH:
            if len(self._known) > 100:
                self._known.clear()
            report = self._read(date)
            self._known[date] = now, report
        return report

    def _read(self, date: dt.date) -> _Report | str:
        name = self._universe.name
        try:
            days = [day for day in report_dates(self._lake, name) if day < date]
            if not days:
                return f"no report of a day before {date}"
            data = self._lake.read_bytes(report_path(name, days[-1], "report.csv"))
        except LakeError as error:
            # Where the lake lies is no matter of who asks for advice.
            _LOG.warning("%s", error)
            return "the reports cannot be read; the log says why"
        table = pd.read_csv(io.BytesIO(data), dtype=_COLUMNS, keep_default_na=False, na_values={"mean_bps": [""]})
        kind = (table["level"] == "scenario and m") & (table["costs"] == "on") & (table["strategy"] == MODEL)
        table = table[kind & (table["against"] == "") & table["mean_bps"].notna()]
        report = _Report(str(days[-1]))
        numbers = ("mean_bps", "p5_bps", "p95_bps", "orders")
        for *scenario, m, mean, low, high, count in table[[*SCENARIO, "min_bars", *numbers]].itertuples(index=False):
            key = tuple(map(str, scenario))
            report.rows.setdefault(key, []).append((int(m), float(mean), float(low), float(high), int(count)))
        for rows in report.rows.values():
            rows.sort()
        return report


def _size(order: OrderRecord) -> float:
    """Of an order that has begun, in mean bar volumes."""
    arrived = order.arrived()
    return order.size / (arrived.mean_volume * (arrived.arrival_price if order.target == "notional" else 1.0))
