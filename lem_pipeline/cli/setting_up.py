"""`lem new`, `lem check` and `lem doctor`: a universe of one's own, and whether it and this machine can be used."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from lem_pipeline.cli.options import UniverseName
from resources.terminal import console


def check(universe: UniverseName) -> None:
    """Look at a universe: its file, its dates, a first and a last bar of each asset, lake, registry and history."""
    from lem_pipeline.checking.stores import store_findings
    from lem_pipeline.checking.universe import universe_findings
    from lem_pipeline.cli.show_checks import show_findings

    findings = [universe_findings(universe, dt.datetime.now(dt.UTC).date()), store_findings()]
    if not show_findings(console, (one for group in findings for one in group)):
        raise typer.Exit(1)


def doctor() -> None:
    """Look at this machine: the installation, settings, universe files, lake, registry, history and disk."""
    from lem_pipeline.checking.machine import machine_findings
    from lem_pipeline.cli.show_checks import show_findings

    if not show_findings(console, machine_findings()):
        raise typer.Exit(1)


def new(
    name: Annotated[str, typer.Argument(help="Name of the universe: small letters, digits and _.")],
    venue: Annotated[
        str,
        typer.Option(
            prompt="Venue (an exchange in ccxt's name, or simulated, files, yahoo)",
            help="An exchange in ccxt's name (binance, okx, ...), or simulated, files, yahoo.",
        ),
    ],
    symbols: Annotated[
        str,
        typer.Option(
            prompt="Symbols, separated by commas (BTC-USDT,ETH-USDT)",
            help="Canonical symbols, separated by commas: BTC-USDT,ETH-USDT or AAPL,BRK.B.",
        ),
    ],
    bar: Annotated[
        str,
        typer.Option(
            prompt="Bar (1min, 5min, 15min, 30min, 1h, 2h, 4h, 1d)",
            help="Length of a bar: 1min, 5min, 15min, 30min, 1h, 2h, 4h or 1d.",
        ),
    ],
    start: Annotated[str, typer.Option(help="First date with data (UTC); some years back if left out.")] = "",
    calendar: Annotated[str, typer.Option(help="24/7, or an exchange, as XNYS; by default as the venue.")] = "",
    url: Annotated[
        str, typer.Option(help="Of the files, with {symbol} and {data}; or of another REST interface of the venue.")
    ] = "",
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Ask the source for each asset's first bar, for its listing.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
) -> None:
    """Write a universe file with comments, in LEM_UNIVERSES or universes/; asks for what is not given."""
    from lem.universe.written import NewUniverse, default_calendar, default_start
    from lem_pipeline.checking.new_universe import write
    from lem_pipeline.planning.days import day
    from resources.settings import Settings

    today = dt.datetime.now(dt.UTC).date()
    chosen = NewUniverse(
        name=name,
        venue=venue.strip(),
        symbols=tuple(dict.fromkeys(one.strip() for one in symbols.split(",") if one.strip())),
        bar=bar.strip(),
        calendar=calendar or default_calendar(venue.strip()),
        start=day(start) if start else default_start(bar.strip(), today),
        url=url,
    )
    path = write(chosen, Settings().universes or Path("universes"), today, probe=probe, force=force)
    console.print(f"{escape(str(path))} is written; next: lem check -u {name}, then lem run -u {name}")
