"""The registry itself: registers models and metrics, records promotions, knows the champion of a date."""

from __future__ import annotations

import copy
import datetime as dt
import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from lem.errors import RegistryError
from lem.fencing import refuse
from lem.registry.connection import Database
from lem.registry.decision_figures import BpsByStrategy
from lem.registry.finding import last_promotion, log_of, model_named, model_of, models_of, next_token, promotions_of
from lem.registry.records import ModelRecord, PromotionRecord, check_date, differences
from lem.registry.tables import CandidateRow, MetricRow, ModelRow, PromotionLogRow, PromotionRow

_GATE = "gate"
"""Window of the metrics that the gate measured when the model was its candidate."""


class Registry:
    """The model registry in a SQLite file or a PostgreSQL database. Every method is its own transaction.

    Writing twice what is already there changes nothing, so a partition can be run again. Nothing is found by
    "the latest timestamp": the candidate and the champion of a date are recorded under that date.

    Args:
        url: an SQLAlchemy URL, `sqlite:////path/registry.db` or `postgresql+psycopg2://user:pw@host/name`.
        read_only: write nothing, not even the schema; a SQLite URL with `mode=ro` asks for the same.

    Raises:
        RegistryError: the database cannot be reached, read or written, is no registry, or was written by a newer
            version of this package; every method may raise it too. Messages hide the password.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        # Alembic takes a third of a second to import, and who only loads definitions opens no registry.
        from lem.registry.migrate import bring_up_to_date

        self._database = Database(url, read_only=read_only)
        bring_up_to_date(self._database)
        self._token: int | None = None

    def fenced(self) -> Registry:
        """This registry for a step that begins now: it cannot overwrite what a step that began later has written.

        That holds for candidates and for decisions of the gate. What is written outside of steps counts as written by
        the latest step.

        Raises:
            RegistryError: it cannot be written.
        """
        registry = copy.copy(self)
        with self._session("take a fence", write=True) as session:
            registry._token = next_token(session)
        return registry

    @property
    def url_shown(self) -> str:
        """The URL with its password hidden, as messages and logs may show it."""
        return self._database.shown

    def add_model(self, record: ModelRecord) -> None:
        """Register a model and make it the candidate of the date it is usable on, in place of an earlier one.

        Registering the same model again keeps its first `created_at`.

        Args:
            record: of the model.

        Raises:
            RegistryError: the id belongs to a model that differs in its manifest, weights or any other field.
            FencedError: a later step has registered the date's candidate; then nothing is registered.
        """
        with self._session(f"register model {record.id}", write=True) as session:
            row = session.get(ModelRow, record.id)
            if row is None:
                session.add(ModelRow.of(record))
                session.flush()
            elif differing := differences(row.record(), record):
                raise RegistryError(
                    f"registry {self.url_shown}: model {record.id} is already there and differs in "
                    f"{', '.join(differing)}: one id is one manifest and one set of weights; "
                    "allowed is a model under the id of its own manifest"
                )
            pointer = session.get(CandidateRow, (record.universe, record.usable_on))
            what = f"registry {self.url_shown}: the candidate of {record.universe} on {record.usable_on}"
            fence = self._fence(session, what, pointer)
            session.merge(
                CandidateRow(universe=record.universe, date=record.usable_on, model_id=record.id, fence=fence)
            )

    def model(self, model_id: str) -> ModelRecord:
        """A model by its id.

        Args:
            model_id: the id, or its first 6 or more characters.

        Raises:
            RegistryError: no model has such an id, or several have; the message lists the nearest or the matching ids.
        """
        with self._session(f"read model {model_id}") as session:
            return model_named(session, model_id, self.url_shown).record()

    def models(self, universe: str | None = None) -> list[ModelRecord]:
        """All models, or those of one universe, ordered by `usable_on` and id."""
        query = select(ModelRow)
        if universe is not None:
            query = query.where(ModelRow.universe == universe)
        with self._session("list the models") as session:
            return models_of(session, query.order_by(ModelRow.usable_on, ModelRow.id))

    def candidates(self, universe: str) -> dict[dt.date, ModelRecord]:
        """By date, the model that was registered last as usable on it, in the order of the dates."""
        query = select(ModelRow).join(CandidateRow, CandidateRow.model_id == ModelRow.id)
        query = query.where(CandidateRow.universe == universe).order_by(CandidateRow.date)
        with self._session(f"list the candidates of {universe}") as session:
            return {record.usable_on: record for record in models_of(session, query)}

    def candidate(self, universe: str, date: dt.date) -> ModelRecord | None:
        """The model that was registered last as usable on this date; None when there is none."""
        check_date(date, "the candidate's date")
        with self._session(f"read the candidate of {universe} on {date}") as session:
            pointer = session.get(CandidateRow, (universe, date))
            return None if pointer is None else model_of(session, pointer.model_id, self.url_shown).record()

    def set_metrics(self, model_id: str, window: str, values: Mapping[str, float]) -> None:
        """Record metrics of a model over a window; a value that is there under the same name is replaced.

        Args:
            model_id: the whole id.
            window: of data, as "train" or "gate".
            values: by name, finite.

        Raises:
            RegistryError: no model has this id, or a value is not a finite number.
        """
        for name, value in values.items():
            if not isinstance(value, numbers.Real) or not math.isfinite(value):
                raise RegistryError(
                    f"metric {name!r} of model {model_id} over {window!r} is {value!r}: allowed are finite "
                    "numbers (leave out a metric that has no value)"
                )
        with self._session(f"record the metrics of model {model_id}", write=True) as session:
            model_of(session, model_id, self.url_shown)
            for name, value in values.items():
                session.merge(MetricRow(model_id=model_id, window=window, name=name, value=float(value)))

    def metrics(self, model_id: str) -> dict[str, dict[str, float]]:
        """The metrics of a model as {window: {name: value}}, sorted.

        Args:
            model_id: as for `model`.
        """
        with self._session(f"read the metrics of model {model_id}") as session:
            row = model_named(session, model_id, self.url_shown)
            query = select(MetricRow).where(MetricRow.model_id == row.id)
            found: dict[str, dict[str, float]] = {}
            for metric in session.scalars(query.order_by(MetricRow.window, MetricRow.name)):
                found.setdefault(metric.window, {})[metric.name] = metric.value
            return found

    def set_gate_gains(self, model_id: str, gains: BpsByStrategy) -> None:
        """Record what the gate measured when the model was its candidate.

        Args:
            model_id: as for `set_metrics`.
            gains: mean gains, in bps.

        Raises:
            RegistryError: as for `set_metrics`.
        """
        self.set_metrics(model_id, _GATE, {f"mean_bps_{name}": gain for name, gain in gains.to_json().items()})

    def gate_gain(self, model_id: str) -> float | None:
        """The model's own mean gain (bps) as the gate measured it; None where the gate did not.

        Args:
            model_id: as for `model`.

        Raises:
            RegistryError: as for `model`.
        """
        return self.metrics(model_id).get(_GATE, {}).get("mean_bps_candidate")

    def record_promotion(self, record: PromotionRecord) -> PromotionRecord:
        """Record which model trades on a date, in place of the decision that stood for it; the log keeps both.

        A decision made by hand stands: one of the gate for the same date is not recorded.

        Args:
            record: the decision.

        Returns:
            The decision that stands.

        Raises:
            RegistryError: it names a model that is unknown, of another universe, or not usable yet on that date; or the
                gate judged against a champion that was replaced by hand in the meantime.
            FencedError: a later step has decided about that date.
        """
        doing = f"record the promotion of {record.universe} on {record.date}"
        with self._session(doing, write=True) as session:
            if not record.by_hand:
                standing = session.scalar(last_promotion(record.universe, PromotionRow.date == record.date))
                if standing and standing.record().by_hand:
                    return standing.record()
                before = session.scalar(last_promotion(record.universe, PromotionRow.date < record.date))
                if before and before.record().by_hand and before.champion_id != record.previous_id:
                    raise RegistryError(
                        f"registry {self.url_shown}: cannot {doing}: it is about champion {record.previous_id}, and by "
                        f"hand {before.champion_id} was made champion on {before.date}; decide again"
                    )
            self._add_decision(session, record, doing)
            return record

    def decide(
        self, universe: str, choose: Callable[[list[PromotionRecord]], PromotionRecord], doing: str
    ) -> PromotionRecord:
        """Record a decision that is made from the log so far; until it is recorded nobody else decides.

        Args:
            universe: its name.
            choose: makes the decision from the log, in the order of `decisions`. If it raises, nothing is recorded.
            doing: what is done, for messages: "cannot ...".

        Raises:
            RegistryError: as for `record_promotion`.
        """
        with self._session(doing, write=True) as session:
            record = choose([row.record() for row in session.scalars(log_of(universe))])
            self._add_decision(session, record, doing)
            return record

    def decisions(self, universe: str) -> list[PromotionRecord]:
        """Every decision that was ever made in a universe, in the order in which they were made."""
        with self._session(f"list the decisions of {universe}") as session:
            return [row.record() for row in session.scalars(log_of(universe))]

    def advised(self, universe: str) -> set[str]:
        """Ids of the models by which live orders of a universe were measured, however they ended."""
        # Four tables that who only reads models does not wait for: 0.04 s.
        from lem.registry.advice_tables import AdvisedOrderRow

        query = select(AdvisedOrderRow.model_id).where(AdvisedOrderRow.universe == universe)
        with self._session(f"list the models of the live orders of {universe}") as session:
            return {model_id for model_id in session.scalars(query.distinct()) if model_id is not None}

    def _add_decision(self, session: Session, record: PromotionRecord, doing: str) -> None:
        for role in ("champion", "candidate", "previous"):
            model_id = getattr(record, f"{role}_id")
            if model_id is None:
                continue
            model = model_of(session, model_id, self.url_shown)
            if model.universe != record.universe or model.usable_on > record.date:
                raise RegistryError(
                    f"registry {self.url_shown}: cannot {doing}: the {role} {model_id} is of "
                    f"{model.universe} and usable from {model.usable_on}; allowed are models of "
                    f"{record.universe} usable on that date"
                )
        of_that_date = PromotionRow.universe == record.universe, PromotionRow.date == record.date
        what = f"registry {self.url_shown}: the decision about {record.universe} on {record.date}"
        row = PromotionRow.of(record)
        row.fence = self._fence(session, what, session.scalar(select(PromotionRow).where(*of_that_date)))
        session.execute(delete(PromotionRow).where(*of_that_date))
        session.add_all([row, PromotionLogRow.of(record)])

    def _fence(self, session: Session, what: str, there: CandidateRow | PromotionRow | None) -> int:
        """The token with which the row that is there, if any, may be replaced."""
        token = next_token(session) if self._token is None else self._token
        refuse(what, token, there.fence if there else 0)
        return token

    def promotion(self, universe: str, date: dt.date) -> PromotionRecord | None:
        """The decision that stands for this date; None when there is none, whatever stands for earlier dates."""
        check_date(date, "the promotion's date")
        with self._session(f"read the promotion of {universe} on {date}") as session:
            row = session.scalar(promotions_of(universe).where(PromotionRow.date == date))
            return None if row is None else row.record()

    def promotions(self, universe: str) -> list[PromotionRecord]:
        """The decisions of a universe that stand, ordered by date."""
        with self._session(f"list the promotions of {universe}") as session:
            return [row.record() for row in session.scalars(promotions_of(universe))]

    def champion_ids(self, universe: str) -> dict[dt.date, str | None]:
        """Id of the champion by the decision that stands for each date that has one, in the order of the dates."""
        query = select(PromotionRow.date, PromotionRow.champion_id).where(PromotionRow.universe == universe)
        with self._session(f"list the champions of {universe}") as session:
            return {date: champion for date, champion in session.execute(query.order_by(PromotionRow.date))}

    def judged(self, universe: str, model_id: str) -> PromotionRecord | None:
        """The last decision that stands in which a model was the candidate; None when it never was."""
        with self._session(f"read the decision about model {model_id}") as session:
            row = session.scalar(last_promotion(universe, PromotionRow.candidate_id == model_id))
            return None if row is None else row.record()

    def champion_before(self, universe: str, date: dt.date) -> ModelRecord | None:
        """The champion by the last decision for an earlier date; None when that left none."""
        check_date(date, "the champion's date")
        return self._champion(universe, PromotionRow.date < date, f"before {date}")

    def champion_on(self, universe: str, date: dt.date) -> ModelRecord | None:
        """The champion by the last decision for this date or an earlier one; None when that left none."""
        check_date(date, "the champion's date")
        return self._champion(universe, PromotionRow.date <= date, f"on {date}")

    def _champion(self, universe: str, condition: ColumnElement[bool], when: str) -> ModelRecord | None:
        with self._session(f"read the champion of {universe} {when}") as session:
            row = session.scalar(last_promotion(universe, condition))
            if row is None or row.champion_id is None:
                return None
            return model_of(session, row.champion_id, self.url_shown).record()

    @contextmanager
    def _session(self, doing: str, *, write: bool = False) -> Iterator[Session]:
        with self._database.transaction(doing, write=write) as connection, Session(connection) as session:
            yield session
            session.commit()
