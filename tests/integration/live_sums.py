"""What an order came to, added up from its audit log and the source's bars alone, with decimals and pandas."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Line:
    """An entry of the log: what happened to the order, and the facts of it."""

    event: str
    facts: dict[str, Any]


def time_of(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def market_bars(raw: pd.DataFrame, outages: Sequence[tuple[dt.datetime, dt.datetime]] = ()) -> pd.DataFrame:
    """Price, volume and close of the bars of a source, by their open; outages have the last close and no volume."""
    bars = raw.set_index("ts")[["close", "volume", "quote_volume"]].astype(float).sort_index()
    for begin, end in outages:
        bars.loc[(bars.index >= begin) & (bars.index < end), :] = float("nan")
    bars["close"] = bars["close"].ffill()
    bars["price"] = (bars["quote_volume"] / bars["volume"]).where(bars["volume"] > 0, bars["close"])
    bars["volume"] = bars["volume"].fillna(0.0)
    return bars


def sums_of(lines: Sequence[Line], bars: pd.DataFrame) -> dict[str, Any]:
    """What the report on an order must say.

    Args:
        lines: of the order, in the order of the log.
        bars: as `market_bars` gives them.
    """
    terms = next(line.facts for line in lines if line.event == "created")
    size, sign = Decimal(terms["size"]), 1.0 if terms["side"] == "buy" else -1.0
    slices = [line.facts for line in lines if line.event in ("advised", "missed")]
    told: dict[str, dict[str, Any]] = {}
    status = "waiting"
    for line in lines:
        if line.event in ("filled", "corrected"):
            told[line.facts["fill_id"]] = line.facts
        status = {"begun": "live", "cancelled": "cancelled"}.get(line.event, line.facts.get("status", status))
    out: dict[str, Any] = {"size": size, "status": status, "closed": lines[-1].event == "closed"}
    fees = sum((Decimal(fill["fee"]) for fill in told.values() if fill["fee"] is not None), Decimal(0))
    rows = [_row(slice_, list(told.values()), terms, bars) for slice_ in slices]
    table = pd.DataFrame(rows, columns=["bar", "advised", "filled", "confirmed", "fills", "price", "market_price"])
    filled = sum(table["filled"], Decimal(0))
    out |= {"filled": filled, "left": size - filled, "fees": fees, "confirmed": sum(table["confirmed"], Decimal(0))}
    out["bars"] = list(zip(table["bar"], table["advised"], table["filled"], table["fills"], strict=True))
    out["deviation_share"] = sum(abs(float(f - a)) for f, a in zip(table["filled"], table["advised"], strict=True))
    out["deviation_share"] /= float(size)
    if not rows:
        return out
    arrival = next(line.facts for line in lines if line.event == "begun")["arrival_price"]
    first, last = table["bar"].iloc[0], table["bar"].iloc[-1]
    assert arrival == bars["close"][: first - pd.Timedelta(microseconds=1)].iloc[-1], "the close before the first bar"
    own = bars[first:last]
    own_traded = own[own["volume"] > 0]
    weight = own_traded["volume"] if terms["benchmark"] == "vwap" else own_traded["volume"] * 0 + 1.0
    against = float((own_traded["price"] * weight).sum() / weight.sum()) if len(own_traded) else None
    left = max(0.0, float(out["left"])) / float(size)
    opportunity = 1e4 * sign * (float(own["close"].iloc[-1]) - arrival) / arrival * left
    out |= {"benchmark_price": against, "used": len(own_traded), "opportunity_bps": opportunity}
    traded = table[table["filled"] > 0]
    amounts = traded["filled"].astype(float)
    if traded.empty:
        return out | {"average_price": None, "implementation_shortfall_bps": opportunity}

    def average(prices: pd.Series) -> float:
        if terms["target"] == "notional":
            return float(amounts.sum() / (amounts / prices).sum())
        return float((amounts * prices).sum() / amounts.sum())

    paid, market = average(traded["price"].astype(float)), average(traded["market_price"].astype(float))
    units = float(filled) / paid if terms["target"] == "notional" else float(filled)
    net = paid + sign * float(fees) / units
    gains = (
        {}
        if against is None
        else {
            "gain_bps": 1e4 * sign * (against - paid) / against,
            "net_gain_bps": 1e4 * sign * (against - net) / against,
        }
    )
    shortfall = 1e4 * sign * (net - arrival) / arrival
    return (
        out
        | gains
        | {
            "average_price": paid,
            "shortfall_bps": 1e4 * sign * (paid - arrival) / arrival,
            "net_shortfall_bps": shortfall,
            "fees_bps": 1e4 * float(fees) / (units * paid),
            "slippage_bps": 1e4 * sign * (paid - market) / market,
            "implementation_shortfall_bps": opportunity + shortfall * float(filled) / float(size),
        }
    )


def _row(
    slice_: dict[str, Any], told: Sequence[dict[str, Any]], terms: dict[str, Any], bars: pd.DataFrame
) -> tuple[Any, ...]:
    bar, advised = time_of(slice_["bar"]), Decimal(slice_["amount"])
    own = [fill for fill in told if time_of(fill["bar"]) == bar]
    confirmed = sum((Decimal(fill["amount"]) for fill in own), Decimal(0))
    filled = confirmed if own else advised if terms["mode"] == "assume" else Decimal(0)
    market = float(bars["price"][bar])
    priced = [(float(fill["amount"]), float(fill["price"])) for fill in own if fill["price"] is not None]
    amount, price = sum(a for a, _ in priced), market
    if amount > 0 and terms["target"] == "notional":
        price = amount / sum(a / p for a, p in priced)
    elif amount > 0:
        price = sum(a * p for a, p in priced) / amount
    count = sum(Decimal(fill["amount"]) > 0 for fill in own)
    return bar, advised, filled, confirmed, count, price, market
