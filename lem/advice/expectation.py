"""What an order may be expected to gain: what the model's own orders of the kind kept in the last report before it.

That is a backtest's figure, of the champions of the report's days, walk-forward and after assumed costs. It is known
when an order arrives and says nothing of how the order has gone so far.
"""

from __future__ import annotations

import datetime as dt
import io
import logging
from dataclasses import dataclass, field

import pandas as pd

from lem.advice.records import OrderRecord
from lem.errors import LakeError
from lem.lake import Lake
from lem.lineage.stored_report import report_dates, report_path
from lem.reports.tables import MODEL, SCENARIO
from lem.sources.limits import Clock
from lem.universe import Universe

_LOG = logging.getLogger("lem.advice")
FRESH = dt.timedelta(minutes=10)
"""How long the newest report that was found is taken for the newest."""
_COLUMNS = {"level": str, "costs": str, "strategy": str, "against": str, **dict.fromkeys((*SCENARIO, "min_bars"), str)}


@dataclass(frozen=True)
class Expectation:
    """The gain of a single order after assumed costs, in bps; positive is good.

    Args:
        mean_bps: of the orders; None where there are none of the kind.
        low_bps: of 5 in 100 orders it was lower.
        high_bps: of 5 in 100 orders it was higher.
        source: which orders, in words; why there are none.
    """

    mean_bps: float | None
    low_bps: float | None
    high_bps: float | None
    source: str


@dataclass(frozen=True)
class _Report:
    """Rows of a report by side, benchmark and target, each by m, in ascending order."""

    date: str
    rows: dict[tuple[str, ...], list[tuple[int, float, float, float, int]]] = field(default_factory=dict)


class Expectations:
    """The expectations of a universe's orders.

    Args:
        universe: whose orders they are.
        lake: has the reports.
        clock: says how old what was read is.
    """

    def __init__(self, universe: Universe, lake: Lake, clock: Clock) -> None:
        self._universe, self._lake, self._clock = universe, lake, clock
        self._known: dict[dt.date, tuple[dt.datetime, _Report | str]] = {}

    def of(self, order: OrderRecord) -> Expectation:
        """Of an order that has begun: from the newest report of a day before its first bar's."""
        date = order.arrived().first_bar.date()
        found = self._before(date)
        if isinstance(found, str):
            return Expectation(None, None, None, found)
        horizon = self._universe.horizon
        if order.max_bars != horizon:
            return Expectation(
                None, None, None, f"the report of {found.date} has no orders of at most {order.max_bars} bars"
            )
        for m, mean, low, high, count in found.rows.get((order.side, order.benchmark, order.target), ()):
            # The more an order may choose from, the more it is worth: a later m says too little, never too much.
            if m >= order.min_bars:
                words = f"{count} orders of {m} to {horizon} bars in the report of {found.date}, after assumed costs"
                return Expectation(mean, low, high, words)
        return Expectation(
            None, None, None, f"the report of {found.date} has no orders of {order.min_bars} or more bars"
        )

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
