"""What `lem advise` prints: slices, orders, and why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from lem.advice.answers import Advice, Advised
    from lem.advice.audit import AuditEntry
    from lem.advice.order import OrderResult, OrderState


def show_advised(console: Console, advised: Advised) -> None:
    """Print a bar's slices, the orders that ended before it, and what has no advice."""
    for state in advised.ended:
        told_of = ended(state.result) if state.result else "nothing was measured"
        console.print(escape(f"Order {state.order.id} is {state.status}: {told_of}"))
    for advice in advised.slices:
        console.print(escape(told(advice)))
    for key, start in advised.waiting.items():
        console.print(escape(f"Order {key} begins with the first bar from {start:%Y-%m-%d %H:%M} UTC on"))
    for reason in dict.fromkeys(advised.refused.values()):
        keys = ", ".join(key for key, why in advised.refused.items() if why == reason)
        console.print(f"[red]no advice[/red] for {escape(f'{keys}: {reason}')}")
    if not (advised.slices or advised.ended or advised.waiting or advised.refused):
        console.print("No open orders; how to make one: lem advise new --help")


def told(advice: Advice) -> str:
    """A slice in words."""
    from lem.advice.amounts import digits
    from lem.advice.deciding import REASONS  # with torch, which takes seconds: a list of orders shows no slice

    against = "–" if advice.benchmark_price is None else f"{advice.benchmark_price:.8g}"
    gain = "–" if advice.gain_bps is None else f"{advice.gain_bps:+.1f} bps"
    return (
        f"{advice.bar:%Y-%m-%d %H:%M} to {advice.bar_end:%H:%M} UTC  order {advice.order_id}  {advice.side} "
        f"{digits(advice.exact_amount)} {_unit(advice)} ({advice.share:.1%})  "
        f"{'FINISH' if advice.finish else 'go on'} ({REASONS[advice.reason]})  bar {advice.number}  "
        f"remaining {digits(advice.exact_remaining)} ({advice.mode})  benchmark {against}  gain {gain}  "
        f"{_expected(advice)}champion {advice.model_id} ({advice.model_age_days} days old, {advice.model_verdict})  "
        f"as of {advice.as_of:%Y-%m-%d %H:%M}{'  repeated' if advice.repeated else ''}"
    )


def _expected(advice: Advice) -> str:
    if advice.expected_gain_bps is None:
        return f"expected gain not known ({advice.expected_from})  "
    low, high = advice.expected_low_bps, advice.expected_high_bps
    return f"expected gain {advice.expected_gain_bps:+.1f} bps, {low:+.1f} to {high:+.1f} ({advice.expected_from})  "


def _unit(advice: Advice) -> str:
    base, _, quote = advice.asset.partition("-")
    return base if advice.unit == "quantity" else quote or "currency"


def logged(entry: AuditEntry) -> str:
    """An entry of the audit log on one line."""
    who = " ".join(word for word in (entry.actor, entry.name, entry.address) if word)
    facts = "  ".join(f"{name} {value}" for name, value in entry.facts.items() if value is not None)
    return (
        f"{entry.id}  {entry.at:%Y-%m-%d %H:%M:%S} UTC  {who}  order {entry.order_id}  {entry.event}  {facts}".rstrip()
    )


def ended(result: OrderResult) -> str:
    """How an order ended, in words."""
    return (
        f"{result.filled_share:.1%} of it filled in {result.bars_used} bars at {result.achieved:.8g} against "
        f"{result.benchmark_price:.8g}, gain {result.gain_bps:+.1f} bps"
    )


def show_orders(console: Console, states: Sequence[OrderState]) -> None:
    """Print orders as a table."""
    table = Table(title="Orders")
    for column in ("id", "asset", "order", "size", "left", "m", "N", "start", "status", "result"):
        table.add_column(column, no_wrap=column == "id")
    for state in states:
        order, terms = state.order, state.order.order
        figures = [
            f"{order.size:.8g}",
            f"{float(state.left):.8g}",
            str(terms.min_bars),
            str(terms.max_bars),
            f"{order.start:%Y-%m-%d %H:%M}",
        ]
        status = f"{state.status}, {'closed' if state.closed_at else 'paused' if state.paused_at else order.mode}"
        result = ended(state.result) if state.result else ""
        table.add_row(order.id, order.asset, str(terms.scenario), *figures, status, result)
    console.print(table)
