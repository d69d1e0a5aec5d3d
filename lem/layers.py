"""The floors of this library, from the ground up: each imports from those before it, and none from those after it.

A test holds every import against this list, and the picture in docs/architecture.md is made from it. Something new goes
to the lowest floor that has all it needs.
"""

from __future__ import annotations

LAYERS = {
    "errors": "the errors that users see",
    "layers": "this list",
    "code": "which code this is, as a hash",
    "late": "numpy, pandas, pandera and Arrow's functions, imported where they are first used",
    "numerics": "the same bits on every run",
    "progress": "progress bars for whoever asked for them",
    "masking": "keys and passwords out of messages",
    "fencing": "which step may overwrite: tokens of lake and registry",
    "execution": "parent orders, their terms, one step, fills, costs, gain",
    "theory": "what is best on a driftless market: the dynamic programme with costs, its tables",
    "lake": "bytes and tables on a file system, fenced",
    "universe": "the universe file, calendars, windows of dates, the settings of every section",
    "registry": "models, their manifests, decisions, live orders in SQL",
    "sources": "bars from files, exchanges, archives",
    "data": "rules for bars, causal features, the panel",
    "model": "the network, streaming, a model that may trade",
    "strategies": "rules, the learned strategy, bounds",
    "backtest": "simulator, intervals, leak panel, tables of orders",
    "lineage": "stages, partition keys, versions, staleness, quarantine",
    "drift": "whether inputs or gains are no longer what they were",
    "training": "objective, trainer, manifest, rebuild",
    "gate": "sanity, judgement, champion, decisions by hand",
    "reports": "tables, figures, words, the page",
    "alerts": "what is wrong at this moment, and who was told",
    "advice": "live orders, bar by bar",
    "paper": "a venue that fills live orders on paper",
    "export": "models as files that run without this package",
    "dictionary": "every table and column in words",
    "notebook": "the same from Python, for people",
}
"""Packages and loose modules of `lem`, the lowest first, with what belongs there."""
