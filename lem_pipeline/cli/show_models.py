"""What `lem models` prints: models, their differences, and the decisions about them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lem.lineage.keys import name_missing
from lem.registry import ModelRecord, Registry
from lem.registry.manifest_difference import manifest_difference
from resources.terminal import show_table

if TYPE_CHECKING:
    from lem.training.rebuild import Rebuilt


def show_models(console: Console, registry: Registry, universe: str | None) -> None:
    """Print the registered models with the last decision about each, and the champion of each universe."""
    table = Table(title="Models")
    for column in ("model", "universe", "usable on", "trained on", "before costs (gate, bps)", "decision", "why"):
        table.add_column(column, no_wrap=True)
    records = registry.models(universe)
    universes = sorted({record.universe for record in records})
    judged = {d.candidate_id: d for name in universes for d in registry.decisions(name)}
    for record in records:
        decision = judged.get(record.id)
        gain = registry.gate_gain(record.id)
        table.add_row(
            record.id,
            record.universe,
            str(record.usable_on),
            f"{record.train_start} to before {record.train_end}",
            "-" if gain is None else f"{gain:.2f}",
            decision.verdict if decision else "not judged",
            escape(decision.sentence) if decision else "",
        )
    show_table(console, table)
    for name in universes:
        last = registry.promotions(name)[-1:]
        trades = [decision.champion_id for decision in last if decision.champion_id]
        console.print(f"Champion of {name}: {f'{trades[0]} (decided for {last[0].date})' if trades else 'none yet'}")


def show_model(console: Console, registry: Registry, model_id: str) -> None:
    """Print a model's manifest, its metrics and the decisions about it as JSON."""
    record = registry.model(model_id)
    decisions = [d for d in registry.decisions(record.universe) if d.candidate_id == record.id]
    console.print_json(
        json.dumps(
            {
                "id": record.id,
                **{key: value for key, value in record.manifest.items() if key != "inputs"},
                "partitions_read": len(record.inputs),
                "metrics": registry.metrics(record.id),
                "decisions": [{"date": f"{d.date}", "decision": d.sentence, "reasons": d.reasons} for d in decisions],
            }
        )
    )


def show_difference(console: Console, registry: Registry, one_id: str, other_id: str) -> None:
    """Print what differs between two models: keys of the manifests, partitions read, and metrics side by side."""
    one, other = registry.model(one_id), registry.model(other_id)
    found = manifest_difference(one, other)
    if found.same:
        console.print("The manifests are the same.")
    if found.keys:
        console.print(_beside("Manifests", one.id, other.id, found.keys))
    for what, names in (
        (f"only {one.id} read", found.only_in_one),
        (f"only {other.id} read", found.only_in_other),
        ("read in another version", found.other_version),
    ):
        if names:
            console.print(f"{len(names)} partitions {what}: {escape(name_missing(names))}")
    mine, theirs = (
        {f"{window}.{name}": f"{value:.6g}" for window, values in figures.items() for name, value in values.items()}
        for figures in (registry.metrics(one.id), registry.metrics(other.id))
    )
    metrics = {name: (mine.get(name, "-"), theirs.get(name, "-")) for name in sorted(mine | theirs)}
    if metrics:
        console.print(_beside("Metrics", one.id, other.id, metrics))


def _beside(title: str, one: str, other: str, rows: dict[str, tuple[str, str]]) -> Table:
    table = Table("", one, other, title=title)
    for name, values in rows.items():
        table.add_row(escape(name), *map(escape, values))
    return table


def show_history(console: Console, registry: Registry, universe: str) -> None:
    """Print every decision of a universe, in the order in which they were made, each with its reasons below it."""
    stands = {decision.date: decision for decision in registry.promotions(universe)}
    for decision in registry.decisions(universe):
        made = f"{decision.decided_at:%Y-%m-%d %H:%M:%S} UTC"
        refused = "candidate refused, " if decision.verdict == "refused" else ""
        what = f"{refused}{decision.outcome}{'' if stands[decision.date] == decision else ', replaced'}"
        console.print(f"{made}  for {decision.date}: [bold]{what}[/bold], champion {decision.champion_id or 'none'}")
        for reason in decision.reasons:
            console.print(f"    {escape(reason)}")


def show_rebuilt(console: Console, record: ModelRecord, again: Rebuilt) -> None:
    """Print whether a rebuilt model has the weights of its manifest, and what was not as it was then."""
    same = again.weights_sha256 == record.weights_sha256
    if again.superseded:
        console.print(
            f"{len(again.superseded)} of {len(record.inputs)} partitions have another content now; read as they were: "
            f"{name_missing(again.superseded)}"
        )
    for difference in again.differences:
        console.print(f"[yellow]not the same as then:[/yellow] {escape(difference)}")
    console.print(f"manifest: {record.weights_sha256}\nrebuilt:  {again.weights_sha256}")
    verdict = "[bold green]the same weights[/bold green]" if same else "[bold red]other weights[/bold red]"
    console.print(f"Model {record.id}: {verdict}")
