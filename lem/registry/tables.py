"""The registry's tables. A change here needs a migration beside it: a test compares the two."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, fields
from typing import Self

from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, MetaData, Text, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import BigInteger, DateTime, TypeDecorator

from lem.registry.decision_figures import DecisionFigures
from lem.registry.records import InputVersion, ModelRecord, PromotionRecord, canonical_json


class UtcDateTime(TypeDecorator[dt.datetime]):
    """A moment in UTC. SQLite has no time zones: there it is stored as naive UTC and read back as aware."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """The moment as it is stored."""
        return None if value is None else value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """The stored moment as it is read."""
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class Base(DeclarativeBase):
    """What all tables of the registry share."""

    # Constraints need the same names on every database, or a later migration cannot name what it changes.
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )
    type_annotation_map = {dt.datetime: UtcDateTime, float: Double}  # noqa: RUF012


class ModelRow(Base):
    """A trained model. `train_end` is exclusive; `manifest` is canonical JSON."""

    __tablename__ = "models"
    __table_args__ = (
        Index(None, "universe", "usable_on"),
        CheckConstraint("train_start < train_end AND train_end <= usable_on", "window"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    universe: Mapped[str]
    usable_on: Mapped[dt.date]
    train_start: Mapped[dt.date]
    train_end: Mapped[dt.date]
    weights_sha256: Mapped[str]
    weights_path: Mapped[str]
    code_version: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[dt.datetime]
    manifest: Mapped[str] = mapped_column(Text)
    inputs: Mapped[list[InputRow]] = relationship()

    @classmethod
    def of(cls, record: ModelRecord) -> ModelRow:
        """The row of a record."""
        columns = {f.name: getattr(record, f.name) for f in fields(record)}
        columns["manifest"] = canonical_json(record.manifest)
        columns["inputs"] = [InputRow(**asdict(read)) for read in record.inputs]
        return cls(**columns)

    def record(self, inputs: list[InputVersion] | None = None) -> ModelRecord:
        """The record of this row.

        Args:
            inputs: of it; read from the database if they are left out.
        """
        if inputs is None:
            inputs = [InputVersion(i.table_name, i.partition_key, i.data_version) for i in self.inputs]
        columns = {f.name: getattr(self, f.name) for f in fields(ModelRecord) if f.name != "inputs"}
        columns["manifest"] = json.loads(self.manifest)
        return ModelRecord(**columns, inputs=inputs)


class InputRow(Base):
    """A partition that a model was trained on, in the version it had then."""

    __tablename__ = "manifest_inputs"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    table_name: Mapped[str] = mapped_column(primary_key=True)
    partition_key: Mapped[str] = mapped_column(primary_key=True)
    data_version: Mapped[str]


class MetricRow(Base):
    """A figure of a model over a window of data, such as "train" or "gate"."""

    __tablename__ = "metrics"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    window: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class CandidateRow(Base):
    """The model that was registered last for a date: a pointer, so that nobody has to compare clocks.

    `fence` is the token of the step that wrote the row last (`lem.lake.fences`).
    """

    __tablename__ = "candidates"

    universe: Mapped[str] = mapped_column(primary_key=True)
    date: Mapped[dt.date] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    fence: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class FenceRow(Base):
    """The last token that a step has taken: one row, of id 1."""

    __tablename__ = "fence"

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[int] = mapped_column(BigInteger)


class DecisionColumns:
    """The columns of a decision for a date. `reasons` is a JSON list, `figures` the JSON of `DecisionFigures`."""

    id: Mapped[int] = mapped_column(primary_key=True)
    universe: Mapped[str]
    date: Mapped[dt.date]
    champion_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    candidate_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    previous_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    decision: Mapped[str]
    reasons: Mapped[str] = mapped_column(Text)
    figures: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[dt.datetime]

    @classmethod
    def of(cls, record: PromotionRecord) -> Self:
        """The row of a record."""
        columns = {f.name: getattr(record, f.name) for f in fields(record)}
        stored = {"reasons": record.reasons, "figures": record.figures.to_json()}
        return cls(**columns | {name: canonical_json(value) for name, value in stored.items()})

    def record(self) -> PromotionRecord:
        """The record of this row."""
        columns = {f.name: getattr(self, f.name) for f in fields(PromotionRecord)}
        columns["reasons"] = json.loads(self.reasons)
        columns["figures"] = DecisionFigures.from_json(json.loads(self.figures))
        return PromotionRecord(**columns)


class PromotionRow(DecisionColumns, Base):
    """The decision that stands for a date. `fence` is the token of the step that wrote it."""

    __tablename__ = "promotions"
    __table_args__ = (
        UniqueConstraint("universe", "date"),
        CheckConstraint("decision IN ('promoted', 'kept', 'none')", "decision"),
    )

    fence: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class PromotionLogRow(DecisionColumns, Base):
    """A decision that was made, in the order of `id`: rows are only added."""

    __tablename__ = "promotion_log"
    __table_args__ = (
        Index(None, "universe"),
        CheckConstraint("decision IN ('promoted', 'kept', 'none')", "decision"),
    )
