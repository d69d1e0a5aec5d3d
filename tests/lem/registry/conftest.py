"""A registry in a SQLite file, and models to put into it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lem.registry import InputVersion, ModelRecord, Registry, manifest_id


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/registry.db"


@pytest.fixture
def registry(url: str) -> Registry:
    return Registry(url)


@pytest.fixture
def make_model() -> Callable[..., ModelRecord]:
    """A record for a date in January 2024; other names than a record's fields go into its manifest."""

    def make(day: int = 10, *, universe: str = "crypto", **changes: Any) -> ModelRecord:
        usable_on = dt.date(2024, 1, day)
        manifest = {"usable_on": usable_on.isoformat(), "universe": universe, "seed": changes.get("seed", 7)}
        fields: dict[str, Any] = {
            "id": manifest_id(manifest),
            "universe": universe,
            "usable_on": usable_on,
            "train_start": dt.date(2023, 1, 1),
            "train_end": usable_on,
            "weights_sha256": "5e" * 32,
            "weights_path": "weights/5e.safetensors",
            "code_version": "0.1.0",
            "seed": 7,
            "manifest": manifest,
            "inputs": [InputVersion("panel", "2023-01-01", "v1"), InputVersion("panel", "2023-01-02", "v2")],
        }
        return ModelRecord(**fields | changes)

    return make
