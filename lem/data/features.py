"""The feature table: causal, stationary, and the same bits whether one day is made or a year.

Row t holds what is known when bar t has closed. Every trailing statistic is taken over a fixed number of bars that end
at t and reach back into earlier partitions, so a day's first bars are measured against the days before. A day is always
computed from exactly `FeatureConfig.history` bars of history: a backfill and a single
night give identical bytes.

Shapes: H = bars of history, D = bars of the day, W = a trailing window, T = H + D, S = seasons, F = features,
C = columns of numbers. Bars of several assets on one grid have an axis of assets before that of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


_NUMBERS = [field.name for field in TABLE_SCHEMA if field.type == arrow.float64()]


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
    """Mean over the `window` values that end at each position from `first` on, (..., D).

    NaN in an incomplete window, and in a window with too few valid values. Every window is summed by itself, so that a
    day's bits do not depend on how many other days or assets are made with it.
    """
    out = np.full((*x_T.shape[:-1], x_T.shape[-1] - first), np.nan)
    whole = max(first, window - 1)
    if x_T.shape[-1] <= whole:
        return out
    read_T = x_T[..., whole - window + 1 :]
    known_T = np.isfinite(read_T)
    total_D = sliding_window_view(np.where(known_T, read_T, 0.0), window, axis=-1).sum(axis=-1)
    seen_T = np.cumsum(known_T, axis=-1)
    count_D = seen_T[..., window - 1 :].copy()
    count_D[..., 1:] -= seen_T[..., :-window]
    enough_D = count_D >= MIN_VALID_SHARE * window
    out[..., whole - first :] = np.divide(total_D, count_D, out=np.full(total_D.shape, np.nan), where=enough_D)
    return out


def _lag(x_T: NDArray, bars: int, first: int = 0) -> NDArray:
    """The value `bars` before each position from `first` on, (..., D); NaN where there is none."""
    known = min(max(first, bars), x_T.shape[-1])
    unknown = np.full((*x_T.shape[:-1], known - first), np.nan)
    return np.concatenate([unknown, x_T[..., known - bars : x_T.shape[-1] - bars]], axis=-1)


def _counterparts(tape: Tape, volume_T: NDArray, seasons: int, clock: BarClock, first: int) -> list[NDArray]:
    """Volumes of the bars at the next bar's time of day on earlier days, S x (..., D), for each bar from `first` on.

    All of them have closed when that bar closes.
    """
    if clock.sessions is None:
        # The bar after t has its counterparts at t+1-season, t+1-2*season, ...
        return [_lag(volume_T, clock.season * (s + 1) - 1, first) for s in range(seasons)]
    # Sessions differ in length: the counterpart has the same place in its session.
    place_T, next_T = clock.places(pd.DatetimeIndex(tape.ts_T).tz_localize("UTC"))
    out_ST = np.full((seasons, *volume_T.shape), np.nan)
    for place in np.unique(next_T):
        there, asked = np.flatnonzero(place_T == place), np.flatnonzero(next_T == place)
        known_A = np.searchsorted(there, asked, side="right")
        for s in range(seasons):
            enough = known_A > s
            out_ST[s][..., asked[enough]] = volume_T[..., there[known_A[enough] - s - 1]]
    return list(out_ST[..., first:])


def _angles(close_ts_D: NDArray, zone: str) -> tuple[NDArray, NDArray]:
    """Time of day and of the week at which each bar closes, as angles."""
    local_D = close_ts_D
    if zone != "UTC":
        local_D = pd.DatetimeIndex(close_ts_D).tz_localize("UTC").tz_convert(zone).tz_localize(None).to_numpy()
    minute_D = local_D.astype("datetime64[m]").astype(np.int64)
    weekday_D = (minute_D // 1440 + 3) % 7  # day 0 of the epoch was a Thursday
    day_D = 2 * np.pi * (minute_D % 1440).astype(float) / 1440
    return day_D, 2 * np.pi * (weekday_D.astype(float) + day_D / (2 * np.pi)) / 7


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
    return features_of_days([([Tape.of(history)], Tape.of(day))], config, clock)[0]


def features_of_days(
    days: Iterable[tuple[Sequence[Tape], Tape]], config: FeatureConfig, clock: BarClock
) -> list[pd.DataFrame]:
    """`compute_features` of several days, each from its own history and its own bars, and with the same bits.

    Args:
        days: the partitions before each day in time order, and the day; one or more.
        config: the windows, in bars.
        clock: of the market.

    Raises:
        BarsError: the history and the bars of a day overlap or are out of order.
    """
    tapes, parts = [], []
    for history, day in days:
        start = min(sum(map(len, history)), config.history(clock.bars_per_day))
        bars = Tape.joined([*history, day]).last(start + len(day))
        if not (np.diff(bars.ts_T) > np.timedelta64(0)).all():
            raise BarsError("features: the bars of the history and of the day overlap or are out of time order")
        tapes.append(day)
        parts.append(feature_arrays(bars, start, config, clock))
    whole = feature_table(Tape.joined(tapes), FeatureArrays.joined(parts))
    end, tables = 0, []
    for day in tapes:
        table, end = whole.iloc[end : end + len(day)], end + len(day)
        table.index = pd.RangeIndex(len(day))
        tables.append(table)
    return tables


def feature_table(bars: Tape, computed: FeatureArrays) -> pd.DataFrame:
    """The feature table of some bars.

    Args:
        bars: without an axis of assets; those of several assets stand one after the other.
        computed: of the same bars.
    """
    tape = (bars.vwap_T, bars.close_T, bars.volume_T, computed.sigma_D, computed.mean_volume_D)
    numbers_CD = np.concatenate([np.stack(tape), computed.values_FD])
    table = pd.DataFrame(numbers_CD.T, columns=_NUMBERS, copy=False)
    for place, (name, times) in enumerate((("ts", bars.ts_T), ("close_ts", bars.close_ts_T))):
        table.insert(place, name, pd.DatetimeIndex(times).tz_localize("UTC"))
    table.insert(TABLE_SCHEMA.get_field_index("valid"), "valid", computed.valid_D)
    return table


def feature_arrays(bars: Tape, start: int, config: FeatureConfig, clock: BarClock) -> FeatureArrays:
    """What `compute_features` computes, of the bars from position `start` on.

    Args:
        bars: the `config.history` bars before a day (as far as there are any), and bars of the day.
        start: D = T - `start`.
        config: as in `compute_features`.
        clock: as in `compute_features`.
    """
    volume_T = np.where(bars.traded_T, bars.volume_T, np.nan)
    slots = _counterparts(bars, volume_T, config.seasons, clock, start)
    day = bars.last(len(bars) - start)
    # All else reaches back over the longest window at most.
    reach = min(start, max(config.volatility, config.short_volatility, config.volume, 24))
    bars, start = bars.last(len(day) + reach), reach
    log_close_T = np.log(bars.close_T)
    log_vwap_T = np.log(np.where(bars.traded_T, bars.vwap_T, np.nan))
    volume_T = volume_T[..., -len(bars) :]
    ret_T = log_close_T - _lag(log_close_T, 1)
    sigma_D = np.sqrt(_trailing_mean(ret_T**2, config.volatility, start))
    sigma_D = np.where(sigma_D > 0, sigma_D, np.nan)
    fast_D = np.sqrt(_trailing_mean(ret_T**2, config.short_volatility, start))
    mean_volume_D = _trailing_mean(volume_T, config.volume, start)
    total_D, count_D = np.zeros(sigma_D.shape), np.zeros(sigma_D.shape, int)
    for slot_D in slots:
        known_D = np.isfinite(slot_D)
        total_D, count_D = total_D + np.where(known_D, slot_D, 0.0), count_D + known_D
    enough_D = count_D >= MIN_VALID_SHARE * config.seasons
    seasonal_D = np.divide(total_D, count_D, out=np.full(sigma_D.shape, np.nan), where=enough_D)
    day_angle, week_angle = _angles(day.close_ts_T, clock.zone)
    high_low_D = np.log(day.high_T / day.low_T)
    close_D, vwap_D = log_close_T[..., start:], log_vwap_T[..., start:]
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "ret": ret_T[..., start:] / sigma_D,
            "vwap_ret": (vwap_D - _lag(log_vwap_T, 1, start)) / sigma_D,
            "close_to_vwap": (close_D - vwap_D) / sigma_D,
            "range": high_low_D / sigma_D - 1.0,
            "momentum_6": (close_D - _lag(log_close_T, 6, start)) / (sigma_D * np.sqrt(6)),
            "momentum_24": (close_D - _lag(log_close_T, 24, start)) / (sigma_D * np.sqrt(24)),
            "log_volume": np.log(volume_T[..., start:] / mean_volume_D),
            "next_volume": np.log(seasonal_D / mean_volume_D),
            "volatility_ratio": np.log(fast_D / sigma_D),
            "day_sin": np.sin(day_angle),
            "day_cos": np.cos(day_angle),
            "week_sin": np.sin(week_angle),
            "week_cos": np.cos(week_angle),
        }
    values_FD = np.stack([np.broadcast_to(columns[name], sigma_D.shape) for name in FEATURES])
    valid_D = day.traded_T & np.isfinite(values_FD).all(axis=0) & np.isfinite(sigma_D)
    values_FD = np.where(valid_D, np.clip(values_FD, -CLIP, CLIP), 0.0)
    return FeatureArrays(sigma_D, mean_volume_D, valid_D, values_FD)


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
