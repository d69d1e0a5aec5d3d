"""The meanings of the columns of live orders, slices, fences, nights and alerts (see `lem.dictionary.meanings`)."""

from __future__ import annotations

from lem.lineage.words import Words

FENCE = Words("token of the step that wrote the row last: a step of a lower one cannot", allowed=">= 0")
_ID, _FIRST, _ENDED = "16 hex digits", "no slice was advised yet", "the order has not ended, or traded nothing"

LIVE_COLUMNS = {
    "fence": {
        "id": Words("always 1: the table has one row", allowed="1"),
        "token": Words("the last token that a step has taken", allowed=">= 1"),
    },
    "advised_orders": {
        "id": Words("the desk's own name of the order, or one that was made for it"),
        "universe": Words("name of the universe"),
        "asset": Words("the asset, as the universe file names it"),
        "side": Words("buy or sell"),
        "benchmark": Words("vwap or twap"),
        "target": Words("what is fixed: a quantity, or a notional"),
        "size": Words("how much of the target", "base currency, shares, or quote currency", allowed="> 0"),
        "min_bars": Words("m: bars before which the order may not end", "bars", allowed=">= 1"),
        "max_bars": Words("N: the order's last bar", "bars", allowed="`min_bars` to the universe's `horizon`"),
        "min_rate": Words("least share of the order in a bar", allowed="0 to 1"),
        "max_rate": Words("largest share of the order in a bar", allowed="0 to 1"),
        "risk_aversion": Words("lambda of the order's objective", allowed=">= 0"),
        "start": Words("open of the first bar that the order may trade in", "UTC"),
        "created_at": Words("when the order was stored", "UTC"),
        "status": Words("where the order stands"),
        "model_id": Words("the champion that decides the order", null=_FIRST, allowed=_ID),
        "first_bar": Words("open of the order's first bar", "UTC", _FIRST),
        "sigma": Words("volatility of a bar at arrival", "log units", _FIRST),
        "arrival_price": Words("close before the first bar", "quote currency", _FIRST),
        "mean_volume": Words("mean volume of a bar at arrival", "base currency, or shares", _FIRST),
        "bars_used": Words("bars that the order took", "bars", _ENDED),
        "filled_share": Words("share of the order that was traded", null=_ENDED),
        "achieved": Words("average price of the order", "quote currency", _ENDED),
        "benchmark_price": Words("the benchmark up to the order's end", "quote currency", _ENDED),
        "gain_bps": Words("how much better than the benchmark, before costs", "bps", _ENDED),
    },
    "advised_slices": {
        "order_id": Words("the order"),
        "bar": Words("open of the bar that the slice is for", "UTC"),
        "as_of": Words("close of the last bar that the decision knew", "UTC"),
        "advised_at": Words("when it was decided", "UTC"),
        "share": Words("share of the order to trade in the bar", allowed="0 to 1"),
        "finish": Words("whether the order ends with this bar"),
        "reason": Words("why the slice is what it is"),
        "probability": Words("the model's probability to finish here", allowed="0 to 1"),
        "last_close": Words("close of the last known bar", "quote currency"),
        "bars_done": Words("bars of the order before this one", "bars", allowed=">= 0"),
        "remaining": Words("share of the order still to trade before the bar", allowed="0 to 1"),
        "units": Words("ledger before the bar: units traded for the share that is done"),
        "cash": Words("ledger before the bar: money traded for the share that is done"),
        "weight": Words("ledger before the bar: sum of the benchmark's weights"),
        "weighted": Words("ledger before the bar: sum of weights times prices"),
        "filled": Words("share that the desk confirmed", null="nobody confirmed: what was advised is assumed"),
    },
    "nights": {
        "id": Words("grows with every try"),
        "universe": Words("name of the universe"),
        "date": Words("the date of the night's decision"),
        "process": Words("who makes it: host, boot, process number and start"),
        "began_at": Words("when it was begun", "UTC"),
        "ended_at": Words("when it ended", "UTC", "it goes on, or its process was killed"),
        "problem": Words("why it failed", null="it has not failed"),
    },
    "alerts": {
        "universe": Words("name of the universe; empty for the machine"),
        "kind": Words("night, degraded, drift, age, quarantine, disk, or heartbeat"),
        "subject": Words("which one of its kind, such as a date"),
        "sentence": Words("what is wrong"),
        "command": Words("what shows more, or repairs it"),
        "found_at": Words("when it was found first", "UTC"),
        "told_at": Words("when it was told", "UTC", "nobody was told yet"),
        "claimed_until": Words("until when a process is telling it", "UTC", "nobody is telling it"),
    },
}

LIVE_TABLES = {
    "fence": "The counter of the tokens that steps write with, so that one that lost its run overwrites nothing.",
    "advised_orders": "Parent orders that `lem advise` and `lem serve` work on.",
    "advised_slices": "What was advised for each bar of an order, once.",
    "nights": "Nights that `lem night` or the night's job has begun, and how they ended; kept for 90 days.",
    "alerts": "What is wrong and was told or is to be told, until it is over; and the night of the last heartbeat.",
}
