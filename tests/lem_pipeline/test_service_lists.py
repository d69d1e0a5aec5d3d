"""Lists of the service in pages, its audit log, and tokens that have names."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from lem_pipeline.service.app import make_app
from lem_pipeline.service.tokens import check_tokens, tokens_of
from lem_pipeline.web.listening import ServiceError
from tests.lem.advice.desk import HOURLY, NOON, StoppedClock, make_desk

TOKEN = "n4XDS2m0aVYh_p8Kq1GmBzWc"
ORDER = {"id": "one", "asset": "AAA-USD", "side": "buy", "size": 100.0, "min_bars": 6, "max_bars": 6}


@pytest.fixture
def clock():
    return StoppedClock(NOON)


@pytest.fixture
def advisor(tmp_path, make_universe, tiny_keys, clock):
    return make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY))).advisor(clock)


@pytest.fixture
def client(advisor):
    return TestClient(make_app(advisor), base_url="http://127.0.0.1:8321", raise_server_exceptions=False)


def test_the_log_names_the_token_and_the_address_of_each_request_and_shows_no_token(advisor):
    secrets = {"desk-a": TOKEN[::-1], "risk": TOKEN + "y"}
    app = make_app(advisor, tokens_of(TOKEN, " ".join(f"{name}:{secret}" for name, secret in secrets.items())))
    client = TestClient(app, base_url="http://trading.example", client=("10.0.0.7", 50000))
    bearers = [{"authorization": f"Bearer {secret}"} for secret in (*secrets.values(), TOKEN)]
    client.post("/orders", json=ORDER, headers=bearers[0])
    client.post("/orders/one/pause", headers=bearers[1])
    client.post("/orders/one/cancel", headers=bearers[2])
    assert client.get("/audit", headers={"authorization": f"Bearer desk-a:{secrets['desk-a']}"}).status_code == 401
    answer = client.get("/audit", headers=bearers[1])
    told = [(entry["event"], entry["actor"], entry["name"], entry["address"]) for entry in answer.json()]
    assert told == [
        ("created", "http", "desk-a", "10.0.0.7"),
        ("paused", "http", "risk", "10.0.0.7"),
        ("cancelled", "http", "LEM_TOKEN", "10.0.0.7"),
    ]
    assert not [secret for secret in (TOKEN, *secrets.values()) if secret in answer.text]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("no-colon", r"entry 1 of LEM_TOKENS; allowed: NAME:TOKEN"),
        (f"a:{TOKEN}x :{TOKEN}", r"entry 2 of LEM_TOKENS; allowed: NAME:TOKEN"),
        ("a:", r"entry 1 of LEM_TOKENS; allowed: NAME:TOKEN"),
        (f"a/b:{TOKEN}", r"entry 1 of LEM_TOKENS; allowed: NAME:TOKEN"),
        (f"a:{TOKEN} b:{TOKEN}", r"entry 2 of LEM_TOKENS \(b\) has the token of another"),
        ("a:short", "a of LEM_TOKENS has 5 characters"),
    ],
)
def test_named_tokens_that_are_none_are_refused_and_not_shown(named, words):
    with pytest.raises(ServiceError, match=words) as refused:
        check_tokens("127.0.0.1", tokens_of("", named))
    assert TOKEN not in str(refused.value)


def test_named_tokens_alone_open_another_address_than_loopback():
    check_tokens("0.0.0.0", tokens_of("", f"a:{TOKEN} a:{TOKEN}x"))
    with pytest.raises(ServiceError, match="LEM_TOKEN is not set"):
        check_tokens("0.0.0.0", tokens_of("", ""))


def follow_pages(client, path, **params):
    """All pages of a list, by the header Link."""
    pages = [client.get(path, params=params)]
    while link := pages[-1].links.get("next"):
        pages.append(client.get(link["url"]))
    return [page.json() for page in pages]


def test_lists_come_in_pages_that_leave_out_nothing_and_repeat_nothing(client, clock):
    for number in range(5):
        client.post("/orders", json={**ORDER, "id": f"o{number}", "asset": ("AAA-USD", "BBB-USD")[number % 2]})
        clock.sleep(60 * (number % 2))
    client.post("/orders/o4/cancel")
    pages = follow_pages(client, "/orders", limit=2)
    assert [[order["id"] for order in page] for page in pages] == [["o4", "o2"], ["o3", "o0"], ["o1"]]
    client.post("/orders", json={**ORDER, "id": "late"})
    after = client.get("/orders", params={"limit": 2, "cursor": "o2"}).json()
    assert [order["id"] for order in after] == ["o3", "o0"], "a new order moves no page"
    wanted = {"status": ["waiting", "live"], "asset": "AAA-USD", "since": "2024-01-18T12:01:00Z", "limit": 1}
    assert [[order["id"] for order in page] for page in follow_pages(client, "/orders", **wanted)] == [["late"], ["o2"]]
    assert client.get("/orders", params={"cursor": "nobody"}).status_code == 422
    told = follow_pages(client, "/audit", limit=3)
    assert [[entry["order_id"] for entry in page] for page in told] == [
        ["o0", "o1", "o2"],
        ["o3", "o4", "o4"],
        ["late"],
    ]
    since = client.get("/audit", params={"order": "o4", "since": "2024-01-18T12:02:00Z"}).json()
    assert [entry["event"] for entry in since] == ["created", "cancelled"]


def test_an_order_is_amended_over_http_and_null_takes_a_limit_away(client, clock):
    client.post("/orders", json={**ORDER, "limit_price": 0.5})
    new = client.post("/orders/one/amend", json={"size": 150.0, "limit_price": None, "risk_aversion": 2.0})
    told = new.json()
    assert (told["size"], told["limit_price"], told["risk_aversion"], told["amended"]) == (150.0, None, 2.0, 1)
    for body, words in (
        ({}, "nothing to amend; allowed: one or more of size"),
        ({"size": None}, "size null; allowed: a value, or to leave it out"),
        ({"side": "sell"}, "side: Extra inputs are not permitted"),
        ({"max_bars": 3}, "min_bars 6 with max_bars 3"),
        ({"size": True}, "size: Input should be a valid number"),
    ):
        refused = client.post("/orders/one/amend", json=body)
        assert (refused.status_code, words in refused.json()["reason"]) == (422, True), refused.text
    client.post("/orders/one/cancel")
    assert client.post("/orders/one/amend", json={"size": 1.0}).status_code == 409
    assert client.post("/orders/two/amend", json={"size": 1.0}).status_code == 404
