"""The words of the page; what each rule does is said in the rule's own file."""

from __future__ import annotations

from typing import Any

from lem.reports.section import Material, Section
from lem.reports.tables import strategy_rank
from lem.strategies import rules


def words(material: Material) -> dict[str, Any]:
    """N, and the rules, those that the model must beat first."""
    ordered = sorted(rules.RULES, key=lambda rule: strategy_rank(rule.name))
    return {"horizon": material.inputs.horizon, "rules": [(rule.label, rule.meaning) for rule in ordered]}


SECTION = Section("Glossary", reads=("horizon",), words=words)
