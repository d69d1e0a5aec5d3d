"""Amounts in decimals: what a desk, a venue and a report add up without a rounding."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import Annotated

from pydantic import PlainSerializer

from lem.errors import OrderError

ZERO = Decimal(0)
SMALLEST = Decimal("1e-30")
"""An amount that follows from a share has no digits below this."""
MOST_PLACES = 18
"""Decimal places that an amount, price or fee may be told with."""
LARGEST = Decimal("1e15")
# An amount of at most 1e15 with 30 places has 46 digits; sums and differences of thousands of them stay exact.
_EXACT = Context(prec=60, rounding=ROUND_DOWN)


def digits(amount: Decimal) -> str:
    """An amount in digits alone, without an exponent or zeros behind it."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


Digits = Annotated[Decimal, PlainSerializer(digits, return_type=str)]
"""An amount that JSON has in digits."""


def worked_out(number: float) -> Decimal:
    """The decimal number that a float is written as, without what lies below `SMALLEST`."""
    text = repr(float(number) + 0.0)  # -0.0 is 0.0
    told = Decimal(text)
    if "e" not in text and "n" not in text:  # 21 places at most; the others are written with an exponent, inf or nan
        return told
    return told if -told.as_tuple().exponent <= 30 else told.quantize(SMALLEST, context=_EXACT)  # type: ignore[operator]


@lru_cache(maxsize=65_536)
def as_told(number: float) -> Decimal:
    """The same of a number that comes again every bar, such as the size of an order."""
    return worked_out(number)


def plus(one: Decimal, other: Decimal) -> Decimal:
    """The exact sum."""
    return _EXACT.add(one, other)


def minus(one: Decimal, other: Decimal) -> Decimal:
    """The exact difference."""
    return _EXACT.subtract(one, other)


def total(amounts: list[Decimal]) -> Decimal:
    """The exact sum of all."""
    out = ZERO
    for amount in amounts:
        out = plus(out, amount)
    return out


def down_to(amount: Decimal, step: Decimal | None) -> Decimal:
    """The largest multiple of `step` that is not above an amount; the amount where there is no step."""
    if step is None:
        return amount
    return _EXACT.multiply(_EXACT.divide(amount, step).to_integral_value(rounding=ROUND_FLOOR), step)


def up_to(amount: Decimal, step: Decimal | None) -> Decimal:
    """The smallest multiple of `step` that is not below an amount; the amount where there is no step."""
    if step is None:
        return amount
    return _EXACT.multiply(_EXACT.divide(amount, step).to_integral_value(rounding=ROUND_CEILING), step)


def told_number(value: float | Decimal, what: str, least: Decimal | None = ZERO) -> Decimal:
    """A number that a desk gave, in the digits in which it gave it.

    Args:
        value: the number.
        what: the name that an error gives it.
        least: smallest that is allowed; None for any.

    Raises:
        OrderError: it is not finite, out of range, or has more than `MOST_PLACES` decimal places.
    """
    number = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    allowed = f"{'any' if least is None else f'{least:f} or more'}, at most {LARGEST:g}, {MOST_PLACES} decimal places"
    if not number.is_finite() or abs(number) > LARGEST or (least is not None and number < least):
        raise OrderError(f"{what} {value:g}; allowed: {allowed}")
    told, number = number, _EXACT.plus(number.normalize(_EXACT))  # -0 is 0
    if -int(number.as_tuple().exponent) > MOST_PLACES or (told and not number):
        raise OrderError(f"{what} {value!s:.80}; allowed: {allowed}")
    return number


def told_size(value: float | Decimal, what: str = "size") -> float:
    """The size of an order, which is a float: one whose digits a float does not hold is refused.

    Args:
        value: the number, in the digits in which it was given.
        what: the name that an error gives it.

    Raises:
        OrderError: as a float it would be another number.
    """
    size = float(value)
    held = size != 0.0 and math.isfinite(size)  # what is no size at all is refused as that
    if isinstance(value, Decimal) and value.is_finite() and held and Decimal(repr(size)) != value:
        raise OrderError(f"{what} {value!s:.80}; allowed: 15 digits, or what 17 hold exactly, such as {size!r}")
    return size
