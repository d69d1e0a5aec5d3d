"""What the columns of the stages' tables mean, in words: `lem.lineage.stages` hands them to the catalogue and the docs.

`lem.dictionary` takes names, types and rules from the schemas, and refuses a column without words and words without a
column.
"""

from __future__ import annotations

from lem.data.features import MIN_VALID_SHARE
from lem.lineage.words import Words

_EXCLUDED = "excluded orders"
_OUTAGE = "outages"
_UNKNOWN = f"less than {MIN_VALID_SHARE:.0%} of the window's bars traded"
_TS = Words("open of the bar", "UTC")
_CLOSE_TS = Words("close of the bar: from here on its row is known", "UTC")
_ASSET = Words("the asset, as the universe file names it", allowed="the universe's assets")
_ID = "16 hex digits"


def _price(which: str, null: str) -> Words:
    return Words(f"{which} price", "quote currency", null)


def _numbers(null: str) -> dict[str, Words]:
    return {
        "open": _price("first", null),
        "high": _price("highest", null),
        "low": _price("lowest", null),
        "close": _price("last", null),
        "volume": Words("quantity traded in the bar", "base currency, or shares", null),
    }


RAW_WORDS = _numbers("the source gave none") | {
    "ts": Words("open of the bar, as the source gives it", "UTC", "the source's time is empty"),
    "quote_volume": Words("money traded in the bar", "quote currency", "the source has none"),
    "adjustment": Words("what the source's prices were multiplied by and its volume divided by; 1: not adjusted"),
    "source": Words("file, URL or venue that the row came from"),
    "source_row": Words("number of the row there, from 1"),
}

BARS_WORDS = _numbers(_OUTAGE) | {
    "ts": _TS,
    "close_ts": _CLOSE_TS,
    "quote_volume": Words("money traded in the bar", "quote currency", f"{_OUTAGE}, and where the source has none"),
    "vwap": Words(
        "volume-weighted average price: quote volume / volume, or an estimate (see `vwap_kind`)",
        "quote currency",
        f"{_OUTAGE} and bars without trades",
    ),
    "flag": Words("`ok`: traded; `no_trades`: the venue made the bar, nobody traded; `outage`: listed, there is none"),
    "vwap_kind": Words("`exact`: quote volume / volume; `estimated`: without quote volume, (high + low + close) / 3"),
}

_FEATURE = "in sigmas"
FEATURES_WORDS = {
    "ts": _TS,
    "close_ts": _CLOSE_TS,
    "vwap": BARS_WORDS["vwap"],
    "close": BARS_WORDS["close"],
    "volume": BARS_WORDS["volume"],
    "sigma": Words("volatility of a bar: root mean square of the trailing log returns", "log units", _UNKNOWN),
    "mean_volume": Words("mean volume of the trailing bars up to this one", "base currency, or shares", _UNKNOWN),
    "valid": Words("all features are known; where it is false they are 0 and no order may touch the bar"),
    "ret": Words("log return from the close before", _FEATURE),
    "vwap_ret": Words("log return from the VWAP before to this one", _FEATURE),
    "close_to_vwap": Words("log distance of the close from the bar's VWAP", _FEATURE),
    "range": Words("log(high / low) in sigmas, less 1", _FEATURE),
    "momentum_6": Words("log return over 6 bars, divided by √6", _FEATURE),
    "momentum_24": Words("log return over 24 bars, divided by √24", _FEATURE),
    "log_volume": Words("log of the volume over its trailing mean"),
    "next_volume": Words("log of the next bar's usual volume (same time of day) over the trailing mean"),
    "volatility_ratio": Words("log of the fast volatility over sigma"),
    "day_sin": Words("time of day on a circle"),
    "day_cos": Words("time of day on a circle"),
    "week_sin": Words("time of the week on a circle"),
    "week_cos": Words("time of the week on a circle"),
}

PANEL_WORDS = {"asset": _ASSET} | FEATURES_WORDS

BACKTEST_WORDS = {
    "asset": _ASSET,
    "arrival": Words("open of the first bar that the order may trade in", "UTC"),
    "side": Words("buy or sell"),
    "benchmark": Words("average price that the order is measured against, up to its own end"),
    "target": Words("what is fixed: a quantity, or a notional"),
    "min_bars": Words("m: bars before which the order may not end", "bars", allowed=">= 1"),
    "max_bars": Words("N: the order's last bar", "bars", allowed="the universe's `horizon`"),
    "strategy": Words("who executed the order: a rule, or the model"),
    "model_id": Words("the model (`models.id`); empty for a rule", allowed=f"{_ID}, or empty"),
    "status": Words("`excluded`: not executed, see `reason`"),
    "reason": Words("why the order is excluded; empty for a done one"),
    "sigma_bps": Words("volatility of a bar when the order arrived", "bps", _EXCLUDED),
    "gain_bps": Words("how much better than the benchmark, before costs and without a cap", "bps", _EXCLUDED),
    "gain_sigma": Words("`gain_bps` / `sigma_bps`", "sigma", _EXCLUDED),
    "gain_arrival_bps": Words("how much better than the close before the arrival, before costs", "bps", _EXCLUDED),
    "gain_full_vwap_bps": Words("how much better than VWAP of all N bars, before costs", "bps", _EXCLUDED),
    "gain_full_twap_bps": Words("how much better than TWAP of all N bars, before costs", "bps", _EXCLUDED),
    "capped_gain_bps": Words("gain before costs under the participation cap", "bps", _EXCLUDED),
    "net_gain_bps": Words("gain after costs under the participation cap", "bps", _EXCLUDED),
    "bound_bps": Words(
        "most that any strategy gains on a driftless market, on average, before costs", "bps", _EXCLUDED
    ),
    "net_bound_bps": Words("the same after costs, every bar's volume at its mean", "bps", _EXCLUDED),
    "oracle_bps": Words("what knowing every price of the order's bars would have gained", "bps", _EXCLUDED),
    "end_bar": Words("bars that the order took; 0 if excluded", "bars", allowed="0 or `min_bars` to `max_bars`"),
    "net_end_bar": Words("the same under the participation cap", "bars", allowed="0 or `min_bars` to `max_bars`"),
    "achieved": Words("average price of the order", "quote currency", _EXCLUDED),
    "benchmark_price": Words("the benchmark up to the order's end", "quote currency", _EXCLUDED),
    "slices": Words("share of the order traded in each bar, before costs", null="rules, excluded orders"),
}
