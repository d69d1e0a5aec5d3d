"""The model registry: which models exist, what made them, how good they are, and which one trades when.

`lem.registry` is the database and the code that reads and writes it. The command `lem models` shows its models and
decides about them.
"""

from __future__ import annotations

from lem.registry.records import InputVersion, ModelRecord, PromotionRecord, canonical_json, manifest_id
from lem.registry.registry import Registry

__all__ = ["InputVersion", "ModelRecord", "PromotionRecord", "Registry", "canonical_json", "manifest_id"]
