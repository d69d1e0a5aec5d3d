"""The feature table: causal, stationary, and the same bits whether one day is made or a year.

Row t holds what is known when bar t has closed. Every trailing statistic is taken over a fixed number of bars that end
at t and reach back into earlier partitions, so a day's first bars are measured against the days before. A day is always
computed from exactly `FeatureConfig.history` bars of history: a backfill and a single
night give identical bytes.

Shapes: H = bars of history, D = bars of the day, W = a trailing window, T = H + D. What is computed of one asset's bars
(..., T) is computed of several assets' at once, with an axis of assets before that of time.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as arrow
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lem.data.quick_rules import keeps
from lem.data.tape import FeatureArrays, Tape
from lem.errors import BarsError
from lem.late import pa, pd
from lem.universe.bar_clock import BarClock
from lem.universe.features_config import FeatureConfig

FEATURES = (
    "ret",
    "vwap_ret",
    "close_to_vwap",
    "range",
    "momentum_6",
    "momentum_24",
    "log_volume",
    "next_volume",
    "volatility_ratio",
    "day_sin",
    "day_cos",
    "week_sin",
    "week_cos",
)
"""Model inputs, in this order: dimensionless, of order one, clipped to +-CLIP."""
SIGNED = ("ret", "vwap_ret", "close_to_vwap", "momentum_6", "momentum_24")
"""Features whose sign flips when the price is turned upside down (1 / price); the others stay the same."""
CLIP = 8.0
MIN_VALID_SHARE = 0.75
"""Share of its window that must be valid for a trailing statistic; with less, the bar is masked, not filled."""

TABLE_SCHEMA = arrow.schema(
    [
        ("ts", arrow.timestamp("us", tz="UTC")),
        ("close_ts", arrow.timestamp("us", tz="UTC")),
        ("vwap", arrow.float64()),
        ("close", arrow.float64()),
        ("volume", arrow.float64()),
        ("sigma", arrow.float64()),
        ("mean_volume", arrow.float64()),
        ("valid", arrow.bool_()),
        *((name, arrow.float64()) for name in FEATURES),
    ]
)


def clock_slots(bars_per_day: int) -> int:
    """Slots of the calendar's clock: the bars of 24 hours, or for daily bars the seven weekdays."""
    return bars_per_day if bars_per_day > 1 else 7


def season_slots(ts_T: NDArray, bars_per_day: int) -> NDArray[np.int64]:
    """Slot of each bar, 0 to `clock_slots` - 1: its place in the day, or its weekday (Monday 0) for daily bars.

    The place in the day is that in the UTC day or, where no day goes on into the next (sessions of an exchange, which
    summer time moves), that in the session.

    Args:
        ts_T: bar opens of whole days, UTC (datetime64). A bar's slot is known in advance, so to use it before the bar
            opens is no look-ahead.
        bars_per_day: bars of 24 hours; 1 for daily bars.
    """
    day_T = ts_T.astype("datetime64[D]")
    if bars_per_day == 1:
        return (day_T.astype(np.int64) + 3) % 7  # day 0 of the epoch was a Thursday
    if not _goes_round(ts_T, day_T, bars_per_day):
        begins_T = np.r_[True, day_T[1:] != day_T[:-1]]
        at_T = np.arange(len(ts_T))
        return at_T - np.maximum.accumulate(np.where(begins_T, at_T, 0))
    second_T = (ts_T - day_T).astype("timedelta64[s]").astype(np.int64)
    return second_T * bars_per_day // 86_400


def _goes_round(ts_T: NDArray, day_T: NDArray, bars_per_day: int) -> bool:
    """Whether some day's last bar ends where the next day's first one begins, or a first day at midnight goes on."""
    length = np.timedelta64(86_400_000_000 // bars_per_day, "us")
    turns_T = day_T[1:] != day_T[:-1]
    if turns_T.any():
        return bool((np.diff(ts_T)[turns_T] == length).any())
    return len(ts_T) == 0 or bool((ts_T == ts_T[0] + np.arange(len(ts_T)) * length).all() and ts_T[0] == day_T[0])


def _trailing_mean(x_T: NDArray, window: int, first: int) -> NDArray:
    """Mean over the `window` values that end at each position from `first` on, along the last axis.

    NaN before `first`, in an incomplete window, and in a window with too few valid values. Every window is summed by
    itself, so that a day's bits do not depend on how many other days or assets are made with it.
    """
    out = np.full(x_T.shape, np.nan)
    first = max(first, window - 1)
    if x_T.shape[-1] <= first:
        return out
    x_T = x_T[..., first - window + 1 :]
    known_T = np.isfinite(x_T)
    total_T = sliding_window_view(np.where(known_T, x_T, 0.0), window, axis=-1).sum(axis=-1)
    count_T = sliding_window_view(known_T, window, axis=-1).sum(axis=-1)
    enough_T = count_T >= MIN_VALID_SHARE * window
    out[..., first:] = np.divide(total_T, count_T, out=np.full(total_T.shape, np.nan), where=enough_T)
    return out


def _lag(x_T: NDArray, bars: int) -> NDArray:
    out = np.full(x_T.shape, np.nan)
    out[..., bars:] = x_T[..., : max(0, x_T.shape[-1] - bars)]
    return out


def _counterparts(volume_T: NDArray, opens: pd.DatetimeIndex, seasons: int, clock: BarClock) -> NDArray:
    """Volumes of the bars at the next bar's time of day on earlier days: all have closed when bar t closes.

    Returns:
        (S, ..., T).
    """
    if clock.sessions is None:
        # The bar after t has its counterparts at t+1-season, t+1-2*season, ...
        return np.stack([_lag(volume_T, clock.season * (s + 1) - 1) for s in range(seasons)])
    # Sessions differ in length: the counterpart has the same place in its session.
    place_T, next_T = clock.places(opens)
    out_ST = np.full((seasons, *volume_T.shape), np.nan)
    for place in np.unique(next_T):
        there, asked = np.flatnonzero(place_T == place), np.flatnonzero(next_T == place)
        known_A = np.searchsorted(there, asked, side="right")
        for s in range(seasons):
            enough = known_A > s
            out_ST[s][..., asked[enough]] = volume_T[..., there[known_A[enough] - s - 1]]
    return out_ST


def _mean_of(slots_SD: NDArray) -> NDArray:
    """Mean over the seasons, summed one by one whatever the shape; NaN where too few are known."""
    known_SD = np.isfinite(slots_SD)
    total_D, count_D = sum(np.where(known_SD, slots_SD, 0.0)), known_SD.sum(axis=0)
    enough_D = count_D >= MIN_VALID_SHARE * len(slots_SD)
    return np.divide(total_D, count_D, out=np.full(count_D.shape, np.nan), where=enough_D)


def compute_features(history: pd.DataFrame, day: pd.DataFrame, config: FeatureConfig, clock: BarClock) -> pd.DataFrame:
    """Features of one day.

    Args:
        history: bars before the day in time order (bars table); only the last `config.history` are read.
        day: the day's bars.
        config: the windows, in bars.
        clock: of the market, which sets the volume's season and the time of day.

    Returns:
        One row per bar of `day` (`TABLE_SCHEMA`): the tape (vwap, close, volume), `sigma` (per-bar volatility, log
        units, from returns up to this bar), `mean_volume` (of the trailing bars up to this one), `valid`, and
        `FEATURES`, which are 0 if the bar is not valid. `check_features` tests the result.

    Raises:
        BarsError: history and day overlap or are out of order.
    """
    history = history.iloc[-config.history(clock.bars_per_day) :]
    bars = pd.concat([history, day], ignore_index=True) if len(history) else day.reset_index(drop=True)
    if not bars["ts"].is_monotonic_increasing or bars["ts"].duplicated().any():
        raise BarsError("features: the bars of the history and of the day overlap or are out of time order")
    start = len(history)
    return feature_table(bars.iloc[start:], feature_arrays(Tape.of(bars), start, config, clock))


def feature_table(bars: pd.DataFrame, computed: FeatureArrays) -> pd.DataFrame:
    """The feature table of some bars.

    Args:
        bars: D of the `bars` table.
        computed: of the same bars, without an axis of assets.
    """
    table = bars[["ts", "close_ts", "vwap", "close", "volume"]].reset_index(drop=True)
    table["sigma"], table["mean_volume"], table["valid"] = computed.sigma_D, computed.mean_volume_D, computed.valid_D
    return pd.concat([table, pd.DataFrame(computed.values_DF, columns=list(FEATURES))], axis=1)


def feature_arrays(bars: Tape, start: int, config: FeatureConfig, clock: BarClock) -> FeatureArrays:
    """What `compute_features` computes, of the bars from position `start` on.

    Args:
        bars: the `config.history` bars before a day (as far as there are any), and bars of the day.
        start: D = T - `start`.
        config: as in `compute_features`.
        clock: as in `compute_features`.
    """
    slots_SD = _counterparts(np.where(bars.traded_T, bars.volume_T, np.nan), bars.opens, config.seasons, clock)
    slots_SD = slots_SD[..., start:]
    # All else reaches back over the longest window at most.
    reach = max(config.volatility, config.short_volatility, config.volume, 24)
    bars, start = bars.since(max(0, start - reach)), min(start, reach)
    traded_T, log_close_T = bars.traded_T, np.log(bars.close_T)
    log_vwap_T = np.log(np.where(traded_T, bars.vwap_T, np.nan))
    volume_T = np.where(traded_T, bars.volume_T, np.nan)
    ret_T = log_close_T - _lag(log_close_T, 1)
    sigma_T = np.sqrt(_trailing_mean(ret_T**2, config.volatility, start))
    sigma_T = np.where(sigma_T > 0, sigma_T, np.nan)
    fast_T = np.sqrt(_trailing_mean(ret_T**2, config.short_volatility, start))
    mean_volume_T = _trailing_mean(volume_T, config.volume, start)
    seasonal_T = np.full(sigma_T.shape, np.nan)
    seasonal_T[..., start:] = _mean_of(slots_SD)
    close_ts = bars.closes.tz_convert(clock.zone)
    day_angle = 2 * np.pi * (close_ts.hour * 60 + close_ts.minute).to_numpy(float) / 1440
    week_angle = 2 * np.pi * (close_ts.day_of_week.to_numpy(float) + day_angle / (2 * np.pi)) / 7
    high_low_T = np.log(bars.high_T / bars.low_T)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "ret": ret_T / sigma_T,
            "vwap_ret": (log_vwap_T - _lag(log_vwap_T, 1)) / sigma_T,
            "close_to_vwap": (log_close_T - log_vwap_T) / sigma_T,
            "range": high_low_T / sigma_T - 1.0,
            "momentum_6": (log_close_T - _lag(log_close_T, 6)) / (sigma_T * np.sqrt(6)),
            "momentum_24": (log_close_T - _lag(log_close_T, 24)) / (sigma_T * np.sqrt(24)),
            "log_volume": np.log(volume_T / mean_volume_T),
            "next_volume": np.log(seasonal_T / mean_volume_T),
            "volatility_ratio": np.log(fast_T / sigma_T),
            "day_sin": np.sin(day_angle),
            "day_cos": np.cos(day_angle),
            "week_sin": np.sin(week_angle),
            "week_cos": np.cos(week_angle),
        }
    spread = (np.broadcast_to(columns[name], traded_T.shape)[..., start:] for name in FEATURES)
    values_DF, sigma_D = np.stack(list(spread), axis=-1), sigma_T[..., start:]
    valid_D = traded_T[..., start:] & np.isfinite(values_DF).all(axis=-1) & np.isfinite(sigma_D)
    values_DF = np.where(valid_D[..., None], np.clip(values_DF, -CLIP, CLIP), 0.0)
    return FeatureArrays(sigma_D, mean_volume_T[..., start:], valid_D, values_DF)


@cache
def feature_rules(several: bool = False) -> pa.DataFrameSchema:
    """The rules of the table.

    Args:
        several: of a table of several assets: a time may stand in several rows.
    """
    return pa.DataFrameSchema(
        {
            "ts": pa.Column("datetime64[us, UTC]", unique=not several),
            "close_ts": pa.Column("datetime64[us, UTC]"),
            "vwap": pa.Column(float, pa.Check.gt(0), nullable=True),
            "close": pa.Column(float, pa.Check.gt(0), nullable=True),
            "volume": pa.Column(float, pa.Check.ge(0), nullable=True),
            "sigma": pa.Column(float, pa.Check.gt(0), nullable=True),
            "mean_volume": pa.Column(float, pa.Check.gt(0), nullable=True),
            "valid": pa.Column(bool),
            **{name: pa.Column(float) for name in FEATURES},
        },
        strict=True,
        checks=[
            # One check for all features: pandera's cost grows with the checks, not with the rows.
            pa.Check(lambda t: (t[list(FEATURES)].abs() <= CLIP).all(axis=1), name=f"every feature within +-{CLIP:g}"),
            pa.Check(
                lambda t: ~t["valid"] | t[["sigma", "vwap", "mean_volume"]].notna().all(axis=1),
                name="a valid bar has a VWAP, a volatility and a mean volume",
            ),
        ],
    )


def check_features(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table if it keeps `feature_rules`.

    Raises:
        BarsError: lists every broken rule with its rows.
    """
    if keeps(feature_rules(), table):
        return table
    try:
        return feature_rules().validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        # For a rule on several columns, pandera lists a row once for each column of the table, with its value.
        several = (cases["schema_context"] != "Column") & cases["index"].notna()
        cases = cases[~(several & cases.duplicated(["schema_context", "check", "index"]))]
        shown = [
            f"  table: {case.check} fails at row {case.index}"
            if several[case.Index]
            else f"  {case.column or 'table'}: {case.check} fails at row {case.index} with {case.failure_case!r}"
            for case in cases.head(20).itertuples()
        ]
        more = [f"  and {len(cases) - 20} more"] if len(cases) > 20 else []
        raise BarsError("\n".join([f"features break {len(cases)} rule(s):", *shown, *more])) from error
