"""`lem paper`: a venue that fills live orders on paper."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lem.errors import LemError, PaperError
from lem_pipeline.cli.options import UniverseName
from resources.terminal import console

if TYPE_CHECKING:
    from lem.paper.client import Client
    from lem.universe import Universe


def paper(
    universe: UniverseName,
    url: Annotated[
        str | None, typer.Option(help="Address of the service, with its token in LEM_TOKEN; without it, no server.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="Without --url: begin at this moment of the past (UTC); bars pass at once."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all chance.")] = 0,
    participation: Annotated[float, typer.Option(help="Most that a slice gets of its bar's volume.")] = 0.25,
    partial: Annotated[float, typer.Option(help="Probability that a slice is filled in part only.")] = 0.0,
    parts: Annotated[int, typer.Option(help="Most fills of a slice.")] = 1,
    delay: Annotated[float, typer.Option(help="Longest time from a trade to its telling, in seconds.")] = 0.0,
    duplicates: Annotated[float, typer.Option(help="Probability that something is told twice.")] = 0.0,
    corrections: Annotated[float, typer.Option(help="Probability that a fill is corrected later, or broken.")] = 0.0,
    fee_bps: Annotated[float | None, typer.Option(help="Fee of a fill; that of [costs] if left out.")] = None,
    half_spread_bps: Annotated[
        float | None, typer.Option(help="What a fill costs beyond the bar's price; that of [costs] if left out.")
    ] = None,
    lot: Annotated[
        str | None, typer.Option(help="Amounts are multiples of it; the order's own lot if left out.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.01, max=3600, help="Seconds between two looks at the desk.")] = 1.0,
    stay: Annotated[bool, typer.Option("--stay", help="Wait for orders that come, until Ctrl-C.")] = False,
    state: Annotated[
        Path | None, typer.Option(help="File of the venue's books; in the home if left out.", dir_okay=False)
    ] = None,
) -> None:
    """Fill the slices of live orders on paper, on the bars in which they trade, and tell the fills as a desk would."""
    from lem.advice.feed import Feed
    from lem.paper.bars import ClosedBars
    from lem.paper.behaviour import Behaviour
    from lem.paper.book import Book
    from lem.paper.venue import PaperVenue
    from lem_pipeline.cli.show_paper import Telling
    from resources.opening import open_lake, universe_named
    from resources.settings import Settings
    from resources.stores import SourceResource

    chosen, settings = universe_named(universe), Settings()
    behaviour = Behaviour(
        seed=seed,
        participation=participation,
        partial=partial,
        parts=parts,
        delay=delay,
        duplicates=duplicates,
        corrections=corrections,
        fee_bps=chosen.costs.fee_bps if fee_bps is None else fee_bps,
        half_spread_bps=chosen.costs.half_spread_bps if half_spread_bps is None else half_spread_bps,
        lot=None if lot is None else _number(lot),
    )
    client = _client(chosen, url, at, every)
    bars = ClosedBars(chosen, Feed(chosen, open_lake(), SourceResource().open(chosen)))
    telling = Telling(console)
    book = Book(state or settings.home / "paper" / f"{chosen.name}.sqlite", chosen.name)
    grace = dt.timedelta(seconds=chosen.source.capabilities.grace_seconds)
    with closing(book):
        for turn in PaperVenue(client, bars, book, behaviour, grace).follow(stay):
            telling.show(turn)


def _client(universe: Universe, url: str | None, at: str | None, every: float) -> Client:
    from resources.settings import Settings

    if url is None:
        from lem.paper.own_desk import OwnDesk
        from lem_pipeline.service.advising import open_advisor

        return OwnDesk(open_advisor(universe.name, at), every)
    from lem.paper.http_desk import HttpDesk

    if at is not None:
        raise LemError("--at with --url; allowed: one of them; the service's clock says what time it is")
    return HttpDesk(url, universe.name, Settings().token.get_secret_value(), every)


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise PaperError(f"--lot {text[:80]!a}; allowed: a number such as 0.001") from None
