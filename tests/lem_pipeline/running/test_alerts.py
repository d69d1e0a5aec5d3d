"""Who is told what of a night: a killed, missed, failed or degraded one is one alert, and one all-clear."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from lem.alerts.store import AlertStore
from lem.errors import SourceError, TrainingError
from lem.lake import Lake
from lem.registry import Registry
from lem.sources.simulated import Simulated
from lem_pipeline.build import build
from lem_pipeline.cli.night import DEGRADED, UNSENT
from lem_pipeline.running import alert_sensor, night_job
from lem_pipeline.running.watch import EVER
from resources.stores import LakeResource, RegistryResource
from tests.conftest import ROOT
from tests.receiver import Receiver

pytestmark = pytest.mark.usefixtures("empty_pictures")

CLEAR = ("success", "tiny: all clear")
NOT_MADE = ("failure", "tiny: the night was not made")
NIGHT = dt.date(2024, 1, 4)
"""The night after the last date of the universe."""
YOUNG = {"end": "2024-01-03", "assets": {"AAA-USD": {}}}
"""Too young for a model: its nights make data only, which takes a second."""


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture
def place(tmp_path, tiny_keys, write_universe):
    """A folder with a young universe and an empty home."""
    write_universe(tmp_path / "universes", tiny_keys(**YOUNG))
    return tmp_path


@pytest.fixture
def lem(place, receiver, lem_command):
    """`lem("night")`: the command on the universe, with the receiver in its settings."""
    return lambda *words, **env: lem_command(place, *words, "-u", "tiny", **receiver.settings | env)


def is_down(*_):
    raise SourceError("the exchange is down")


def test_a_failed_night_is_one_alert_however_often_it_is_tried_and_one_all_clear(lem, receiver, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Simulated, "fetch", is_down)
        assert [lem("night").code for _ in range(2)] == [1, 1]
        assert lem("alert", "check").code == DEGRADED
    assert receiver.told() == [NOT_MADE]
    text = receiver.alerts[0]["message"]
    assert text.startswith(f"The night of {NIGHT} has failed: the exchange is down.\nNext: lem night -u tiny\n")
    assert receiver.fetched == []
    assert lem("night").code == 0
    assert lem("night").code == 0
    assert receiver.told() == [NOT_MADE, CLEAR]
    assert receiver.fetched == ["/ping/tiny", "/ping/tiny"]


@pytest.mark.thorough
def test_a_killed_night_is_one_alert_and_one_all_clear(place, lem, receiver):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **receiver.settings, "LEM_HOME": str(place / "home")}
    command = [sys.executable, "-m", "lem_pipeline.cli", "night", "-u", "tiny"]
    started = subprocess.Popen(command, cwd=place, env=env | {"LEM_UNIVERSES": str(place / "universes")})
    store = AlertStore(f"sqlite:///{place}/home/registry.sqlite")
    deadline = time.monotonic() + 120
    while not store.nights("tiny"):
        assert started.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert receiver.told() == []
    started.kill()
    started.wait()
    assert lem("alert", "check").code == DEGRADED
    assert "was killed: its process, begun at " in lem("alert", "check").out
    assert receiver.told() == [NOT_MADE]
    assert lem("night").code == 0
    assert receiver.told() == [NOT_MADE, CLEAR]


def test_a_missed_night_is_one_alert_and_one_all_clear(lem, receiver):
    for _ in range(3):
        done = lem("alert", "check")
        assert done.code == DEGRADED
    assert f"The night of {NIGHT} has not been made: it was due at " in done.out
    assert receiver.told() == [NOT_MADE]
    assert lem("night").code == 0
    assert lem("alert", "check").out == "Nothing is wrong.\n"
    assert receiver.told() == [NOT_MADE, CLEAR]


@pytest.mark.slow
def test_a_degraded_night_is_one_alert_and_what_it_advises_gives_one_all_clear(
    tiny_home, place, tiny_keys, write_universe, lem, receiver, monkeypatch
):
    shutil.copytree(tiny_home.folder, place, dirs_exist_ok=True)
    write_universe(place / "universes", tiny_keys(end="2024-01-20"))

    def refuses(*_):
        raise TrainingError("the loss is nan at step 1")

    with monkeypatch.context() as patch:
        patch.setattr("lem.training.nightly.train_for", refuses)
        first = lem("night")
        assert (first.code, lem("night").code) == (DEGRADED, DEGRADED)
    assert "degraded night: no model was trained for this date; champion " in first.out
    assert receiver.told() == [("failure", "tiny: a degraded night")]
    assert receiver.alerts[0]["message"].splitlines()[1] == "Next: lem night -u tiny --redecide"
    assert receiver.fetched == []
    assert lem("night", "--redecide").code == 0
    assert receiver.told()[1:] == [CLEAR]
    assert receiver.fetched == ["/ping/tiny"]


def test_what_could_not_be_told_is_an_exit_code_of_its_own_and_told_by_the_next(lem, receiver, monkeypatch):
    receiver.status = 500
    with monkeypatch.context() as patch:
        patch.setattr(Simulated, "fetch", is_down)
        failed = lem("night")
    assert failed.code == 1
    assert "LEM_ALERT_URLS 1 (json): not sent: " in failed.out
    done = lem("night")
    assert (done.code, "answered" in done.err or "not reached" in done.err) == (UNSENT, True)
    receiver.status = 200
    assert lem("night").code == 0
    assert receiver.told() == []  # it was over before anybody could be told


def test_no_message_shows_a_password_or_a_token(lem, receiver):
    receiver.status = 500
    said = [lem("alert", "check"), lem("night")]
    text = "".join(done.out + done.err for done in said)
    assert "LEM_ALERT_URLS 1 (json): not sent: " in text
    assert "LEM_HEARTBEAT_URL (http://127.0.0.1/...)" in text
    for secret in ("paSSw0rd", "t0kenOfTheDesk", "/ping/"):
        assert secret not in text


def test_a_night_that_cannot_begin_is_told_too(place, lem, receiver):
    (place / "universes/tiny.toml").write_text("bar = 7\n")
    assert lem("night").code == 1
    assert receiver.told() == [NOT_MADE]
    assert "could not begin: " in receiver.alerts[0]["message"]


def test_without_a_setting_nobody_is_told_and_nothing_is_looked_up(place, lem_command, monkeypatch):
    monkeypatch.setattr("lem_pipeline.running.told_night.look_and_tell", None)
    assert lem_command(place, "night", "-u", "tiny").code == 0


def test_the_test_of_the_alerts_says_which_address_took_it(place, receiver, lem_command):
    done = lem_command(place, "alert", "test", **receiver.settings)
    assert (done.code, receiver.told()) == (0, [("info", "lem: a test")])
    assert "sent LEM_ALERT_URLS 1 (json)" in done.out
    both = receiver.settings["LEM_ALERT_URLS"] + " nonsense://t0ken"
    failed = lem_command(place, "alert", "test", **receiver.settings | {"LEM_ALERT_URLS": both})
    assert (failed.code, len(receiver.alerts)) == (1, 2)
    assert "LEM_ALERT_URLS 2 (nonsense): apprise knows no such address" in failed.err
    unset = lem_command(place, "alert", "test", LEM_ALERT_URLS="")
    assert (unset.code, "LEM_ALERT_URLS is not set" in unset.err) == (1, True)


@pytest.fixture
def daemon(place, receiver, make_universe, tiny_keys, monkeypatch):
    """The daemon's sensor on the copied home; `daemon.tick()` is one look at `daemon.now`."""
    for name, value in receiver.settings.items():
        monkeypatch.setenv(name, value)
    universe = make_universe(**tiny_keys(**YOUNG))

    class Daemon:
        now = dt.datetime(2024, 1, 4, 0, 45, tzinfo=dt.UTC)
        expected = dt.datetime(2024, 1, 4, tzinfo=dt.UTC)

        def __init__(self) -> None:
            self.instance, self.universe = dg.DagsterInstance.ephemeral(), universe
            self.lake, self.registry = Lake(f"{place}/home/lake"), Registry(self.url)
            self.sensor = build([universe]).get_sensor_def("tiny_alerts")

        url = f"sqlite:///{place}/home/registry.sqlite"

        def tick(self):
            resources = {"lake": LakeResource(root=self.lake.root), "registry": RegistryResource(url=self.url)}
            return self.sensor(dg.build_sensor_context(self.instance, resources=resources)).skip_message

        def run(self, status, **tags):
            tags = {"lem/universe": "tiny", "lem/night": "automation", **tags}
            return create_run_for_test(self.instance, job_name="run", status=status, tags=tags)

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return Daemon.now

    monkeypatch.setattr(alert_sensor, "dt", SimpleNamespace(datetime=Clock, UTC=dt.UTC))
    monkeypatch.setattr(alert_sensor, "is_expected", lambda watched: Daemon.expected)
    return Daemon()


def made(daemon, lake, registry):
    """The night, made by the daemon's job."""
    night_job_defs = build([daemon.universe]).get_job_def("tiny_night")
    resources = {"lake": LakeResource(root=lake), "registry": RegistryResource(url=registry)}
    return night_job_defs.execute_in_process(instance=daemon.instance, resources=resources, raise_on_error=False)


def test_the_daemon_tells_of_a_failed_run_once_and_not_again_when_the_night_is_missed(daemon, receiver):
    assert daemon.tick() == "nothing is wrong"
    goes_on = daemon.run(dg.DagsterRunStatus.STARTED)
    daemon.run(dg.DagsterRunStatus.FAILURE)
    assert daemon.tick() == "nothing is wrong"
    daemon.instance.report_run_failed(goes_on)
    assert daemon.tick().startswith(f"The night of {NIGHT} has failed: run: run ")
    type(daemon).now += dt.timedelta(hours=8)
    daemon.tick()
    assert receiver.told() == [NOT_MADE]


def test_the_daemon_tells_of_a_missed_night_once_and_only_where_somebody_waited_for_it(daemon, receiver):
    type(daemon).now += dt.timedelta(hours=8)
    type(daemon).expected = None
    assert daemon.tick() == "nothing is wrong"
    type(daemon).expected = daemon.now - dt.timedelta(hours=1)
    assert daemon.tick() == "nothing is wrong"
    type(daemon).expected = EVER
    for _ in range(3):
        assert daemon.tick().startswith(f"The night of {NIGHT} has not been made: it was due at 2024-01-04 00:30 UTC")
    assert receiver.told() == [NOT_MADE]


def test_the_job_of_the_night_tells_and_the_sensor_does_not_tell_again(daemon, receiver, monkeypatch):
    monkeypatch.setattr(night_job, "_today", lambda: NIGHT)
    with monkeypatch.context() as patch:
        patch.setattr(Simulated, "fetch", is_down)
        assert not made(daemon, daemon.lake.root, daemon.url).success
    assert receiver.told() == [NOT_MADE]
    daemon.tick()
    daemon.tick()
    assert receiver.told() == [NOT_MADE]
    assert made(daemon, daemon.lake.root, daemon.url).success
    daemon.tick()
    assert receiver.told() == [NOT_MADE, CLEAR]
    assert receiver.fetched == ["/ping/tiny"]  # of the job; the sensor finds it sent
