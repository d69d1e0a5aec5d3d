"""The meanings of tables and columns that no stage of the lake writes: registry, training curve, report, live orders.

Those of the stages' own tables are in `lem.lineage.meanings`.
"""

from __future__ import annotations

from lem.dictionary.meanings_live import FENCE, LIVE_COLUMNS, LIVE_TABLES
from lem.lineage.words import Words

_ID = "16 hex digits"
_HASH = "64 hex digits"

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
    "bound_bps": Words("mean of the bound on a driftless market, before costs", "bps", "differences"),
    "net_bound_bps": Words("mean of the bound on a driftless market after costs", "bps", "differences"),
    "oracle_bps": Words("mean of what knowing every price would have gained", "bps", "differences"),
    "capacity": Words(
        "order size at which the mean gain is gone, `inf` without a limit",
        "mean bar volumes",
        "costs off, and differences",
    ),
    "p_value": Words(
        "of this difference alone, if it were zero: Student's t, errors by block", null="gains, and too few blocks"
    ),
    "worth_mean_bps": Words("mean of what gains are worth by the gate's measure of losses", "bps", "costs off"),
    "worth_low_bps": Words("lower end of its 95 % interval", "bps", "costs off, and too few blocks"),
    "worth_high_bps": Words("upper end of its 95 % interval", "bps", "costs off, and too few blocks"),
    "worth_p_value": Words("as `p_value`, of what gains are worth", null="costs off, gains, and too few blocks"),
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
    "training_curve": _CURVE,
    "report.csv": _REPORT,
    **_REGISTRY,
    **LIVE_COLUMNS,
}

TABLES = {
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
