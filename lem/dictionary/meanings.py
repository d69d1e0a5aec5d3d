"""What every table and column means, in words: the catalogue of the UI and docs/data_dictionary.md are made of them.

Names, types and rules are not here: `lem.dictionary` takes those from the schemas, and a column without words, or words
without a column, is an error there.
"""

from __future__ import annotations

from lem.data.features import CLIP, MIN_VALID_SHARE
from lem.dictionary.meanings_live import FENCE, LIVE_COLUMNS, LIVE_TABLES
from lem.dictionary.words import Words

_EXCLUDED = "excluded orders"
_OUTAGE = "outages"
_UNKNOWN = f"less than {MIN_VALID_SHARE:.0%} of the window's bars traded"
_TS = Words("open of the bar", "UTC")
_CLOSE_TS = Words("close of the bar: from here on its row is known", "UTC")
_ASSET = Words("the asset, as the universe file names it", allowed="the universe's assets")
_ID = "16 hex digits"
_HASH = "64 hex digits"


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


_RAW = _numbers("the source gave none") | {
    "ts": Words("open of the bar, as the source gives it", "UTC", "the source's time is empty"),
    "quote_volume": Words("money traded in the bar", "quote currency", "the source has none"),
    "adjustment": Words("what the source's prices were multiplied by and its volume divided by; 1: not adjusted"),
    "source": Words("file, URL or venue that the row came from"),
    "source_row": Words("number of the row there, from 1"),
}

_BARS = _numbers(_OUTAGE) | {
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
_FEATURES = {
    "ts": _TS,
    "close_ts": _CLOSE_TS,
    "vwap": _BARS["vwap"],
    "close": _BARS["close"],
    "volume": _BARS["volume"],
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

_BACKTEST = {
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
    "bound_bps": Words("most that any strategy gains on a driftless market, on average", "bps", _EXCLUDED),
    "oracle_bps": Words("what knowing every price of the order's bars would have gained", "bps", _EXCLUDED),
    "end_bar": Words("bars that the order took; 0 if excluded", "bars", allowed="0 or `min_bars` to `max_bars`"),
    "net_end_bar": Words("the same under the participation cap", "bars", allowed="0 or `min_bars` to `max_bars`"),
    "achieved": Words("average price of the order", "quote currency", _EXCLUDED),
    "benchmark_price": Words("the benchmark up to the order's end", "quote currency", _EXCLUDED),
    "slices": Words("share of the order traded in each bar, before costs", null="rules, excluded orders"),
}

_CURVE = {
    "step": Words("training step, from 0", "steps", allowed=">= 0"),
    "loss": Words("mean loss since the point before: risk-averse gain and tracking, in sigma"),
    "gain_sigma": Words("mean gain of the training orders since the point before", "sigma"),
    "learning_rate": Words("learning rate of the step"),
}

_POOLED_OR = "or `all` where pooled"
_REPORT = {
    "level": Words("how far orders are pooled"),
    "costs": Words("before costs, or after them under the participation cap"),
    "strategy": Words("who executed the orders"),
    "against": Words("empty: gains of `strategy`; else paired differences `strategy` - `against`", null="gains"),
    "side": Words(f"buy, sell, {_POOLED_OR}"),
    "benchmark": Words(f"vwap, twap, {_POOLED_OR}"),
    "target": Words(f"quantity, notional, {_POOLED_OR}"),
    "min_bars": Words(f"m, {_POOLED_OR}", "bars"),
    "group": Words("asset, hour, weekday, bucket or model, as `level` says", null="levels without groups"),
    "orders": Words("executed orders", allowed=">= 1"),
    "blocks": Words("blocks of days that the interval is resampled over", allowed=">= 1"),
    "mean_bps": Words("mean gain", "bps"),
    "low_bps": Words("lower end of its 95 % interval", "bps", "too few blocks"),
    "high_bps": Words("upper end of its 95 % interval", "bps", "too few blocks"),
    "mean_sigma": Words("mean gain", "sigma"),
    "median_bps": Words("median gain", "bps"),
    "std_bps": Words("standard deviation of the gain", "bps", "one order"),
    "p5_bps": Words("5 % quantile", "bps"),
    "p95_bps": Words("95 % quantile", "bps"),
    "cvar5_bps": Words("mean of the worst 5 %", "bps"),
    "hit_rate": Words("share of orders with a gain above 0", allowed="0 to 1"),
    "arrival_bps": Words("mean gain against the arrival price", "bps", "costs on"),
    "full_vwap_bps": Words("mean gain against VWAP of all N bars", "bps", "costs on"),
    "full_twap_bps": Words("mean gain against TWAP of all N bars", "bps", "costs on"),
    "capped_bps": Words("mean gain under the cap, before costs", "bps", "costs off"),
    "end_bar": Words("mean bars that an order took", "bars"),
    "bound_bps": Words("mean of the bound on a driftless market", "bps", "differences"),
    "oracle_bps": Words("mean of what knowing every price would have gained", "bps", "differences"),
    "capacity": Words(
        "order size at which the mean gain is gone, `inf` without a limit",
        "mean bar volumes",
        "costs off, and differences",
    ),
}

_DECISION = {
    "id": Words("number of the row, in the order of writing"),
    "universe": Words("name of the universe"),
    "date": Words("the day that is decided about", "UTC"),
    "champion_id": Words("the model that trades on the date", null="no model may trade", allowed=_ID),
    "candidate_id": Words("the model that was judged", null="none was trained for the date", allowed=_ID),
    "previous_id": Words("the champion before", null="there was none", allowed=_ID),
    "decision": Words("`promoted`: the candidate trades; `kept`: the champion goes on; `none`: no model trades"),
    "reasons": Words("why, in sentences", allowed="JSON list of texts"),
    "figures": Words("the numbers that the decision rests on; `by_hand` if a person made it", allowed="JSON object"),
    "decided_at": Words("when it was decided", "UTC"),
}

_REGISTRY = {
    "models": {
        "id": Words("first digits of the SHA-256 of the manifest", allowed=_ID),
        "universe": Words("name of the universe"),
        "usable_on": Words("first date that the model may trade on", "UTC"),
        "train_start": Words("first date of the training window", "UTC"),
        "train_end": Words("end of the training window, exclusive", "UTC"),
        "weights_sha256": Words("hash of the weights, checked whenever they are loaded", allowed=_HASH),
        "weights_path": Words("where the weights lie in the lake"),
        "code_version": Words("version of the library that trained it"),
        "seed": Words("seed of the training", allowed=">= 0"),
        "created_at": Words("when the model was registered", "UTC"),
        "manifest": Words("all that it was made from: configuration, window, data versions", allowed="JSON object"),
    },
    "manifest_inputs": {
        "model_id": Words("the model that read the partition", allowed=_ID),
        "table_name": Words("table of the lake that was read"),
        "partition_key": Words("the partition, such as `2024-01-10`"),
        "data_version": Words("content hash that the partition had then", allowed=_HASH),
    },
    "metrics": {
        "model_id": Words("the model", allowed=_ID),
        "window": Words("data that the figure is of, such as `train` or `gate`"),
        "name": Words("name of the figure, such as `loss` or `gain_sigma`"),
        "value": Words("its value, in the unit that the name ends with"),
    },
    "candidates": {
        "universe": Words("name of the universe"),
        "date": Words("the date that the model was trained for", "UTC"),
        "model_id": Words("the model that was registered last for the date", allowed=_ID),
        "fence": FENCE,
    },
    "promotions": _DECISION | {"fence": FENCE},
    "promotion_log": _DECISION,
}

COLUMNS: dict[str, dict[str, Words]] = {
    "raw_bars": _RAW,
    "bars": _BARS,
    "features": _FEATURES,
    "panel": {"asset": _ASSET} | _FEATURES,
    "backtest": _BACKTEST,
    "training_curve": _CURVE,
    "report.csv": _REPORT,
    **_REGISTRY,
    **LIVE_COLUMNS,
}

TABLES = {
    "raw_bars": "A row for each bar that the source has, in its order, with file and row. Rules are tested in `bars`. "
    "Rows that a source has revised stay under `superseded/raw_bars`.",
    "bars": "A row for each bar that the calendar expects, no more and no fewer: a gap that is not listed as an outage "
    "stops its day, and nothing is filled in.",
    "features": "A row for each bar, with what is known when it has closed. Features are dimensionless and clipped to "
    f"±{CLIP:g}.",
    "panel": "The `features` of all assets below each other, by asset and time.",
    "backtest": "A row for each order and strategy: every bar of the date an arrival, in eight scenarios, for every m.",
    "training_curve": "How a model's training went.",
    "report.csv": "Every statistic of the execution report, at every level of pooling, before and after costs.",
    "models": "Trained models. The weights lie in the lake, named by their hash.",
    "manifest_inputs": "What each model was trained on: a row for each partition it read.",
    "metrics": "Figures of a model.",
    "candidates": "The model that was registered last for each date.",
    "promotions": "The decision that stands for each date: which model trades.",
    "promotion_log": "Every decision that was ever made, by the gate and by hand; rows are only added.",
    **LIVE_TABLES,
}
