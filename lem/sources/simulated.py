"""A simulated market that never changes: every (asset, date) can be made by itself.

Random numbers are counter-based (Philox), keyed by seed, asset, purpose and date: no draw depends on what was
asked before. Daily returns and volatilities are one vector per asset from a fixed epoch, so that the level on
any date is a cumulative sum. Inside the day, the path is a Brownian bridge to the day's return.

Shapes: D = days since the epoch, B = bars of the day, S = steps of a bar, P = B * S steps of the day.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lem.errors import SourceError
from lem.sources.base import RAW_DTYPES, RawBars, check_window
from lem.universe import Universe
from lem.universe.calendars import expected_bars, outage_mask, partition_window
from lem.universe.source_config import SimulatedConfig

EPOCH, LAST = dt.date(2010, 1, 1), dt.date(2099, 12, 31)
_ANCHOR = dt.date(2024, 1, 1)
"""Date on which the price has the level drawn for its asset. Set at the epoch, it would be near zero by now."""
_DAYS = (LAST - EPOCH).days + 1

_VOLATILITY_MEMORY = 0.97
"""AR(1) coefficient of the daily log-volatility: a shock halves in 23 days."""
_VOLATILITY_SPREAD = 0.35
"""Stationary standard deviation of the daily log-volatility."""
_WEEK = (1.05, 1.1, 1.1, 1.1, 1.05, 0.8, 0.8)
"""Volume by weekday, Monday first."""
_BAR_NOISE, _STEP_NOISE = 0.4, 0.6
"""Standard deviations of the log-volume's noise, per bar and per step inside it."""


@dataclass(frozen=True)
class _Daily:
    """An asset's days.

    Args:
        sigma_D: volatility of each day.
        common_D: normal draws of the common factor.
        own_D: normal draws of the asset alone.
        level_D: log price at the start of each day; one more than there are days.
        volume: mean volume of a day.
    """

    sigma_D: NDArray[np.float64]
    common_D: NDArray[np.float64]
    own_D: NDArray[np.float64]
    level_D: NDArray[np.float64]
    volume: float


def _humps(day_P: NDArray[np.float64]) -> NDArray[np.float64]:
    """Activity by time of day (0 to 1), with mean 1 over the steps: two smooth humps on a low floor."""
    first, second = np.exp(-0.5 * ((day_P - 0.35) / 0.08) ** 2), np.exp(-0.5 * ((day_P - 0.62) / 0.1) ** 2)
    shape_P = 1 + 0.8 * first + 1.4 * second
    return shape_P / shape_P.mean()


def _bridge(rng: np.random.Generator, weight_P: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    """Normal increments of variance `weight_P` (sum 1), conditioned on their sum."""
    free_P = rng.standard_normal(len(weight_P)) * np.sqrt(weight_P)
    return free_P + weight_P * (total - free_P.sum())


class Simulated:
    """The source of `kind = "simulated"`. A listed outage has no bars, while the price moves on."""

    def __init__(self, universe: Universe) -> None:
        if not isinstance(universe.source, SimulatedConfig):
            raise SourceError(f"{universe.name}: source.kind is {universe.source.kind!r}, not 'simulated'")
        self._universe, self._config = universe, universe.source
        self._plain = universe.source.mode == "brownian"
        self._correlation = 0.0 if self._plain else universe.source.correlation
        self._cache: dict[str, _Daily] = {}
        self._last: dict[str, tuple[dt.date, pd.DataFrame]] = {}

    def fetch(self, symbol: str, start: dt.datetime, end: dt.datetime) -> RawBars:
        """Bars that open in [start, end), UTC. See `lem.sources.base.Source`.

        Raises:
            SourceError: the window is not UTC, empty, or outside of EPOCH to LAST.
            UniverseError: unknown symbol.
        """
        self._universe.check_symbol(symbol)
        check_window(start, end)
        first, last = start.date(), (end - dt.timedelta(microseconds=1)).date()
        if first < EPOCH or last > LAST:
            raise SourceError(f"simulated market: no bars from {first} to {last}; allowed: {EPOCH} to {LAST}")
        dates = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
        days = [self._day(symbol, date) for date in dates]
        table = days[0] if len(days) == 1 else pd.concat(days, ignore_index=True)
        if (start, end) != (partition_window(first)[0], partition_window(last)[1]):
            opens = pd.DatetimeIndex(table["ts"])
            low, high = (int(opens.searchsorted(pd.Timestamp(time))) for time in (start, end))
            table = table.iloc[low:high].reset_index(drop=True)
        return RawBars(table, f"simulated:{self._config.seed}", dt.datetime.now(dt.UTC))

    def forget(self, symbol: str) -> None:
        """Do nothing: the market never changes."""
        self._universe.check_symbol(symbol)

    def _rng(self, purpose: str, name: str = "", date: dt.date | None = None) -> np.random.Generator:
        digest = hashlib.sha256(f"{self._config.seed}/{purpose}/{name}/{date or ''}".encode()).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))

    def _mix(self, common: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._correlation * common + np.sqrt(1 - self._correlation**2) * own

    def _daily(self, symbol: str) -> _Daily:
        if symbol in self._cache:
            return self._cache[symbol]
        common_D, own_D = (self._rng("days", name).standard_normal(_DAYS) for name in ("", symbol))
        sigma_D = np.full(_DAYS, self._config.daily_volatility)
        if not self._plain:
            shocks = [self._rng("volatility", name).standard_normal(_DAYS) for name in ("", symbol)]
            shock_D = self._mix(*shocks) * _VOLATILITY_SPREAD
            shock_D[1:] *= np.sqrt(1 - _VOLATILITY_MEMORY**2)
            log_D = np.fromiter(accumulate(shock_D, lambda h, e: _VOLATILITY_MEMORY * h + e), float, _DAYS)
            # E[exp(2 log)] = exp(2 spread^2): this keeps the mean variance at the configured one.
            sigma_D *= np.exp(log_D - _VOLATILITY_SPREAD**2)
        exponents = self._rng("level", symbol).random(2)
        price, turnover = 10 ** (1 + 2.5 * exponents[0]), 10 ** (6 + 2 * exponents[1])
        returns_D = sigma_D * self._mix(common_D, own_D) - sigma_D**2 / 2
        level_D = np.concatenate([[0.0], np.cumsum(returns_D)])
        level_D += np.log(price) - level_D[(_ANCHOR - EPOCH).days]
        self._cache[symbol] = _Daily(sigma_D, common_D, own_D, level_D, turnover / price)
        return self._cache[symbol]

    def _day(self, symbol: str, date: dt.date) -> pd.DataFrame:
        """A day's bars. Each asset's last one is kept: who follows the market asks for it bar by bar."""
        kept, table = self._last.get(symbol, (None, None))
        if table is None or kept != date:
            table = self._made(symbol, date)
            self._last[symbol] = date, table
        return table.copy(deep=False)

    def _made(self, symbol: str, date: dt.date) -> pd.DataFrame:
        grid = expected_bars(self._universe, symbol, date)
        days, day = self._daily(symbol), (date - EPOCH).days
        bars, steps = len(grid), self._config.steps_per_bar
        if not bars:
            return pd.DataFrame({name: [] for name in RAW_DTYPES}).astype(RAW_DTYPES)
        count, sigma = bars * steps, float(days.sigma_D[day])
        activity_P = np.ones(count) if self._plain else _humps((np.arange(count) + 0.5) / count)
        weight_P = activity_P / count
        common_P = _bridge(self._rng("path", "", date), weight_P, days.common_D[day])
        own_P = _bridge(self._rng("path", symbol, date), weight_P, days.own_D[day])
        # The drift makes the price a martingale, not its logarithm: waiting earns nothing.
        increments_P = sigma * self._mix(common_P, own_P) - sigma**2 / 2 * weight_P
        log_path = days.level_D[day] + np.concatenate([[0.0], np.cumsum(increments_P)])
        log_path[-1] = days.level_D[day + 1]
        path = np.exp(log_path)
        volume_BS = (days.volume / count * activity_P).reshape(bars, steps)
        if not self._plain:
            rng = self._rng("volume", symbol, date)
            bar_B1, step_BS = rng.standard_normal((bars, 1)), rng.standard_normal((bars, steps))
            log_BS = _BAR_NOISE * bar_B1 + _STEP_NOISE * step_BS - (_BAR_NOISE**2 + _STEP_NOISE**2) / 2
            level = _WEEK[date.weekday()] * sigma / self._config.daily_volatility
            volume_BS = level * volume_BS * np.exp(log_BS)
        price_BS = ((path[:-1] + path[1:]) / 2).reshape(bars, steps)
        starts_BS, close_B = path[:-1].reshape(bars, steps), path[steps::steps]
        table = pd.DataFrame(
            {
                "ts": grid,
                "open": starts_BS[:, 0].copy(),
                "high": np.maximum(starts_BS.max(axis=1), close_B),
                "low": np.minimum(starts_BS.min(axis=1), close_B),
                "close": close_B.copy(),
                "volume": volume_BS.sum(axis=1),
                "quote_volume": (volume_BS * price_BS).sum(axis=1),
                "adjustment": np.ones(bars),
                "source": pd.array([f"simulated:{self._config.seed}"] * bars, dtype="str"),
                "source_row": day * bars + np.arange(bars) + 1,
            },
            copy=False,
        )
        out = outage_mask(self._universe, symbol, grid)
        return table[~out].reset_index(drop=True) if out.any() else table


def opened(universe: Universe, data_root: str, credentials: Mapping[str, str]) -> Simulated:
    """The source of a universe, as `lem.sources.open_source` asks for it."""
    return Simulated(universe)
