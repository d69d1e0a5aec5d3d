from __future__ import annotations

import datetime as dt

import pytest

from lem.errors import RegistryError
from lem.lake import Lake
from lem.model.contender import load_contender
from lem.registry import ModelRecord


@pytest.mark.parametrize("manifest", [{}, {"model": "big"}])
def test_a_model_whose_manifest_does_not_say_its_size_is_not_loaded(tmp_path, manifest):
    dates = dt.date(2024, 1, 18), dt.date(2024, 1, 9), dt.date(2024, 1, 15)
    record = ModelRecord("one", "tiny", *dates, "0" * 64, "tiny/weights", "1", 0, manifest)
    with pytest.raises(RegistryError, match=r"model one: its manifest has no \[model\].*; allowed: "):
        load_contender(Lake(str(tmp_path)), record)
