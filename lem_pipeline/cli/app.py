"""The `lem` command. Every run goes through Dagster: its history, lineage and checks are in the UI afterwards."""

from __future__ import annotations

import datetime as dt
import os
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from dotenv import load_dotenv
from rich.console import Console
from rich.markup import escape

from lem.errors import LemError, UniverseError
from lem_pipeline.cli.advise import advise, serve
from lem_pipeline.cli.alert import alert
from lem_pipeline.cli.models import models
from lem_pipeline.cli.options import Day, UniverseName
from lem_pipeline.cli.panels import DAILY, ORDERS, SETTING_UP, UPKEEP, Panels
from lem_pipeline.cli.paper import paper
from lem_pipeline.cli.setting_up import check, doctor, new
from lem_pipeline.cli.stopping import Stoppable
from lem_pipeline.planning.days import day, partition_day
from resources.opening import open_lake, open_registry, registry_to_read, universe_named
from resources.privacy import keep_private
from resources.terminal import console

if TYPE_CHECKING:
    from lem.universe import Universe
    from lem_pipeline.running.execute import Runner


class Commands(Stoppable, Panels):
    """The commands of `lem`."""


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(models, rich_help_panel=DAILY)
app.add_typer(alert, rich_help_panel=UPKEEP)
app.add_typer(advise, rich_help_panel=ORDERS)
app.command(rich_help_panel=ORDERS)(serve)
app.command(rich_help_panel=ORDERS)(paper)
for command in (new, check, doctor):
    app.command(rich_help_panel=SETTING_UP)(command)

Force = Annotated[bool, typer.Option("--force", help="Make again what is there already.")]
Redecide = Annotated[
    bool,
    typer.Option("--redecide", help="Decide again what was decided; says first what it replaces."),
]
OnWorkers = Annotated[bool, typer.Option("--on-workers", help="Let the workers of many machines make it.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # with the parser of mails

        console.print(f"lem {metadata.version('lem-pipeline')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Large Execution Models: bars to features to a champion model to a report you can believe."""


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def _runner(universe: Universe, on_workers: bool = False) -> Runner:
    from lem_pipeline.build import build
    from lem_pipeline.running.execute import Runner

    workers = "lem_pipeline.definitions" if on_workers else ""
    return Runner(universe, build([universe]), open_lake(), open_registry(), workers=workers)


@app.command(rich_help_panel=DAILY)
def run(
    universe: UniverseName,
    date: Day = None,
    force: Force = False,
    redecide: Redecide = False,
    on_workers: OnWorkers = False,
) -> None:
    """Make a date's report and everything it needs: bars, features, models, decisions, backtests."""
    from lem.lineage.stages import MODEL
    from lem_pipeline.cli.decided import show_undecided
    from lem_pipeline.cli.reports import show_next_steps
    from lem_pipeline.cli.show import show_nights, show_report
    from lem_pipeline.planning.dates import dates_for, latest_report_date
    from lem_pipeline.planning.estimate import foretold, measured_rates
    from lem_pipeline.planning.plan import report_steps
    from lem_pipeline.planning.redecide import redecided, told
    from lem_pipeline.running.execute import readjust, refetch, revisit, run_steps
    from lem_pipeline.running.home import instance

    chosen = universe_named(universe)
    wanted = partition_day(chosen, date) if date else latest_report_date(chosen, _today())
    dates = dates_for(chosen, wanted, _today())
    runner = _runner(chosen, on_workers)
    lake, registry = runner.lake, runner.registry
    if redecide:
        dates = redecided(lake, registry, chosen, dates)
        for line in told(registry, chosen, dates):
            console.print(escape(line))
    refetch(runner, dates.data)
    readjust(runner, _today())
    if not force:
        revisit(runner, dates.data, _today())
    steps = report_steps(lake, registry, chosen, dates, force)
    console.print(
        f"Universe [bold]{chosen.name}[/bold] ({escape(chosen.description)}): report of {wanted}, "
        f"{len(dates.orders)} walk-forward days, {len(dates.training)} models, bars from {dates.fetched[0]}"
    )
    console.print(
        "Everything is there already." if not steps else foretold(chosen, steps, measured_rates(instance(), chosen))
    )
    if steps:
        run_steps(runner, steps, keep=not force)
    show_report(console, lake, chosen, wanted)
    show_undecided(console, registry, chosen, dates, _today())
    show_nights(console, registry, chosen, [wanted, *(s.first.date for s in steps if s.tables == (MODEL,))])
    show_next_steps(console, lake, chosen)


@app.command(
    rich_help_panel=DAILY,
    epilog="Exit codes: 0 all is well, 1 it failed, 3 it was degraded, 4 all is well but an alert could not be sent.",
)
def night(universe: UniverseName, redecide: Redecide = False) -> None:
    """Make all that is missing up to today, as the nightly schedule does: data, today's model, decision and report."""
    from lem_pipeline.cli.night import nightly

    raise typer.Exit(nightly(universe, _runner, _today(), redecide))


@app.command(rich_help_panel=UPKEEP)
def backfill(
    universe: UniverseName,
    first: Annotated[str, typer.Option("--from", help="First date of the panel (UTC).")],
    last: Annotated[str, typer.Option("--to", help="Last date (UTC).")],
    force: Force = False,
    on_workers: OnWorkers = False,
) -> None:
    """Make bars, features and panels of a range of dates, and again what is out of date there; leave alone the rest."""
    from lem.universe.calendars import check_partitions, partition_dates
    from lem_pipeline.planning.dates import data_dates, last_data_date
    from lem_pipeline.planning.estimate import foretold, measured_rates
    from lem_pipeline.planning.plan import backfill_steps
    from lem_pipeline.running.execute import judge_again, readjust, refetch, revisit, run_steps
    from lem_pipeline.running.home import instance

    chosen, start, end = universe_named(universe), day(first), day(last)
    latest = last_data_date(chosen, _today())
    if not chosen.start <= start <= end <= latest:
        raise UniverseError(f"from {start} to {end}; allowed: an ordered range within {chosen.start} to {latest}")
    check_partitions(chosen, start, end)
    dates = partition_dates(chosen, start, end)
    data = data_dates(chosen, dates[0], dates[-1])
    runner = _runner(chosen, on_workers)
    refetch(runner, data)
    readjust(runner, _today())
    if not force:
        revisit(runner, data, _today())
    steps = backfill_steps(runner.lake, runner.registry, chosen, dates[0], dates[-1], force)
    console.print(
        f"{foretold(chosen, steps, measured_rates(instance(), chosen))}; bars from {data['raw_bars'][0]}, features and "
        f"panels from {dates[0]}, both to {dates[-1]}"
    )
    run_steps(runner, steps, keep=not force)
    if steps:
        judge_again(runner, dates)


@app.command(rich_help_panel=DAILY)
def status(universe: UniverseName) -> None:
    """What is in the lake, what is missing there, stale or quarantined and how to repair it, and the champion."""
    from lem_pipeline.cli.status import show_status

    show_status(console, open_lake(), registry_to_read(), universe_named(universe), _today())


@app.command(rich_help_panel=DAILY)
def report(
    universe: UniverseName,
    date: Day = None,
    save: Annotated[Path | None, typer.Option(help="Copy the page to this file.")] = None,
    order: Annotated[bool, typer.Option("--order", help="Show one order in full: the median one.")] = False,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(help="Two dates, or the ids of two models, side by side.")
    ] = None,
) -> None:
    """Show a report's results and where its page lies (the latest report if no date is given)."""
    from lem_pipeline.cli.show import save_report, show_report

    chosen = universe_named(universe)
    lake = open_lake()
    if compare:
        if date or order:
            raise UniverseError("--compare names what it shows itself; allowed: --compare A B, with --save or without")
        from lem_pipeline.cli.show_comparison import show_comparison  # with what makes a page: torch, matplotlib

        show_comparison(console, lake, registry_to_read, chosen, compare, save)
        return
    if order:
        if save:
            raise UniverseError("--save copies a page, and one order has none; allowed: --order, with -d or without")
        from lem_pipeline.cli.reports import show_order

        show_order(console, lake, chosen, partition_day(chosen, date) if date else None)
        return
    wanted = show_report(console, lake, chosen, partition_day(chosen, date) if date else None)
    if save:
        save_report(console, lake, chosen, wanted, save)


@app.command(rich_help_panel=UPKEEP)
def reap(
    older_than: Annotated[
        str, typer.Option(help="Also what nothing was heard of for longer than this, as in 90m, 6h or 2d.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Clear what is listed; without it, nothing is changed.")] = False,
) -> None:
    """List, and with --yes clear, what killed processes left.

    That is: runs that never end, pool slots, backfills, files, and partitions that were written and not recorded.
    """
    from lem_pipeline.cli.show_reap import show_findings
    from lem_pipeline.repair.reap import age, findings
    from lem_pipeline.repair.unrecorded import unrecorded
    from lem_pipeline.running.home import instance
    from resources.opening import all_universes

    seconds, lake, dagster = age(older_than) if older_than else None, open_lake(), instance()
    lost = partial(unrecorded, dagster, lake, all_universes().values())
    show_findings(console, findings(dagster, Path(lake.root) if lake.local else None, seconds, lost), clear=yes)


@app.command(rich_help_panel=UPKEEP)
def prune(
    keep_days: Annotated[int, typer.Option(help="Reports, runs and evaluations of this many days stay.", min=1)] = 90,
    refused: Annotated[
        bool, typer.Option("--refused", help="Also the weights of old candidates that never were champion.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what can go; without it, nothing is removed.")] = False,
) -> None:
    """List, and with --yes remove, what is old and what nothing needs any more; says bytes of each kind.

    What a rebuild or an audit needs stays: data, manifests, decisions, live orders, the weights of every champion.
    """
    from lem_pipeline.cli.show_prune import show_plan, show_removed
    from lem_pipeline.pruning.kinds import Age
    from lem_pipeline.pruning.prune import carry_out, plan
    from lem_pipeline.running.home import instance
    from resources.opening import all_universes
    from resources.settings import Settings

    age = Age(dt.datetime.now(dt.UTC), keep_days, refused)
    lake, registry, dagster = open_lake(), registry_to_read(), instance()
    universes = all_universes()
    kinds = plan(lake, registry, universes, dagster, age)
    if not yes:
        show_plan(console, kinds, f"lem prune --keep-days {keep_days}" + " --refused" * refused + " --yes")
        return
    carry_out(kinds, dagster, Settings().home / "locks" / "prune")
    show_removed(console, kinds, plan(lake, registry, universes, dagster, age))


@app.command(rich_help_panel=DAILY)
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs LEM_UI_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 3000,
    workspace: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A workspace.yaml of code servers; then no daemon, which runs elsewhere."
        ),
    ] = None,
) -> None:
    """Open the Dagster UI on http://HOST:PORT, with the daemon that runs what is started there."""
    from lem_pipeline.running.webserver import become_webserver

    become_webserver(console, host, port, workspace)


def main() -> None:
    """Entry point: an error a user can act on is one message and exit code 1."""
    warnings.simplefilter("ignore")
    # Settings read the file too; this is for what others read from the environment: AWS_..., and Dagster's processes.
    load_dotenv(".env")
    # Not by `Settings`, which refuses wrong values: the command says so where it reads them.
    keep_private(Path(os.environ.get("LEM_HOME") or ".lem"))
    try:
        app()
    except LemError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/bold red] {escape(str(error))}")
        sys.exit(1)
