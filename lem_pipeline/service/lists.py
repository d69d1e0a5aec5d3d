"""Routes that list: orders with filters, and the audit log, both a page at a time."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from lem.advice.advisor import Advisor
from lem.advice.audit import MOST_ENTRIES
from lem.advice.listing import Listing
from lem.advice.order import ID_PATTERN, STATUSES, Status
from lem_pipeline.service.fields import MOST_KEY, Symbol, told, utc_of
from lem_pipeline.service.models import AuditView, OrderView


def add_lists(app: FastAPI, advisor: Advisor) -> None:
    """Add the routes to the service over an advisor."""

    @app.get("/orders", responses=told())
    def orders(
        request: Request,
        response: Response,
        status: Annotated[
            list[Status] | None, Query(description="Only orders in these states.", max_length=len(STATUSES))
        ] = None,
        asset: Annotated[list[Symbol] | None, Query(description="Only orders of these.", max_length=20)] = None,
        since: Annotated[dt.datetime | None, Query(description="Only orders taken on at or after it (UTC).")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[
            str | None, Query(pattern=ID_PATTERN, description="Id of the last order of the page before.")
        ] = None,
    ) -> list[OrderView]:
        """Orders, the newest first. The header Link names the next page, where there is one."""
        begin = None if since is None else utc_of(since, "since")
        page = advisor.store.page(advisor.universe.name, Listing(status, asset, begin, cursor, limit))
        _name_next(request, response, page.cursor)
        return [OrderView.of(state) for state in page.states]

    @app.get("/audit", responses=told())
    def audit(
        request: Request,
        response: Response,
        order: Annotated[str | None, Query(pattern=ID_PATTERN, description="Only of this order.")] = None,
        since: Annotated[dt.datetime | None, Query(description="Only what was done at or after it (UTC).")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ENTRIES)] = 100,
        cursor: Annotated[int, Query(ge=0, le=MOST_KEY, description="Id of the last entry of the page before.")] = 0,
    ) -> list[AuditView]:
        """Who did what to live orders, the oldest first. The header Link names the next page, where there is one."""
        begin = None if since is None else utc_of(since, "since")
        found = advisor.store.audit.page(advisor.universe.name, order, begin, cursor, limit + 1)
        _name_next(request, response, found[limit - 1].id if len(found) > limit else None)
        return [AuditView.of(entry) for entry in found[:limit]]


def _name_next(request: Request, response: Response, cursor: str | int | None) -> None:
    """Name the next page in the header Link (RFC 8288), relative to this one."""
    if cursor is not None:
        url = request.url.include_query_params(cursor=cursor)
        response.headers["link"] = f'<{url.path}?{url.query}>; rel="next"'
