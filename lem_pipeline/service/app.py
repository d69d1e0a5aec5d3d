"""The service's routes: each one is a call of `lem.advice.advisor.Advisor`."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException

from lem.advice.advisor import Advisor
from lem.advice.amend import Amendment
from lem.advice.amounts import told_number, told_size
from lem.advice.answers import columns_of
from lem.advice.fills import FillNews
from lem.advice.order import ParentOrder, new_id, scenario
from lem.advice.order_report import OrderReport
from lem.advice.reporting import DayReport
from lem.errors import AdviceError, LemError, OrderError, OrderStateError, UnknownOrderError
from lem.execution.orders import Order
from lem_pipeline.service.events import STREAM_SECONDS, add_events
from lem_pipeline.service.fields import BarKey, Key, told, utc_of
from lem_pipeline.service.guards import Guard
from lem_pipeline.service.hiding import Hiding
from lem_pipeline.service.lists import add_lists
from lem_pipeline.service.models import (
    AdvisedView,
    FillView,
    MarketView,
    NewFill,
    NewOrder,
    NewTerms,
    OrderView,
    SliceView,
    Total,
)
from lem_pipeline.service.numbers import ExactRoute, dumped, written
from lem_pipeline.service.rendering import slices_json
from lem_pipeline.service.tail import Tail
from lem_pipeline.service.tokens import Named
from lem_pipeline.service.waiting import Waiting
from resources.settings import Settings

_LOG = logging.getLogger("lem.service")
_DESCRIPTION = """The next slice of live orders, once a bar.

A slice that was given once comes back as it was, with `repeated`. Errors have a `reason`, and `problems` that name each
wrong field and what is allowed. 503 says that there is no advice now, since market data or a champion is missing."""


class _Json(Response):
    """JSON in ASCII: whatever a caller sent can be quoted."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True).encode()


def _problem(status: int, reason: str, problems: list[dict[str, str]] | None = None) -> _Json:
    return _Json({"reason": reason, "problems": problems or []}, status)


def problem_of(error: Mapping[str, Any]) -> str:
    """What pydantic says of a field, in our own words where they are ours."""
    return str(error["msg"]).removeprefix("Value error, ")[:500]


def make_app(
    advisor: Advisor, tokens: str | Named = "", tail: Tail | None = None, stream_seconds: float = STREAM_SECONDS
) -> FastAPI:
    """The service over an advisor.

    Args:
        advisor: that answers.
        tokens: of which callers must show one; without any, only loopback names are answered.
        tail: of the audit log, for listeners; one of its own if left out.
        stream_seconds: after which a stream of events ends.
    """
    # No page that shows the description: it would load its scripts from elsewhere, into this origin.
    app = FastAPI(
        title="LEM advice", version="1", description=_DESCRIPTION, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.router.route_class = ExactRoute
    app.add_middleware(Guard, tokens=tokens)
    hidden = Hiding(Settings())
    waiting = Waiting()
    _errors(app, hidden)
    add_lists(app, advisor)
    add_events(app, advisor, tail or Tail(advisor.store.audit), hidden, stream_seconds)

    @app.get("/market", responses=told(503))
    async def market() -> MarketView:
        """Which bar is next; brings the bars of all open orders up to now."""
        at, problems = await waiting.run(advisor.refresh)
        return MarketView(
            universe=advisor.universe.name,
            now=at.now,
            bar=at.bar,
            bar_end=at.bar_end,
            as_of=at.as_of,
            problems=hidden.values(problems),
        )

    @app.post("/orders", status_code=201, responses={**told(409, 503), 200: {"model": OrderView}})
    async def submit(order: NewOrder, response: Response) -> OrderView:
        """Take an order on: 201, or 200 where the same order has this id already."""
        state, is_new = await waiting.run(
            lambda: advisor.submit(_parent(advisor, order), starts_next=order.start is None)
        )
        response.status_code = 201 if is_new else 200
        return OrderView.of(state)

    @app.get("/orders/{order_id}", responses=told(404))
    def order(order_id: Key) -> OrderView:
        """One order."""
        return OrderView.of(advisor.order(order_id))

    @app.get("/orders/{order_id}/slices", response_model=list[SliceView], responses=told(404))
    def slices(order_id: Key) -> Response:
        """Every slice that was advised for an order."""
        return _as_json(slices_json(columns_of(advisor.history(order_id))))

    @app.post("/orders/{order_id}/cancel", responses=told(404, 409))
    def cancel(order_id: Key) -> OrderView:
        """Cancel an open order: it gets no more slices."""
        return OrderView.of(advisor.cancel(order_id))

    @app.post("/orders/{order_id}/pause", responses=told(404, 409))
    def pause(order_id: Key) -> OrderView:
        """Advise nothing on an open order until it is resumed; its bars go by."""
        return OrderView.of(advisor.pause(order_id))

    @app.post("/orders/{order_id}/resume", responses=told(404, 409))
    def resume(order_id: Key) -> OrderView:
        """Go on with an order that was paused."""
        return OrderView.of(advisor.resume(order_id))

    @app.post("/orders/{order_id}/amend", responses=told(404, 409, 503))
    async def amend(order_id: Key, new: NewTerms) -> OrderView:
        """Change terms of an open order; what is left is planned anew from the next bar."""
        return OrderView.of(await waiting.run(advisor.amend, order_id, _amendment(new)))

    @app.post("/orders/{order_id}/close", responses=told(404, 409))
    def close(order_id: Key) -> OrderView:
        """Close an order that has ended: no fill of it is taken any more."""
        return OrderView.of(advisor.close(order_id))

    @app.post("/orders/{order_id}/fills", status_code=201, responses={**told(404, 409), 200: {"model": FillView}})
    def new_fill(order_id: Key, new: NewFill, response: Response) -> FillView:
        """Take a fill: 201, or 200 where the same was told before. Late ones count, until the order is closed."""
        fill, is_new = advisor.fill(order_id, _news(new))
        response.status_code = 201 if is_new else 200
        return FillView.of(fill)

    @app.get("/orders/{order_id}/fills", responses=told(404))
    def fills(order_id: Key) -> list[FillView]:
        """Everything that was told of an order's fills, corrections too."""
        return [FillView.of(fill) for fill in advisor.fills(order_id)]

    @app.put("/orders/{order_id}/slices/{bar}/fill", response_model=SliceView, responses=told(404, 409))
    def total(order_id: Key, bar: BarKey, filled: Total) -> Response:
        """Tell what was filled in a slice's bar as one number, in place of single fills; the last word counts."""
        told = advisor.total(order_id, utc_of(bar, "bar"), filled.amount)
        return _as_json(slices_json(columns_of([told]))[1:-1])

    @app.get("/orders/{order_id}/report", responses=told(404, 409, 503))
    async def report(order_id: Key) -> OrderReport:
        """What an order that has ended came to on real fills, and what rules would have done on the same bars."""
        return await waiting.run(advisor.report, order_id)

    @app.get("/reports", response_model=DayReport, responses=told(409, 503))
    async def reports(date: Annotated[dt.date, Query(description="Day (UTC) on which the orders began.")]) -> Response:
        """The orders of a day with their reports; of those without one, why."""
        return Response(await waiting.run(_told_day, advisor, date, hidden), media_type="application/json")

    @app.post("/orders/{order_id}/advice", response_model=AdvisedView, responses=told(404, 409, 503))
    async def advise_one(order_id: Key) -> Response:
        """The slice of one order for the bar that is next."""
        return _as_json(await waiting.run(_told_bar, advisor, order_id, hidden))

    @app.post("/advice", response_model=AdvisedView, responses=told(503))
    async def advise() -> Response:
        """The slices of all open orders for the bar that is next; orders without one are in `refused`, with why."""
        return _as_json(await waiting.run(_told_bar, advisor, None, hidden))

    return app


def _errors(app: FastAPI, hidden: Hiding) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> _Json:
        problems = [
            {"field": ".".join(map(str, item["loc"]))[:200], "problem": problem_of(item)}
            for item in error.errors()[:20]
        ]
        fields = ", ".join(f"{item['field']}: {item['problem']}" for item in problems)
        return _problem(422, f"{len(problems)} field(s) are wrong: {fields}", problems)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> _Json:
        answer = _problem(error.status_code, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(LemError)
    async def known(request: Request, error: LemError) -> _Json:
        if isinstance(error, UnknownOrderError):
            return _problem(404, hidden(str(error)))
        if isinstance(error, OrderStateError):
            return _problem(409, hidden(str(error)))
        if isinstance(error, OrderError):
            return _problem(422, hidden(str(error)))
        if isinstance(error, AdviceError):
            return _problem(503, hidden(str(error)))
        # Of what failed behind the service a caller learns that it failed; where databases and files are, the log says.
        _LOG.error("%s", error)
        return _problem(503, f"the service cannot answer now ({type(error).__name__}); its log says why")

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> _Json:
        # The server writes the traceback to the log.
        return _problem(500, "the service failed; its log says why")


def _parent(advisor: Advisor, new: NewOrder) -> ParentOrder:
    horizon = advisor.universe.horizon if new.max_bars is None else new.max_bars
    kind = scenario(new.side, new.benchmark, new.target)
    terms = Order(kind, new.min_bars, horizon, new.min_rate, new.max_rate, new.risk_aversion)
    start = advisor.start_of(new.id) if new.start is None else utc_of(new.start, "start")
    limit = None if new.limit_price is None else told_number(new.limit_price, "limit_price")
    own = (new.id or new_id(), advisor.universe.name, new.asset)
    return ParentOrder(*own, terms, told_size(new.size), start, new.mode, limit, fallback=new.fallback)


def _amendment(new: NewTerms) -> Amendment:
    named = {name: getattr(new, name) for name in new.model_fields_set}
    for name, value in named.items():
        if value is None and name != "limit_price":
            raise OrderError(f"{name} null; allowed: a value, or to leave it out")
    if named.get("limit_price") is not None:
        named["limit_price"] = told_number(named["limit_price"], "limit_price")
    if "size" in named:
        named["size"] = told_size(named["size"])
    return Amendment(**named, no_limit="limit_price" in named and named["limit_price"] is None)


def _news(new: NewFill) -> FillNews:
    price, fee = (
        None if number is None else told_number(number, name, least=None)
        for name, number in (("price", new.price), ("fee", new.fee))
    )
    return FillNews(
        fill_id=new.id,
        amount=told_number(new.amount, "amount"),
        price=price,
        fee=fee,
        traded_at=None if new.time is None else utc_of(new.time, "time"),
        bar=None if new.bar is None else utc_of(new.bar, "bar"),
        corrects=new.corrects,
    )


_DAY = TypeAdapter(DayReport)


def _as_json(told: bytes) -> Response:
    return Response(told, media_type="application/json")


def _told_day(advisor: Advisor, date: dt.date, hidden: Hiding) -> bytes:
    """JSON of the reports of a day."""
    day = advisor.reports(date)
    return _DAY.dump_json(replace(day, orders=[replace(line, reason=hidden(line.reason)) for line in day.orders]))


def _told_bar(advisor: Advisor, order_id: str | None, hidden: Hiding) -> bytes:
    """JSON of an `AdvisedView`."""
    advised = advisor.advise(order_id)
    at = advised.at
    view = {
        "bar": at.bar,
        "bar_end": at.bar_end,
        "as_of": at.as_of,
        "slices": written(slices_json(advised.columns)),
        "ended": [OrderView.of(state).model_dump() for state in advised.ended],
        "refused": hidden.values(advised.refused),
        "waiting": advised.waiting,
    }
    return dumped(view)
