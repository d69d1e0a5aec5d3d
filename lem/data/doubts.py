"""Numbers that are hardly possible together: nothing is blocked for them, people are told which bar it is.

None of it is certain. A venue may round a small volume to 0, a market may fall by half and come back, a share may be
split. So these are warnings, and the rules of `lem.data.bar_rules` are what blocks a day.

Shapes: T = rows in time order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lem.late import pd
from lem.sources.base import PRICES

WINDOW = 60
"""Returns before a bar from which its usual size is told."""
MIN_RETURNS = 20
MANY_SIGMA = 12.0
SPIKE = np.log(1.05)
"""The least move that counts as one that returns."""
STEP = np.log(1.4)
"""The least move that counts if it does not return."""
STEP_UNKNOWN = np.log(2.5)
"""The same where too few returns are known."""
WICK = np.log(1.5)
WICK_SIGMA = 30.0
SPLIT = np.log(1.3)
"""The least step of the adjustment that counts as a split: dividends are smaller."""
SOON = 3
"""Rows in which a small level returns, where it is one at all: later, markets go up and down."""
LONGEST = 2000
"""Rows in which a large one returns."""
VOLUMES = 10
"""Rows on each side from which the size of volume is told."""


@dataclass(frozen=True)
class Doubt:
    """Why a bar is doubted.

    Args:
        ts: its open, UTC.
        kind: the same for all doubts of one kind.
        text: about this bar.
        known: open of the bar at which it came out, UTC; if left out, it is this one.
    """

    ts: pd.Timestamp
    kind: str
    text: str
    known: pd.Timestamp | None = None


def doubts(rows: pd.DataFrame) -> list[Doubt]:
    """The bars that are doubted, in time order.

    Args:
        rows: raw bars (`RAW_SCHEMA`) of one asset in time order, one for each bar, with finite prices above 0. The
            first rows are only compared with.
    """
    if rows.empty:
        return []
    volume_T, close_T = rows["volume"].to_numpy(float), rows["close"].to_numpy(float)
    move_T = np.append(0.0, np.diff(np.log(close_T)))
    usual_T = _usual(move_T)
    found = [
        *_without_volume(rows, volume_T, move_T),
        *_levels(rows, move_T, usual_T, volume_T),
        *_wicks(rows, usual_T),
        *_splits(rows, volume_T),
    ]
    return sorted(found, key=lambda doubt: doubt.ts)


def told(found: Iterable[Doubt], shown: int = 5) -> list[str]:
    """A line for each doubt, at most `shown` of a kind, and how many more there are of it."""
    lines = list[str]()
    by_kind = dict[str, list[Doubt]]()
    for doubt in found:
        by_kind.setdefault(doubt.kind, []).append(doubt)
    for kind, some in by_kind.items():
        lines += [f"bar of {doubt.ts:%Y-%m-%d %H:%M} UTC: {doubt.text}" for doubt in some[:shown]]
        lines += [f"and {len(some) - shown} more of: {kind}"] if len(some) > shown else []
    return lines


def _usual(move_T: NDArray[np.float64]) -> NDArray[np.float64]:
    """The usual size of a move before each row, as a standard deviation; NaN where too few are known."""
    size = pd.Series(np.abs(move_T))
    size.iloc[:1] = np.nan
    before = size.shift(1).rolling(WINDOW, min_periods=MIN_RETURNS)
    return 1.4826 * before.median().to_numpy()


def _without_volume(rows: pd.DataFrame, volume_T: NDArray, move_T: NDArray) -> Iterator[Doubt]:
    moved_T = (rows["high"] > rows["low"]).to_numpy() | (move_T != 0)
    for row in rows[(volume_T == 0) & moved_T].to_dict("records"):
        text = f"volume is 0 although the price moved (low {row['low']:.6g}, high {row['high']:.6g})"
        yield Doubt(row["ts"], "volume is 0 although the price moved", text)


def _levels(rows: pd.DataFrame, move_T: NDArray, usual_T: NDArray, volume_T: NDArray) -> Iterator[Doubt]:
    """Levels that jump and return, and those that jump and stay."""
    many_T = np.where(np.isfinite(usual_T), MANY_SIGMA * usual_T, np.inf)
    spike_T = np.abs(move_T) > np.maximum(SPIKE, np.where(np.isfinite(usual_T), many_T, STEP_UNKNOWN))
    step_T = np.abs(move_T) > np.where(np.isfinite(usual_T), np.maximum(STEP, many_T), STEP_UNKNOWN)
    log_close_T, times = np.log(rows["close"].to_numpy(float)), rows["ts"].array
    until = 0
    for t in np.flatnonzero(spike_T | step_T).tolist():
        if t < until:
            continue
        sigmas = f", {abs(move_T[t]) / usual_T[t]:.0f} times its usual size" if usual_T[t] > 0 else ""
        what = f"the close jumps by a factor of {np.exp(move_T[t]):.4g}{sigmas}"
        back = _return(log_close_T, move_T, t)
        if back is not None:
            until = back + 1
            text = f"{what}, and returns at {times[back]:%Y-%m-%d %H:%M}"
            yield Doubt(times[t], "the level jumps and returns", text, known=times[back])
        elif step_T[t]:
            kind, why = _step(move_T[t], volume_T, t)
            yield Doubt(times[t], kind, f"{what}{why}")


def _return(log_close_T: NDArray, move_T: NDArray, t: int) -> int | None:
    """The row at which the level is back at that before `t`, in one move; None if it is not."""
    within = LONGEST if abs(move_T[t]) > STEP else SOON + 1
    away_T = np.abs(log_close_T[t : t + within] - log_close_T[t - 1])
    home = np.flatnonzero(away_T < 0.5 * abs(move_T[t]))
    if not len(home):
        return None
    back = t + int(home[0])
    returned = abs(move_T[back]) > 0.6 * abs(move_T[t]) and away_T[home[0]] < 0.3 * abs(move_T[t])
    return back if returned else None


def _step(move: float, volume_T: NDArray, t: int) -> tuple[str, str]:
    """Kind of a level that stays where it jumped to, and what it may be."""
    factor = np.exp(abs(move))
    hundreds = np.log10(factor)
    if factor > 5 and abs(hundreds - round(hundreds)) < 0.1:
        return "the level jumps by a power of ten", " and stays there so far: another unit (pence for pounds)?"
    ratio = _volumes(volume_T, t)
    text = " and stays there so far: a split that is not adjusted for"
    if ratio and abs(np.log(ratio) + move) < abs(np.log(ratio)):
        return "a split that is not adjusted for", f"{text} (volume changes by a factor of {ratio:.3g})?"
    shown = f" (by a factor of {ratio:.3g})" if ratio else ""
    return "a split that prices show and volume does not", f"{text}, or one that volume does not show{shown}?"


def _volumes(volume_T: NDArray, t: int) -> float | None:
    """Median volume of the rows from `t` on, divided by that of the rows before; None if it cannot be told."""
    before, after = volume_T[max(0, t - VOLUMES) : t], volume_T[t : t + VOLUMES]
    if not len(before) or not (np.median(before) > 0 and np.median(after) > 0):
        return None
    return float(np.median(after) / np.median(before))


def _wicks(rows: pd.DataFrame, usual_T: NDArray) -> Iterator[Doubt]:
    open_T, high_T, low_T, close_T = (rows[name].to_numpy(float) for name in PRICES)
    beyond_T = np.maximum(np.log(high_T / np.maximum(open_T, close_T)), np.log(np.minimum(open_T, close_T) / low_T))
    beyond_T = np.maximum(beyond_T, np.where(np.abs(np.log(close_T / open_T)) > STEP_UNKNOWN, np.inf, 0))
    limit_T = np.where(np.isfinite(usual_T), np.maximum(WICK, WICK_SIGMA * usual_T), STEP_UNKNOWN)
    for t in np.flatnonzero(beyond_T > limit_T).tolist():
        text = (
            f"low {low_T[t]:.6g} and high {high_T[t]:.6g} lie far from open {open_T[t]:.6g} and close {close_T[t]:.6g}"
        )
        yield Doubt(rows["ts"].array[t], "prices inside a bar lie far apart", text)


def _splits(rows: pd.DataFrame, volume_T: NDArray) -> Iterator[Doubt]:
    """Splits that the adjustment shows and the source's own volume does not."""
    factor_T = rows["adjustment"].to_numpy(float)
    step_T = np.append(0.0, np.diff(np.log(factor_T)))
    for t in np.flatnonzero(np.abs(step_T) > SPLIT).tolist():
        ratio = _volumes(volume_T * factor_T, t)
        if ratio and abs(np.log(ratio)) < abs(np.log(ratio) - step_T[t]):
            text = (
                f"the adjusted close shows a split of {np.exp(step_T[t]):.4g}, and volume does not (it changes by a "
                f"factor of {ratio:.3g}): if volume is on today's scale already, dividing it again is wrong"
            )
            yield Doubt(rows["ts"].array[t], "a split that prices show and volume does not", text)
