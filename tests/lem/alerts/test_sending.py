"""Messages and heartbeats over loopback, and what is said of those that do not arrive."""

from __future__ import annotations

import logging

import pytest

from lem.alerts.sending import addresses, beat, send
from lem.errors import AlertError
from tests.receiver import Receiver


def test_the_setting_holds_addresses_with_spaces_or_commas_between_them():
    assert addresses(" json://one/a,b?x=1  ntfys://two,mailto://u:p@three\n") == [
        "json://one/a,b?x=1",
        "ntfys://two",
        "mailto://u:p@three",
    ]
    assert addresses("") == []


def test_one_bad_address_does_not_silence_the_others_and_no_secret_is_shown(caplog):
    caplog.set_level(logging.DEBUG)
    with Receiver() as running:
        good = running.settings["LEM_ALERT_URLS"]
        sent = send(
            [good, "nonsense://s3cretToken", "json://me:s3cretWord@127.0.0.1:9/s3cretPath"], "a", "b", "failure"
        )
        assert running.told() == [("failure", "a")]
    assert sent.accepted == ["LEM_ALERT_URLS 1 (json)"]
    assert [text.partition(": ")[0] for text in sent.failed] == [
        "LEM_ALERT_URLS 2 (nonsense)",
        "LEM_ALERT_URLS 3 (json)",
    ]
    assert "s3cret" not in " ".join(sent.failed)
    assert "s3cret" not in " ".join(record.getMessage() for record in caplog.records if record.name == "apprise")


@pytest.mark.parametrize("url", ["", "ftp://host/s3cret", "s3cret", "http://[s3cret"])
def test_a_heartbeat_needs_a_url_of_http(url):
    with pytest.raises(AlertError, match="it is no URL of http or https") as refused:
        beat(url, "tiny")
    assert "s3cret" not in str(refused.value)


def test_a_heartbeat_that_is_refused_says_by_whom_and_shows_no_secret():
    with Receiver(status=404) as running:
        url = running.settings["LEM_HEARTBEAT_URL"].replace("http://", "http://me:s3cret@").replace("ping", "t0ken")
        with pytest.raises(AlertError, match=r"LEM_HEARTBEAT_URL \(http://127.0.0.1/...\): answered 404") as refused:
            beat(url, "tiny")
    assert not any(secret in str(refused.value) for secret in ("s3cret", "t0ken"))
    with pytest.raises(AlertError, match="not reached") as unreached:
        beat("http://127.0.0.1:9/t0ken", "tiny")
    assert "t0ken" not in str(unreached.value)
