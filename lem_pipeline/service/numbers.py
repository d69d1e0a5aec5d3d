"""Numbers of JSON with their own digits: what a caller sent is what counts, and what is answered sums exactly."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, Field

from lem.advice.amounts import LARGEST


class _Told(float):
    """A number of a body, which keeps the text that it came as."""

    text: str

    def __new__(cls, text: str) -> _Told:
        """The number of a text of JSON."""
        number = super().__new__(cls, text)
        number.text = text
        return number


class _Exact(Request):
    async def json(self) -> Any:
        """The body; numbers with a point or an exponent keep their text."""
        return json.loads(await self.body(), parse_float=_Told)


class ExactRoute(APIRoute):
    """A route whose bodies keep the digits of their numbers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, which reads bodies so."""
        handle = super().get_route_handler()

        async def exactly(request: Request) -> Response:
            return await handle(_Exact(request.scope, request.receive))

        return exactly


def _exact(value: object) -> Decimal:
    """The decimal number that was written, of a number of JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("Input should be a valid number")
    if isinstance(value, float) and not math.isfinite(value):  # of a long integer it could not be asked
        raise ValueError("Input should be a finite number")
    try:
        return Decimal(value.text if isinstance(value, _Told) else str(value))
    except InvalidOperation:
        raise ValueError("Input should be a number of fewer digits") from None


_most = float(LARGEST)
_above_zero, _not_negative, _signed = Field(gt=0, le=_most), Field(ge=0, le=_most), Field(ge=-_most, le=_most)
Positive = Annotated[
    Decimal, BeforeValidator(_exact, json_schema_input_type=Annotated[float, _above_zero]), _above_zero
]
"""An amount or a price above 0."""
NotNegative = Annotated[
    Decimal, BeforeValidator(_exact, json_schema_input_type=Annotated[float, _not_negative]), _not_negative
]
"""An amount."""
Signed = Annotated[Decimal, BeforeValidator(_exact, json_schema_input_type=Annotated[float, _signed]), _signed]
"""A fee."""


def written(text: bytes) -> orjson.Fragment:
    """A value of which the JSON is there already."""
    return orjson.Fragment(text)


def dumped(value: Any) -> bytes:
    """JSON of a value; times are UTC."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)
