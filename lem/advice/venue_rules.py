"""What a venue takes, and how slices are rounded to it.

A slice of a quantity is rounded down to the lot, and the rest is carried forward to the next slice. A slice that the
venue would refuse as too small waits, and is joined to the next one. What is left after a slice is nothing, or can be
traded: where it could not, an order that ends trades all that is left, and one that goes on leaves enough for one more.
Slices of a notional are amounts of quote currency: the lot is one of base currency and does not apply to them, the
least amount applies at the last close.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal

from lem.advice.amounts import ZERO, down_to, minus, up_to
from lem.errors import OrderError

_PRICE = Context(prec=40)


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What a venue takes of an asset; None where it has no such rule, or it is not known.

    Args:
        lot: amounts are multiples of it, in base currency.
        tick: prices are multiples of it, in quote currency.
        min_amount: least amount of a trade, in base currency.
        min_notional: least amount times price, in quote currency.
    """

    lot: Decimal | None = None
    tick: Decimal | None = None
    min_amount: Decimal | None = None
    min_notional: Decimal | None = None

    def or_else(self, other: VenueRules) -> VenueRules:
        """These rules, and those of `other` where there is none here."""
        names = ("lot", "tick", "min_amount", "min_notional")
        pairs = ((getattr(self, name), getattr(other, name)) for name in names)
        return VenueRules(*(other_one if own is None else own for own, other_one in pairs))

    def check(self, size: Decimal, limit_price: Decimal | None, target: str) -> None:
        """Refuse an order that the venue could not take to its end.

        Raises:
            OrderError: the size is no multiple of the lot or below the least amount, or the limit price is no positive
                multiple of the tick.
        """
        if target == "quantity":
            if down_to(size, self.lot) != size:
                raise OrderError(
                    f"size {size:f}; allowed: a multiple of the lot {self.lot:f}, such as {down_to(size, self.lot):f} "
                    f"or {up_to(size, self.lot):f}"
                )
            if self.min_amount is not None and size < self.min_amount:
                raise OrderError(f"size {size:f}; allowed: {self.min_amount:f} or more, the venue's least amount")
        elif self.min_notional is not None and size < self.min_notional:
            raise OrderError(f"size {size:f}; allowed: {self.min_notional:f} or more, the venue's least notional")
        if limit_price is not None and (limit_price <= 0 or down_to(limit_price, self.tick) != limit_price):
            multiple = "" if self.tick is None else f", a multiple of the tick {self.tick:f}"
            raise OrderError(f"limit_price {limit_price:f}; allowed: more than 0{multiple}")

    def step_of(self, target: str) -> Decimal | None:
        """What amounts of an order are multiples of; None where any will do."""
        return self.lot if target == "quantity" else None

    def least(self, target: str, price: Decimal) -> Decimal:
        """Least amount of a slice that the venue takes at a price, in the order's unit."""
        if target == "notional":
            worth = ZERO if self.min_amount is None else _PRICE.multiply(self.min_amount, price)
            return max(self.min_notional or ZERO, worth)
        amount = ZERO if self.min_notional is None else _PRICE.divide(self.min_notional, price)
        return up_to(max(self.min_amount or ZERO, amount, self.lot or ZERO), self.lot)

    def check_most(self, target: str, price: Decimal, size: Decimal, most: Decimal) -> None:
        """Refuse an order of which no bar could trade anything: each of its slices would be too small for the venue.

        Args:
            target: of the order.
            price: the last close, in quote currency.
            size: of the order.
            most: what its max_rate and the participation cap let trade in a bar.

        Raises:
            OrderError: the venue takes no slice as small as the largest that there can be.
        """
        least = self.least(target, price)
        if min(size, most) < least:
            why = (
                f"{size:f}"
                if size <= most
                else f"{size:f}, of which max_rate and cap let trade {float(most):.6g} a bar"
            )
            raise OrderError(
                f"size {why}; allowed: {float(least):.6g} or more, the least that the venue takes at the last close of "
                f"{price:f}"
            )

    @property
    def binds(self) -> bool:
        """Whether any rule rounds or holds back amounts."""
        return not (self.lot is None and self.min_amount is None and self.min_notional is None)


NO_RULES = VenueRules()


def tradable(
    rules: VenueRules,
    target: str,
    price: Decimal,
    wish: Decimal,
    left: Decimal,
    most: Decimal,
    bars_after: int,
    ends: bool,
) -> Decimal:
    """What a slice can be: a multiple of the lot, 0 or no less than the least, and no dust behind it.

    Args:
        rules: of the venue.
        target: of the order.
        price: the last close, in quote currency.
        wish: what the model asks for, with what was carried forward.
        left: what is still to trade.
        most: what the cap lets trade in a bar.
        bars_after: bars that the order may use after this one.
        ends: the order ends with the bar and is to trade all that is left.
    """
    step, least = rules.step_of(target), rules.least(target, price)
    whole, cap = down_to(max(left, ZERO), step), down_to(most, step)
    if ends or bars_after == 0:
        amount = min(whole, cap)
        return amount if amount >= least else ZERO
    # So that the bars that follow can trade the rest under the cap.
    needed = up_to(max(minus(whole, cap * bars_after), ZERO), step)
    needed = max(needed, least) if needed > ZERO else needed
    amount = min(max(down_to(wish, step), needed), whole, cap)
    behind = minus(whole, amount)
    if ZERO < behind < least:
        amount = down_to(max(minus(whole, least), ZERO), step)
    return amount if amount >= least else ZERO
