"""What the volume in a contract market's bars counts, and what one of it is in base currency.

ccxt hands on the volume that the venue gives. On spot markets that is base currency. On contract markets it is base
currency, or contracts, or something else; a contract is `contractSize` of the base currency (linear), or of the quote
currency (inverse). What is not known is refused: a volume in contracts may be ten thousand times too large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lem.errors import SourceError


@dataclass(frozen=True)
class Counted:
    """What the volume of a kind of market counts.

    Args:
        unit: `base` (currency), `contracts` or `quote` (currency).
        known: how that is known, in words for the docs.
    """

    unit: str
    known: str


_FIELD = "ccxt takes the field"
_BINANCE = Counted("base", f"{_FIELD} of the base asset's volume (the eighth) for inverse markets")
_BYBIT = Counted("base", f"{_FIELD} of the turnover, in coins, for inverse markets")
_OKX = Counted("base", f"{_FIELD} that its comment calls base volume (the seventh)")
_HTX = Counted("base", f"{_FIELD} `amount`, the venue's volume in coins")
_KUCOIN = Counted("contracts", "the venue's documentation: lots; ccxt hands them on")

UNIFIED: dict[tuple[str, str], Counted] = {
    ("binance", "inverse"): _BINANCE,
    ("binancecoinm", "inverse"): _BINANCE,
    ("bitget", "inverse"): Counted("base", f"{_FIELD} with the volume in coins (the seventh) for inverse markets"),
    ("bitget", "linear"): Counted("base", f"{_FIELD} that the venue calls volume of the base coin (the sixth)"),
    ("blofin", "linear"): Counted("base", f"{_FIELD} that its comment calls base volume (the seventh)"),
    ("bybit", "inverse"): _BYBIT,
    ("deribit", "inverse"): Counted("base", "ccxt's example: volume times price is the row's cost"),
    ("dydx", "linear"): Counted("base", f"{_FIELD} `baseTokenVolume`"),
    ("gate", "inverse"): Counted("contracts", f"{_FIELD} `v`, contracts; measured for linear markets"),
    ("gate", "linear"): Counted("contracts", f"{_FIELD} `v`, contracts; measured: 1,000,000 for 100 BTC"),
    ("grvt", "linear"): Counted("base", f"{_FIELD} `volume_b`"),
    ("hibachi", "linear"): Counted("quote", f"{_FIELD} `volumeNotional`"),
    ("htx", "inverse"): _HTX,
    ("htx", "linear"): _HTX,
    ("hyperliquid", "linear"): Counted("base", "contracts are of one coin"),
    ("kucoin", "inverse"): _KUCOIN,
    ("kucoin", "linear"): _KUCOIN,
    ("kucoinfutures", "inverse"): _KUCOIN,
    ("kucoinfutures", "linear"): _KUCOIN,
    ("mexc", "inverse"): Counted("contracts", f"{_FIELD} `vol`, contracts"),
    ("mexc", "linear"): Counted("contracts", f"{_FIELD} `vol`, contracts; `amount` is money"),
    ("okx", "inverse"): _OKX,
    ("myokx", "linear"): _OKX,
}
"""What ccxt 4.5.90 gives as volume in `fetch_ohlcv`, by venue and kind of contract market (`linear`, `inverse`)."""


def volume_unit(venue: str, market: Mapping[str, Any], stated: str | None, known: bool = False) -> float:
    """What one of the volume in a market's bars is in base currency.

    Args:
        venue: ccxt's name of it.
        market: ccxt's market.
        stated: what the universe says (`source.contract_volume`): `base`, `contracts` or None.
        known: the venue's own bars are read, whose volume is in base currency.

    Raises:
        SourceError: the volume cannot be told in base currency, or is stated although it is known.
    """
    where = f"{venue}: {market.get('symbol')!r}"
    kind = "linear" if market.get("linear") else "inverse" if market.get("inverse") else "quanto"
    contract = bool(market.get("contract"))
    told = UNIFIED.get((venue, kind)) if contract else Counted("base", "spot")
    if known:
        told = Counted("base", "own bars")
    if stated and told is not None:
        raise SourceError(
            f"{where}: source.contract_volume is {stated!r}, but its volume is known to count {told.unit}; allowed: no "
            "such key for this market"
        )
    unit = told.unit if told is not None else stated
    size = market.get("contractSize")
    if not contract or unit == "base":
        return 1.0
    if kind == "linear" and size and (unit == "contracts" or (unit is None and float(size) == 1.0)):
        return float(size)
    quote, base = market.get("quote") or "the quote currency", market.get("base") or "the base currency"
    allowed = f"allowed: a market whose volume is known in {base} (docs/venues.md)"
    if unit == "quote":
        raise SourceError(f"{where}: its volume is in {quote}, not in {base}; {allowed}")
    if unit is None:
        raise SourceError(
            f"{where}: nothing is known of what its volume counts, {base} or contracts of {size or 'unknown size'}; "
            f"{allowed}, or source.contract_volume ('base' or 'contracts', as the venue's documentation says)"
        )
    what = f"of {size} {quote}" if kind == "inverse" else f"({kind}, of {size or 'unknown size'})"
    raise SourceError(
        f"{where}: its volume counts contracts {what}; how much {base} that is depends on the price of each trade; "
        f"{allowed}"
    )
