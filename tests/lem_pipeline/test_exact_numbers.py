"""Over HTTP amounts keep all of their digits: those that are sent count, and those that are answered sum exactly."""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lem.errors import OrderError
from lem_pipeline.service.app import make_app
from lem_pipeline.web.connections import Connection
from lem_pipeline.web.listening import listen
from tests.lem.advice.desk import HOURLY, NOON, Desk, StoppedClock, buy, make_desk

HOUR = dt.timedelta(hours=1)
ORDER = {"asset": "AAA-USD", "side": "buy", "min_bars": 1}


@contextmanager
def served(desk: Desk, clock: StoppedClock) -> Iterator[httpx.Client]:
    """The service on loopback."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(make_app(desk.advisor(clock)), http=Connection, log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def desk(tmp_path, make_universe, tiny_keys) -> Desk:
    return make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY)))


@pytest.fixture
def client(desk) -> Iterator[httpx.Client]:
    with served(desk, StoppedClock(NOON)) as client:
        yield client


def exactly(answer: httpx.Response) -> Any:
    """What was answered, with the digits that stand there."""
    assert answer.status_code in (200, 201), answer.text
    return json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)


def send(client: httpx.Client, path: str, body: str, method: str = "POST") -> httpx.Response:
    """Send JSON as it stands: Python's own would round the numbers."""
    return client.request(method, path, content=body, headers={"content-type": "application/json"})


sizes = st.decimals(min_value="0.01", max_value="99", places=6).filter(lambda size: len(size.as_tuple().digits) <= 9)
fills = st.decimals(min_value="1e-18", max_value="0.005", places=18)


# A failure is not made smaller: each try is a service of its own.
@settings(
    max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(orders=st.lists(st.tuples(sizes, st.integers(1, 6), st.one_of(st.none(), fills)), min_size=4, max_size=10))
def test_the_slices_of_an_order_sum_to_it_exactly_and_what_remains_is_what_they_leave(
    tmp_path_factory, make_universe, tiny_keys, orders
):
    desk = make_desk(tmp_path_factory.mktemp("desk"), make_universe(**tiny_keys(**HOURLY)))
    clock = StoppedClock(NOON)
    with served(desk, clock) as client:
        for place, (size, bars, _) in enumerate(orders):
            body = json.dumps({**ORDER, "id": f"o{place}", "max_bars": bars, "size": 0}).replace(
                '"size": 0', f'"size": {size}'
            )
            assert exactly(send(client, "/orders", body))["size"] == size
        told = list[Any]()
        for bar in range(7):
            clock.set(NOON + bar * HOUR)
            told += exactly(client.post("/advice"))["slices"]
            for place, (_, bars, fill) in enumerate(orders):
                if bar == 0 and bars > 1 and fill is not None:
                    path = f"/orders/o{place}/slices/2024-01-18T12:00:00Z/fill"
                    one = exactly(send(client, path, f'{{"amount": {fill:f}}}', "PUT"))
                    assert (one["filled"], Decimal(one["exact_filled"])) == (fill, fill)
        for place, (size, _, _) in enumerate(orders):
            own = exactly(client.get(f"/orders/o{place}/slices"))
            assert [(row["bar"], row["amount"]) for row in own] == [
                (row["bar"], row["amount"]) for row in told if row["order_id"] == f"o{place}"
            ]
            counted = [row["amount"] if row["filled"] is None else row["filled"] for row in own]
            assert all(row["amount"] == Decimal(row["exact_amount"]) for row in own)
            for row, before in zip(own, range(len(own)), strict=True):
                assert row["remaining"] == Decimal(row["exact_remaining"]) == size - sum(counted[:before])
            state = exactly(client.get(f"/orders/o{place}"))
            assert (state["status"], Decimal(state["left"]), Decimal(state["filled"])) == ("finished", 0, size)
            assert sum(counted) == size


@pytest.mark.parametrize("amount", ["1.123456789012345678", "0.100000000000000005", "123456789012.000000000000000001"])
def test_a_fill_counts_with_all_digits_that_were_sent(client, amount):
    send(client, "/orders", json.dumps({**ORDER, "id": "one", "size": 100, "max_bars": 6, "mode": "confirm"}))
    client.post("/advice")
    body = f'{{"id": "t-1", "amount": {amount}, "price": 100.250000000000000001, "fee": -0.000000000000000001}}'
    told = exactly(send(client, "/orders/one/fills", body))
    assert (told["amount"], told["price"], told["fee"]) == (amount, "100.250000000000000001", "-0.000000000000000001")
    assert Decimal(client.get("/orders/one").json()["filled"]) == Decimal(amount)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"id": "t", "amount": 0.1234567890123456789}', "amount 0.1234567890123456789; allowed: .*18 decimal places"),
        ('{"id": "t", "amount": "0.5"}', "valid number"),
        ('{"id": "t", "amount": true}', "valid number"),
        ('{"id": "t", "amount": NaN}', "finite number"),
        ('{"id": "t", "amount": 1e99999999999999999999}', "finite number"),
        ('{"id": "t", "amount": 1e-99999999999999999999}', "fewer digits|decimal places|more than 0"),
        ('{"id": "t", "amount": -0.0}', "amount 0; allowed: more than 0"),
        ('{"id": "t", "amount": 1e16}', "less than or equal"),
    ],
)
def test_a_number_that_is_none_or_has_too_many_digits_is_refused_and_not_rounded(client, body, words):
    send(client, "/orders", json.dumps({**ORDER, "id": "one", "size": 100, "max_bars": 6}))
    client.post("/advice")
    answer = send(client, "/orders/one/fills", body)
    assert answer.status_code == 422
    assert json.loads(answer.text)["reason"]
    assert re.search(words, answer.json()["reason"]), answer.text


def test_a_size_that_would_be_rounded_is_refused_and_says_which_is_allowed(client):
    body = json.dumps({**ORDER, "id": "one", "max_bars": 6, "size": 0})
    refused = send(client, "/orders", body.replace('"size": 0', '"size": 1.123456789012345678'))
    words = "size 1.123456789012345678; allowed: 15 digits, or what 17 hold exactly, such as 1.1234567890123457"
    assert (refused.status_code, refused.json()["reason"]) == (422, words)
    taken = send(client, "/orders", body.replace('"size": 0', '"size": 1.1234567890123457'))
    assert exactly(taken)["size"] == Decimal("1.1234567890123457")
    assert send(client, "/orders/one/amend", '{"size": 2.123456789012345678}').status_code == 422


def test_a_total_in_python_may_be_a_decimal_with_more_digits_than_a_float(desk):
    advisor = desk.advisor(StoppedClock(NOON))
    advisor.submit(buy(desk.universe))
    bar = advisor.advise().slices[0].bar
    amount = Decimal("1.123456789012345678")
    assert advisor.total("one", bar, amount).exact_filled == amount
    with pytest.raises(OrderError, match="18 decimal places"):
        advisor.total("one", bar, Decimal("0.1234567890123456789"))


def test_the_description_says_that_amounts_are_numbers_within_bounds(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    size = schemas["NewOrder"]["properties"]["size"]
    assert (size["type"], size["exclusiveMinimum"], size["maximum"]) == ("number", 0, 1e15)
    assert schemas["SliceView"]["properties"]["amount"]["type"] == "number"
