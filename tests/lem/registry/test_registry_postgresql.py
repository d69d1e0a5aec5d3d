"""The registry on a real PostgreSQL server, which the tests start."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, make_url

from lem.errors import RegistryError
from lem.registry import PromotionRecord, Registry
from lem.registry.connection import Database
from lem.registry.decision_figures import DecisionFigures
from lem.registry.migrate import VERSION_TABLE
from lem.registry.tables import Base
from lem.registry.upgrade import alembic_config
from tests.lem.registry.promoters import decide_at_once, promote_at_once
from tests.servers import PostgreSQL


@pytest.fixture
def url(postgresql: PostgreSQL) -> Iterator[str]:
    """A fresh database, in place of the SQLite file of the other tests."""
    with postgresql.database() as url:
        yield url


def test_models_metrics_and_promotions_come_back_as_they_went_in(registry, url, make_model):
    old, new = make_model(10), make_model(11, seed=2**62)
    for model in (old, new, old):
        registry.add_model(model)
    registry.set_metrics(old.id, "train", {"loss": 1 / 3})
    registry.set_metrics(old.id, "train", {"loss": 0.1 + 0.2})
    day = new.usable_on
    figures = DecisionFigures(panel_version="v1")
    record = PromotionRecord("crypto", day, new.id, new.id, old.id, "promoted", ["better"], figures)
    later = PromotionRecord("crypto", day + dt.timedelta(days=2), None, None, new.id, "none")
    for decision in (later, record, record):
        registry.record_promotion(decision)
    reader = Registry(url, read_only=True)
    assert reader.models("crypto") == [old, new]
    assert reader.model(new.id[:8]) == new
    assert reader.candidate("crypto", day) == new
    assert reader.metrics(old.id) == {"train": {"loss": 0.1 + 0.2}}
    assert reader.promotions("crypto") == [record, later]
    assert reader.decisions("crypto") == [later, record, record]
    assert reader.champion_on("crypto", day) == new
    assert reader.champion_before("crypto", day) is None
    assert reader.champion_before("crypto", day + dt.timedelta(days=1)) == new
    with pytest.raises(RegistryError, match="for writing, not read-only"):
        reader.add_model(old)


def test_the_migrations_give_the_schema_of_the_tables_and_can_be_taken_back(registry, url):
    opts = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    with Database(url).transaction("compare", write=True) as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=opts), Base.metadata) == []
        command.downgrade(alembic_config(connection), "base")
        assert inspect(connection).get_table_names() == [VERSION_TABLE]
    assert Registry(url).models() == []


def test_a_fresh_registry_may_be_opened_and_written_by_many_at_once(url, make_model):
    failed: list[Exception] = []

    def write(number: int) -> None:
        try:
            registry = Registry(url)
            for seed in range(5):
                registry.add_model(make_model(seed=seed))
            day = dt.date(2024, 1, number % 2 + 1)
            registry.record_promotion(PromotionRecord("crypto", day, None, None, None, "none"))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(Registry(url).models()) == 5


@pytest.mark.thorough
def test_two_processes_that_promote_at_once_lose_no_decision_and_leave_one_a_date(url, make_model):
    promote_at_once(url, (make_model(10), make_model(11)))


@pytest.mark.thorough
def test_two_processes_that_decide_at_once_each_know_what_the_other_decided(url, make_model):
    decide_at_once(url, (make_model(10), make_model(11)))


def test_the_decisions_that_stood_before_there_was_a_log_are_its_first_rows(registry, url):
    days = [dt.date(2024, 1, number) for number in (12, 11)]
    for date in days:
        registry.record_promotion(PromotionRecord("crypto", date, None, None, None, "none", ["no model"]))
    made = registry.decisions("crypto")
    with Database(url).transaction("downgrade", write=True) as connection:
        command.downgrade(alembic_config(connection), "0001")
    assert Registry(url).decisions("crypto") == made
    assert [decision.date for decision in made] == days


def test_a_server_that_is_not_there_and_a_wrong_password_end_in_one_message(url):
    wrong = make_url(url).set(password="s3cret-and-wrong")
    for there in (wrong, wrong.set(port=1), wrong.set(database="no_such_database")):
        with pytest.raises(RegistryError, match=r"read its schema: .*; check that the server") as caught:
            Registry(there.render_as_string(hide_password=False))
        assert "s3cret" not in str(caught.value)
