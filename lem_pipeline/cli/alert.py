"""`lem alert`: whether alerts arrive, and what is wrong at this moment."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer
from rich.markup import escape

from lem_pipeline.cli.night import show_unsent
from resources.opening import all_universes, open_alerts, open_lake, open_registry, universe_named
from resources.terminal import console

alert = typer.Typer(
    name="alert",
    help="Alerts: whether they arrive, and what is wrong at this moment.",
    no_args_is_help=True,
)


@alert.command()
def test() -> None:
    """Send a test to every address of LEM_ALERT_URLS; exit code 1 if one of them did not take it."""
    import socket

    from lem.alerts.sending import ALLOWED, SETTING, send
    from lem.errors import AlertError
    from lem_pipeline.running.telling import has_heartbeat, urls

    to = urls()
    if not to:
        raise AlertError(f"{SETTING} is not set: nobody would be told anything; {ALLOWED}")
    sent = send(to, "lem: a test", f"This is a test: alerts of lem on {socket.gethostname()} arrive here.", "info")
    for name in sent.accepted:
        console.print(f"[green]sent[/green] {escape(name)}")
    beats = "is fetched when a night went well" if has_heartbeat() else "is not set: nobody notices a dead machine"
    console.print(f"LEM_HEARTBEAT_URL {beats}")
    if sent.failed:
        raise AlertError("\n".join(sent.failed))


@alert.command(
    epilog="The daemon looks by itself once a minute. Without one, call this from cron some hours after the night."
)
def check(
    universe: Annotated[
        list[str] | None,
        typer.Option("--universe", "-u", help="A universe whose nights must come; all that are turned on if left out."),
    ] = None,
) -> None:
    """Look what is wrong, and tell what was not told yet; exit code 3 if anything is wrong, 4 if it cannot be sent."""
    from lem_pipeline.cli.night import DEGRADED, UNSENT
    from lem_pipeline.running.home import instance
    from lem_pipeline.running.telling import look_and_tell
    from lem_pipeline.running.watch import EVER, Watched, is_expected

    chosen = [universe_named(name) for name in universe] if universe else list(all_universes().values())
    lake, registry, store, dagster = open_lake(), open_registry(), open_alerts(), instance()
    found, unsent = dict[tuple[str, str, str], str](), list[str]()
    for one in chosen:
        watched = Watched(one, lake, registry, store, dagster)
        problems, failed = look_and_tell(watched, EVER if universe else is_expected(watched), dt.datetime.now(dt.UTC))
        found |= {(p.universe, p.kind, p.subject): f"{p.sentence} Next: {p.command}" for p in problems}
        unsent += failed
    for (name, _, _), text in found.items():
        console.print(f"[yellow]{escape(name or 'this machine')}:[/yellow] {escape(text)}")
    if not found:
        console.print("Nothing is wrong.")
    show_unsent(unsent)
    if found or unsent:
        raise typer.Exit(UNSENT if unsent else DEGRADED)
