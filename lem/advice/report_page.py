"""Reports on live orders as tables, as a page that stands alone, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import TypeAdapter

from lem.advice.amounts import ZERO, Digits, digits, minus
from lem.advice.deciding import REASONS
from lem.advice.executions import Execution
from lem.advice.order_report import OrderReport
from lem.advice.reporting import DayLine, DayReport
from lem.reports.grids import Grid
from lem.reports.report import ENVIRONMENT
from lem.reports.wording import label, number, percent

NOTES = (
    "Gain: side × (benchmark − price) / benchmark, in bps; positive is good. Shortfall: what was paid above the "
    "arrival price, or received below it; negative is good. Both are of what was filled.",
    "Where no fill was told, what was advised counts at its bar’s volume-weighted price in the mode assume, and "
    "nothing in the mode confirm. Fills without a price count at the average of the bar’s others, else at the bar’s.",
    "Rules trade on the same bars at the bars’ prices, to their own end; a cancelled order ends for them, too. Net is "
    "after fees for the desk, whose prices have the other costs in them, and after all assumed costs for rules.",
)


def as_json(report: OrderReport | DayReport) -> str:
    """A report as JSON; amounts in digits, times in ISO form."""
    return TypeAdapter(type(report)).dump_json(report, indent=2).decode()


def order_page(report: OrderReport) -> str:
    """The report on an order as a page."""
    title = f"Order {report.order_id}"
    return _page(title, _lead(report), order_grids(report), [*order_notes(report), *NOTES])


def day_page(day: DayReport) -> str:
    """The reports on a day's orders as a page."""
    count = len(day.orders)
    lead = f"{count} order{'' if count == 1 else 's'} of {day.universe} whose first bar lies on {day.date} (UTC)."
    return _page(f"Orders of {day.date}", lead, [day_grid(day)], [*day_notes(day), *NOTES])


def order_grids(report: OrderReport) -> list[Grid]:
    """The tables of one order: what it came to, who would have done what, and its bars."""
    grids = [_figures(report)]
    if report.execution is not None:
        grids.append(_executions([report.execution, *report.rules]))
        grids.append(_bars(report))
    return grids


def day_grid(day: DayReport) -> Grid:
    """A day's orders, one a row."""
    head = ["Order", "Asset", "Side", "Status", "Filled", "Gain", "Net gain", "Shortfall", "Fees", "TWAP", "Best rule"]
    caption = f"Orders of {day.date}; gains and shortfalls in bps, of TWAP and the best rule that knows costs net gains"
    return Grid(caption, head, [_row(line) for line in day.orders], numeric=False)


def _lead(report: OrderReport) -> str:
    price = "" if report.execution is None else f", {percent(report.execution.filled_share)} of it filled"
    return (
        f"{report.side.capitalize()} {digits(report.size)} {_unit(report)} of {report.asset} against "
        f"{report.benchmark.upper()}, in {report.min_bars} to {report.max_bars} bars: {report.status}{price}."
    )


def order_notes(report: OrderReport) -> list[str]:
    """What the figures of one order leave out, and what may still change them."""
    notes = []
    if report.rules_missing:
        notes.append(f"No rules beside it: {report.rules_missing}.")
    elif report.limit_price is not None:
        price = digits(report.limit_price)
        notes.append(f"The order had a limit price of {price}; the rules knew none and traded at any price.")
    if late := report.bars_late:
        notes.append(
            f"It began {late} bar{'' if late == 1 else 's'} after its start, as it had no advice before: arrival price "
            "and benchmark are those from its first bar on."
        )
    if assumed := _assumed(report):
        notes.append(
            f"{digits(assumed)} {_unit(report)} were not told by fills: they count at their bars’ prices, without fees "
            "or other costs."
        )
    if report.fills_without_fee:
        notes.append(f"{report.fills_without_fee} of the fills were told without a fee and count as free.")
    if not report.closed:
        notes.append("The order is not closed: fills that are told later change this report.")
    return notes


def day_notes(day: DayReport) -> list[str]:
    """Whose net gains of a day are not after all fees."""
    reports = [line.report for line in day.orders if line.report is not None]
    free = [report.order_id for report in reports if _assumed(report) or report.fills_without_fee]
    if not free:
        return []
    return [f"Not after all fees, as fills were told without one or not at all: the net gain of {', '.join(free)}."]


def _assumed(report: OrderReport) -> Digits:
    return minus(report.filled, report.confirmed)


def _page(title: str, lead: str, grids: Sequence[Grid], notes: Sequence[str]) -> str:
    template = ENVIRONMENT.get_template("orders.html.jinja")
    return template.render(title=title, lead=lead, grids=grids, notes=list(notes))


def _figures(report: OrderReport) -> Grid:
    unit, money = _unit(report), report.asset.partition("-")[2]

    def amount(value: Digits, name: str) -> str:
        return f"{digits(value)} {name}".strip()

    rows = [
        ["Universe", report.universe],
        ["Model", report.model_id or "none: it never began"],
        ["First and last bar", f"{_time(report.first_bar)} to {_time(report.last_bar)} UTC" if report.bars else "none"],
        ["Arrival price", _price(report.arrival_price)],
        ["Filled", amount(report.filled, unit)],
        ["Of it told by fills", amount(report.confirmed, unit)],
        ["Left", amount(max(report.left, ZERO), unit)],
        ["Filled beyond the order", amount(max(-report.left, ZERO), unit)],
        ["Fees", amount(report.fees, money) + ("" if report.fees_bps is None else f" ({_bps(report.fees_bps)} bps)")],
        ["Slippage to the bars’ prices", f"{_bps(report.slippage_bps)} bps"],
        ["Deviation from the slices", f"{percent(report.deviation_share)} of the order"],
        ["Left at the last close, against arrival", f"{_bps(report.opportunity_bps)} bps of the order"],
        ["Implementation shortfall", f"{_bps(report.implementation_shortfall_bps)} bps of the order"],
    ]
    return Grid(_lead(report), ["", "Value"], rows, numeric=False)


def _executions(executions: Sequence[Execution]) -> Grid:
    head = ["", "Filled", "Bars", "Price", "Benchmark", "Gain", "Net gain", "Shortfall", "Net shortfall"]
    rows = [
        [
            "Desk" if one.name == "desk" else label(one.name),
            percent(one.filled_share),
            str(one.bars),
            _price(one.average_price),
            _price(one.benchmark_price),
            *map(_bps, (one.gain_bps, one.net_gain_bps, one.shortfall_bps, one.net_shortfall_bps)),
        ]
        for one in executions
    ]
    return Grid("On the same bars; gains and shortfalls in bps", head, rows)


def _bars(report: OrderReport) -> Grid:
    head = ["Bar (UTC)", "Advised", "Filled", "Deviation", "Fills", "Price", "Bar’s price", "Why"]
    rows = [
        [
            _time(bar.bar),
            *(digits(amount) for amount in (bar.advised, bar.filled, bar.deviation)),
            str(bar.fills),
            _price(bar.price),
            _price(bar.market_price),
            REASONS[bar.reason],
        ]
        for bar in report.bars
    ]
    return Grid(f"Bars; amounts in {_unit(report)}", head, rows, numeric=False)


def _row(line: DayLine) -> list[str]:
    report = line.report
    row = [line.order_id, line.asset or "", line.side or "", line.status or "not readable"]
    if report is None or report.execution is None:
        return [*row, line.reason or "never began", *[""] * 6]
    own, rules = report.execution, {rule.name: rule for rule in report.rules}

    def net(name: str) -> str:
        return _bps(rules[name].net_gain_bps) if name in rules else "n/a"

    numbers = map(_bps, (own.gain_bps, own.net_gain_bps, own.shortfall_bps))
    return [*row, percent(own.filled_share), *numbers, digits(report.fees), net("twap"), net("optimal_with_costs")]


def _unit(report: OrderReport) -> str:
    base, _, quote = report.asset.partition("-")
    return base if report.target == "quantity" else quote or "currency"


def _or(shown: Callable[[float], str]) -> Callable[[float | None], str]:
    return lambda value: "n/a" if value is None else shown(value)


_bps = _or(lambda value: number(value, 2))
_price = _or(lambda value: f"{value:.8g}")


def _time(time: object) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else "none"
