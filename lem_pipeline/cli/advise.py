"""`lem advise`: orders, the next slice of each, and following the market; `lem serve`: the same over HTTP."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from lem.errors import AdviceError, LemError, OrderError
from lem_pipeline.cli.options import UniverseName
from resources.terminal import console

advise = typer.Typer(
    name="advise",
    help="Live orders: the next slice of each, from the champion and the latest bars.",
    no_args_is_help=True,
)

OrderId = Annotated[str, typer.Argument(help="Id of an order.")]
OptionalId = Annotated[str | None, typer.Argument(help="Id of an order; all open ones if left out.")]
At = Annotated[
    str | None,
    typer.Option("--at", help="Act as if it were this moment of the past (UTC, as 2024-03-30T10:00Z): a replay."),
]


@advise.callback()
def _who(context: typer.Context) -> None:
    from lem.advice.callers import Caller, acting_as, user_name

    context.with_resource(acting_as(Caller("cli", user_name())))


@advise.command()
def new(
    universe: UniverseName,
    asset: Annotated[str, typer.Option(help="Canonical symbol, as in the universe file.")],
    size: Annotated[str, typer.Option(help="Base quantity, or notional in quote currency (--target).")],
    side: Annotated[str, typer.Option(help="buy or sell the asset.")] = "buy",
    benchmark: Annotated[str, typer.Option(help="Price to be measured against: vwap or twap.")] = "vwap",
    target: Annotated[str, typer.Option(help="What is fixed about the order: quantity or notional.")] = "quantity",
    min_bars: Annotated[int, typer.Option(help="Fewest bars after which it may end (m).")] = 1,
    max_bars: Annotated[int | None, typer.Option(help="Bars by which it must have ended (N); the horizon.")] = None,
    min_rate: Annotated[float, typer.Option(help="Smallest share of the order in one bar.")] = 0.0,
    max_rate: Annotated[float, typer.Option(help="Largest share of the order in one bar.")] = 1.0,
    risk_aversion: Annotated[float, typer.Option(help="Weight of the gain's variance, 0 or more.")] = 1.0,
    mode: Annotated[
        str, typer.Option(help="assume: what is advised counts until told otherwise; confirm: only what is confirmed.")
    ] = "assume",
    limit_price: Annotated[str | None, typer.Option(help="Worst price, in quote currency; any if left out.")] = None,
    fallback: Annotated[bool, typer.Option("--fallback", help="Go on at a plain pace while bars are missing.")] = False,
    start: Annotated[str | None, typer.Option(help="First bar opens at or after it (UTC); the next bar.")] = None,
    order_id: Annotated[str | None, typer.Option("--id", help="Name of the order; one is made if left out.")] = None,
    at: At = None,
) -> None:
    """Take an order on. It is stored; its first slice comes with the next command."""
    from lem.advice.amounts import told_size
    from lem.advice.order import MODES, ParentOrder, new_id, scenario
    from lem.execution.orders import Order
    from lem_pipeline.service.advising import open_advisor, utc

    advisor = open_advisor(universe, at)
    kind = scenario(side, benchmark, target)
    horizon = advisor.universe.horizon if max_bars is None else max_bars
    terms = Order(kind, min_bars, horizon, min_rate, max_rate, risk_aversion)
    begins = utc(start, "--start") if start else advisor.start_of(order_id)
    if mode not in MODES:
        raise OrderError(f"--mode {mode[:80]!a}; allowed: {', '.join(MODES)}")
    limit = None if limit_price is None else _number(limit_price, "--limit-price")
    own = (order_id or new_id(), advisor.universe.name, asset)
    told = MODES[MODES.index(mode)]
    sized = told_size(_number(size, "--size"), "--size")
    order = ParentOrder(*own, terms, sized, begins, told, limit, fallback=fallback)
    state, is_new = advisor.submit(order, starts_next=start is None)
    console.print(escape(f"Order {state.order.id} is {'stored' if is_new else 'there already'} ({state.status})"))
    console.print(escape(f"Next: lem advise next -u {universe} {state.order.id}"))


@advise.command("next")
def next_slice(universe: UniverseName, order: OptionalId = None, at: At = None) -> None:
    """Print the slice to trade in the bar that is next; asked again, the same one, marked as repeated."""
    from lem_pipeline.cli.show_advice import show_advised
    from lem_pipeline.service.advising import open_advisor

    advised = open_advisor(universe, at).advise(order)
    show_advised(console, advised)
    raise typer.Exit(int(bool(advised.refused)))


@advise.command()
def follow(
    universe: UniverseName,
    order: OptionalId = None,
    bars: Annotated[int | None, typer.Option(min=1, help="Stop after this many bars have been advised.")] = None,
    at: At = None,
) -> None:
    """Print each bar's slices as soon as the bar before it has closed, until no order is open (or Ctrl-C)."""
    from lem.advice.follow import follow as follow_market
    from lem_pipeline.cli.show_advice import show_advised
    from lem_pipeline.service.advising import open_advisor

    try:
        for told in follow_market(open_advisor(universe, at), order, bars):
            if isinstance(told, AdviceError):
                console.print(f"[red]no advice[/red]: {escape(str(told))}")
            else:
                show_advised(console, told)
    except KeyboardInterrupt:
        console.print("Stopped; what was advised is stored, and the same command goes on.")


@advise.command("list")
def list_orders(
    universe: UniverseName,
    every: Annotated[bool, typer.Option("--all", help="Those that have ended, too, with what came of them.")] = False,
    status: Annotated[list[str] | None, typer.Option(help="Only orders in this state; may be repeated.")] = None,
    asset: Annotated[list[str] | None, typer.Option(help="Only orders of this one; may be repeated.")] = None,
    since: Annotated[str | None, typer.Option(help="Only orders taken on at or after it (UTC).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    cursor: Annotated[str | None, typer.Option(help="Id of the last order of the page before.")] = None,
) -> None:
    """List the orders, the newest first; those that are open, unless --all or --status says otherwise."""
    from lem.advice.listing import Listing
    from lem.advice.order import OPEN, STATUSES
    from lem.advice.store import AdviceStore
    from lem_pipeline.cli.show_advice import show_orders
    from lem_pipeline.service.advising import utc
    from resources.opening import universe_named
    from resources.settings import Settings

    if unknown := [one for one in status or [] if one not in STATUSES]:
        raise OrderError(f"--status {unknown[0][:80]!a}; allowed: {', '.join(STATUSES)}")
    chosen = [one for one in STATUSES if one in status] if status else None if every else OPEN
    begin = utc(since, "--since") if since else None
    page = AdviceStore(Settings().registry).page(
        universe_named(universe).name, Listing(chosen, asset or None, begin, cursor, limit)
    )
    show_orders(console, page.states)
    if page.cursor is not None:
        console.print(escape(f"There are more: the same command with --cursor {page.cursor}"))


@advise.command("log")
def audit_log(
    universe: UniverseName,
    order: Annotated[str | None, typer.Option(help="Id of an order; all orders if left out.")] = None,
    since: Annotated[str | None, typer.Option(help="Only what was done at or after it (UTC).")] = None,
) -> None:
    """Print who did what to live orders, when and from where, the oldest first. Nothing of it can be changed."""
    from lem.advice.store import AdviceStore
    from lem_pipeline.cli.show_advice import logged
    from lem_pipeline.service.advising import utc
    from resources.opening import universe_named
    from resources.settings import Settings

    log, name = AdviceStore(Settings().registry).audit, universe_named(universe).name
    for entry in log.entries(name, order, utc(since, "--since") if since else None):
        console.print(escape(logged(entry)), soft_wrap=True)


@advise.command()
def show(universe: UniverseName, order: OrderId) -> None:
    """Print every slice that was advised for an order."""
    from lem_pipeline.cli.show_advice import show_orders, told
    from lem_pipeline.service.advising import open_advisor

    advisor = open_advisor(universe)
    show_orders(console, [advisor.order(order)])
    for advice in advisor.history(order):
        filled = "" if advice.exact_filled is None else f"  filled {advice.exact_filled:f}"
        console.print(escape(told(advice).removesuffix("  repeated") + filled))


@advise.command()
def fill(
    universe: UniverseName,
    order: OrderId,
    amount: Annotated[str, typer.Option(help="What was filled, in the order's own unit.")],
    fill_id: Annotated[
        str | None, typer.Option("--fill-id", help="The venue's id of one fill; without it, --amount is a bar's total.")
    ] = None,
    bar: Annotated[str | None, typer.Option(help="Open of the bar (UTC) of the slice that it belongs to.")] = None,
    price: Annotated[str | None, typer.Option(help="Of the fill, in quote currency.")] = None,
    fee: Annotated[str | None, typer.Option(help="Of the fill, in quote currency; below 0 for a rebate.")] = None,
    time: Annotated[str | None, typer.Option(help="When it traded (UTC); says which bar it belongs to.")] = None,
    correct: Annotated[bool, typer.Option("--correct", help="It replaces what was told under --fill-id.")] = False,
    at: At = None,
) -> None:
    """Tell what was really filled: one fill with --fill-id, or a bar's total. It counts whenever it is told."""
    from lem.advice.fills import FillNews
    from lem_pipeline.service.advising import open_advisor, utc

    opened = utc(bar, "--bar") if bar else None
    if fill_id is None:
        if opened is None or price is not None or fee is not None or time is not None or correct:
            raise OrderError("no --fill-id; allowed: --bar and --amount for a bar's total, or --fill-id for one fill")
        done = open_advisor(universe, at).total(order, opened, _number(amount, "--amount"))
        console.print(
            escape(f"Order {order}: {done.exact_filled:f} filled in the bar of {done.bar:%Y-%m-%d %H:%M} UTC")
        )
        return
    paid = None if price is None else _number(price, "--price")
    charged = None if fee is None else _number(fee, "--fee")
    traded = utc(time, "--time") if time else None
    news = FillNews(fill_id, _number(amount, "--amount"), paid, charged, traded, opened, correct)
    told, is_new = open_advisor(universe, at).fill(order, news)
    state = f"revision {told.revision}" if is_new else "told before"
    console.print(
        escape(
            f"Order {order}: fill {fill_id} of {told.amount:f} in the bar of {told.bar:%Y-%m-%d %H:%M} UTC ({state})"
        )
    )


@advise.command()
def pause(universe: UniverseName, order: OrderId, at: At = None) -> None:
    """Advise nothing on an open order until it is resumed; its bars go by."""
    from lem_pipeline.service.advising import open_advisor

    paused = open_advisor(universe, at).pause(order)
    console.print(escape(f"Order {order} is paused; go on: lem advise resume -u {universe} {paused.order.id}"))


@advise.command()
def resume(universe: UniverseName, order: OrderId, at: At = None) -> None:
    """Go on with an order that was paused."""
    from lem_pipeline.service.advising import open_advisor

    console.print(escape(f"Order {order} is {open_advisor(universe, at).resume(order).status}"))


@advise.command()
def amend(
    universe: UniverseName,
    order: OrderId,
    size: Annotated[str | None, typer.Option(help="No less than what counts as filled.")] = None,
    min_bars: Annotated[int | None, typer.Option(help="Fewest bars after which it may end (m).")] = None,
    max_bars: Annotated[int | None, typer.Option(help="Bars by which it must have ended (N).")] = None,
    min_rate: Annotated[float | None, typer.Option(help="Smallest share of the order in one bar.")] = None,
    max_rate: Annotated[float | None, typer.Option(help="Largest share of the order in one bar.")] = None,
    risk_aversion: Annotated[float | None, typer.Option(help="How urgent: the weight of the gain's variance.")] = None,
    limit_price: Annotated[str | None, typer.Option(help="Worst price, in quote currency; none for any.")] = None,
    at: At = None,
) -> None:
    """Change terms of an open order; what is left is planned anew from the next bar."""
    from lem.advice.amend import Amendment
    from lem.advice.amounts import as_told, digits, told_size
    from lem_pipeline.service.advising import open_advisor

    free = limit_price is not None and limit_price.lower() == "none"
    limit = None if limit_price is None or free else _number(limit_price, "--limit-price")
    sized = None if size is None else told_size(_number(size, "--size"), "--size")
    wanted = Amendment(sized, min_bars, max_bars, min_rate, max_rate, risk_aversion, limit, free)
    state = open_advisor(universe, at).amend(order, wanted)
    terms = state.order.order
    console.print(
        escape(
            f"Order {order} is {state.status}: {state.left:f} left of {digits(as_told(state.order.size))}, over within "
            f"{terms.min_bars} to {terms.max_bars} bars; amended {state.amended} times"
        )
    )


@advise.command()
def close(universe: UniverseName, order: OrderId, at: At = None) -> None:
    """Close an order that has ended: no fill of it is taken any more."""
    from lem_pipeline.service.advising import open_advisor

    closed = open_advisor(universe, at).close(order)
    console.print(escape(f"Order {order} is {closed.status} and closed"))


@advise.command()
def cancel(universe: UniverseName, order: OrderId) -> None:
    """Cancel an open order: it gets no more slices."""
    from lem_pipeline.service.advising import open_advisor

    console.print(escape(f"Order {order} is {open_advisor(universe).cancel(order).status}"))


@advise.command()
def report(
    universe: UniverseName,
    order: Annotated[str | None, typer.Argument(help="Id of an order that has ended or was cancelled.")] = None,
    date: Annotated[str | None, typer.Option(help="A day (UTC): all orders that began on it, as a table.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write it to this file: a page (.html), or .json.")] = None,
    at: At = None,
) -> None:
    """Report what an order, or a day's orders, came to on real fills, and what rules would have done."""
    from lem_pipeline.cli.show_order_reports import show_report
    from lem_pipeline.planning.days import day
    from lem_pipeline.service.advising import open_advisor

    if (order is None) == (date is None):
        raise OrderError("a report on neither an order nor a day, or on both; allowed: the id of an order, or --date")
    chosen = day(date) if date is not None else None
    advisor = open_advisor(universe, at)
    show_report(console, advisor.reports(chosen) if chosen else advisor.report(str(order)), save)


def serve(
    universe: UniverseName,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs LEM_TOKEN or LEM_TOKENS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8321,
    at: At = None,
    speed: Annotated[float, typer.Option(min=0.001, max=1e6, help="With --at: seconds that pass there in one.")] = 1.0,
    decide: Annotated[
        str, typer.Option(help="Decide each bar by itself: told (while /events or a webhook is told), always or never.")
    ] = "told",
) -> None:
    """Serve advice over HTTP on http://HOST:PORT, with its description on /openapi.json."""
    from lem_pipeline.service.advising import open_advisor
    from lem_pipeline.service.decider import DECIDES
    from lem_pipeline.service.push import Push
    from lem_pipeline.service.run import run
    from lem_pipeline.service.tokens import check_tokens, tokens_of
    from resources.settings import Settings

    settings = Settings()
    tokens = tokens_of(settings.token.get_secret_value(), settings.tokens.get_secret_value())
    check_tokens(host, tokens)
    if at is None and speed != 1.0:
        raise LemError("--speed without --at; allowed: 1, the speed of the present")
    if decide not in DECIDES:
        raise OrderError(f"--decide {decide[:80]!a}; allowed: {', '.join(DECIDES)}")
    advisor = open_advisor(universe, at, speed)
    run(advisor, host, port, tokens, Push.of(advisor, DECIDES[DECIDES.index(decide)], settings))


def _number(text: str, what: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise OrderError(f"{what} {text[:80]!a}; allowed: a number such as 1.25") from None
