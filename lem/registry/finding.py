"""Rows of the registry's tables, found: a model by its id or the beginning of it, and the decisions of a universe."""

from __future__ import annotations

import difflib

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from lem.errors import RegistryError
from lem.fencing import first_token
from lem.registry.records import InputVersion, ModelRecord
from lem.registry.tables import FenceRow, InputRow, ModelRow, PromotionLogRow, PromotionRow

MIN_PREFIX = 6
"""Fewest characters by which a model is found."""


def model_named(session: Session, model_id: str, shown: str) -> ModelRow:
    """A model by its id, or by the first characters of it.

    Args:
        session: that reads.
        model_id: the id, or its first `MIN_PREFIX` or more characters.
        shown: the database's URL without its password.

    Raises:
        RegistryError: no model has such an id, or several have; the message lists the nearest or the matching ids.
    """
    if len(model_id) < MIN_PREFIX or session.get(ModelRow, model_id) is not None:
        return model_of(session, model_id, shown)
    # Not LIKE, which ignores case on SQLite alone.
    begins = func.substr(ModelRow.id, 1, len(model_id)) == model_id
    rows = session.scalars(select(ModelRow).where(begins).order_by(ModelRow.id)).all()
    if len(rows) > 1:
        matching = ", ".join(row.id for row in rows)
        raise RegistryError(
            f"registry {shown}: {len(rows)} models begin with {model_id!r}: {matching}; give more characters"
        )
    return rows[0] if rows else model_of(session, model_id, shown)


def model_of(session: Session, model_id: str, shown: str) -> ModelRow:
    """A model by its whole id.

    Args:
        session: that reads.
        model_id: the id.
        shown: the database's URL without its password.

    Raises:
        RegistryError: there is none; the message lists the nearest.
    """
    row = session.get(ModelRow, model_id)
    if row is None:
        ids = session.scalars(select(ModelRow.id).order_by(ModelRow.usable_on, ModelRow.id)).all()
        near = difflib.get_close_matches(model_id, ids, n=3, cutoff=0.4) or ids[-3:]
        known = f"the nearest of {len(ids)}: {', '.join(near)}" if ids else "it holds no models"
        raise RegistryError(
            f"registry {shown}: no model {model_id!r}; {known}; allowed is a model's id, or to "
            f"read it the first {MIN_PREFIX} or more characters"
        )
    return row


def next_token(session: Session) -> int:
    """The next of the numbers that only grow: each is given once."""
    row = session.get(FenceRow, 1)
    if row is None:
        session.add(row := FenceRow(id=1, token=first_token()))
    else:
        row.token += 1
    session.flush()
    return row.token


def models_of(session: Session, query: Select[ModelRow]) -> list[ModelRecord]:
    """The models of a query. Of each dozens of partitions were read: those come as plain values, not as objects."""
    of_them = InputRow.model_id.in_(query.with_only_columns(ModelRow.id).order_by(None))
    columns = InputRow.model_id, InputRow.table_name, InputRow.partition_key, InputRow.data_version
    inputs: dict[str, list[InputVersion]] = {}
    for model_id, *read in session.execute(select(*columns).where(of_them)):
        inputs.setdefault(model_id, []).append(InputVersion(*read))
    return [row.record(inputs.get(row.id, [])) for row in session.scalars(query)]


def promotions_of(universe: str) -> Select[PromotionRow]:
    """The decisions of a universe that stand, ordered by date."""
    return select(PromotionRow).where(PromotionRow.universe == universe).order_by(PromotionRow.date)


def last_promotion(universe: str, condition: ColumnElement[bool]) -> Select[PromotionRow]:
    """The latest of them that fulfils a condition."""
    return promotions_of(universe).where(condition).order_by(None).order_by(PromotionRow.date.desc()).limit(1)


def log_of(universe: str) -> Select[PromotionLogRow]:
    """All decisions of a universe that were ever recorded, in their order."""
    return select(PromotionLogRow).where(PromotionLogRow.universe == universe).order_by(PromotionLogRow.id)
