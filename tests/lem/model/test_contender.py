from __future__ import annotations

import datetime as dt

import pytest

from lem.errors import RegistryError
from lem.lake import Lake
from lem.model.contender import load_contender
from lem.model.lem import weights_hash
from lem.registry import ModelRecord
from tests.lem.builders import TINY, lively_model

DATES = dt.date(2024, 1, 18), dt.date(2024, 1, 9), dt.date(2024, 1, 15)


@pytest.mark.parametrize("manifest", [{}, {"model": "big"}])
def test_a_model_whose_manifest_does_not_say_its_size_is_not_loaded(tmp_path, manifest):
    record = ModelRecord("one", "tiny", *DATES, "0" * 64, "tiny/weights", "1", 0, manifest)
    with pytest.raises(RegistryError, match=r"model one: its manifest has no \[model\].*; allowed: "):
        load_contender(Lake(str(tmp_path)), record)


@pytest.mark.parametrize("said", [{}, {"base": "even"}, {"base": "programme"}])
def test_a_manifest_that_does_not_say_what_the_heads_correct_is_of_a_model_with_an_even_pace(tmp_path, said):
    config = TINY.model_copy(update={"base": said.get("base", "even")})
    weights = lively_model(config, seed=7).weights()
    Lake(str(tmp_path)).write_bytes("tiny/weights", weights)
    settings = {name: value for name, value in config.model_dump(mode="json").items() if name != "base"}
    manifest = {"model": settings | said}
    record = ModelRecord("one", "tiny", *DATES, weights_hash(weights), "tiny/weights", "1", 0, manifest)
    found = load_contender(Lake(str(tmp_path)), record).model
    assert found.config == config
    assert found.weights() == weights
