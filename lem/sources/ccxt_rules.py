"""What a venue takes of a market, from ccxt's market data."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import ccxt

_LIMITS = {"min_amount": "amount", "min_notional": "cost"}


def rules_of(market: Mapping[str, Any], precision_mode: int) -> dict[str, Decimal]:
    """Lot, tick, least amount and least notional of a market, in base and quote currency; only those that are known.

    Args:
        market: as ccxt has it. Amounts of a contract are in contracts there.
        precision_mode: of the venue: ccxt.TICK_SIZE or ccxt.DECIMAL_PLACES; another one has no fixed steps.
    """
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    found = {name: _step(precision.get(key), precision_mode) for name, key in (("lot", "amount"), ("tick", "price"))}
    found |= {name: _number((limits.get(key) or {}).get("min")) for name, key in _LIMITS.items()}
    size = _number(market.get("contractSize")) if market.get("contract") else None
    if size is not None:
        found |= {name: found[name] * size for name in ("lot", "min_amount") if found[name] is not None}  # type: ignore[operator]
    return {name: number for name, number in found.items() if number is not None}


def _step(precision: Any, mode: int) -> Decimal | None:
    if precision is None or mode not in (ccxt.TICK_SIZE, ccxt.DECIMAL_PLACES):
        return None
    return Decimal(1).scaleb(-int(precision)) if mode == ccxt.DECIMAL_PLACES else _number(precision)


def _number(value: Any) -> Decimal | None:
    if value is None:
        return None
    number = Decimal(str(value))
    return number if number.is_finite() and number > 0 else None
