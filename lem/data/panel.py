"""The panel: all assets' features of a range of dates as arrays on one time grid, and the orders cut from it.

Shapes: N = assets, T = bars, F = features, K = horizon.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as arrow
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lem.data.features import FEATURES, TABLE_SCHEMA, season_slots
from lem.errors import BarsError
from lem.late import pd

PANEL_SCHEMA = arrow.schema([("asset", arrow.string()), *TABLE_SCHEMA])


def panel_table(features: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One date's panel: the feature tables of all assets in one, sorted by symbol and time."""
    parts = [table.assign(asset=symbol) for symbol, table in sorted(features.items())]
    return pd.concat(parts, ignore_index=True)[PANEL_SCHEMA.names]


_BY_ASSET = (
    "present_NT",
    "features_NTF",
    "valid_NT",
    "vwap_NT",
    "close_NT",
    "volume_NT",
    "sigma_NT",
    "mean_volume_NT",
)


@dataclass(frozen=True)
class Panel:
    """Features and tape of all assets on the union of their bars; a bar that an asset lacks is NaN and not valid.

    Args:
        assets: canonical symbols, sorted.
        ts_T: bar opens (UTC, datetime64[us]).
        date_T: partition date of each bar (its UTC open date, datetime64[D]).
        slot_T: int64; place of each bar on the clock (`lem.data.features.season_slots`).
        present_NT: bool; the asset has a row for the bar, traded or not.
        features_NTF: float32; 0 if the bar is not valid.
        valid_NT: bool; the bar has features.
        vwap_NT: float64, currency.
        close_NT: float64, currency.
        volume_NT: float64, units of the asset.
        sigma_NT: float64; per-bar volatility, log units, known at the bar's close.
        mean_volume_NT: float64; trailing mean volume at the bar's close.
    """

    assets: tuple[str, ...]
    ts_T: NDArray
    date_T: NDArray
    slot_T: NDArray
    present_NT: NDArray
    features_NTF: NDArray
    valid_NT: NDArray
    vwap_NT: NDArray
    close_NT: NDArray
    volume_NT: NDArray
    sigma_NT: NDArray
    mean_volume_NT: NDArray

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> Panel:
        """Build from concatenated panel tables.

        Raises:
            BarsError: there are no rows, an asset has two rows for one bar, or a column is missing.
        """
        if table.empty:
            raise BarsError("panel: no bars in this range of dates")
        if lacking := [name for name in PANEL_SCHEMA.names if name not in table.columns]:
            raise BarsError(
                f"panel: no column {', '.join(lacking)}: these partitions were made by an earlier version; the "
                "status of their universe says what makes them again (lem status --help)"
            )
        if table.duplicated(["asset", "ts"]).any():
            twice = table[table.duplicated(["asset", "ts"])].iloc[0]
            raise BarsError(f"panel: {twice['asset']} has two rows for the bar {twice['ts']}")
        assets = sorted(table["asset"].unique())
        stamps = pd.DatetimeIndex(np.sort(table["ts"].unique()))
        row = np.searchsorted(np.array(assets), table["asset"].to_numpy(str))
        column = stamps.get_indexer(pd.DatetimeIndex(table["ts"]))

        def spread(values: NDArray, fill: float | bool, shape: tuple[int, ...] = ()) -> NDArray:
            out = np.full((len(assets), len(stamps), *shape), fill, dtype=values.dtype)
            out[row, column] = values
            return out

        valid, volume = table["valid"].to_numpy(bool), table["volume"].to_numpy(float)
        naive = stamps.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]")
        return cls(
            assets=tuple(assets),
            ts_T=naive,
            date_T=naive.astype("datetime64[D]"),
            slot_T=season_slots(naive, _bars_per_day(naive)),
            present_NT=spread(np.ones(len(table), dtype=bool), False),
            features_NTF=spread(table[list(FEATURES)].to_numpy(np.float32), 0.0, (len(FEATURES),)),
            valid_NT=spread(valid, False),
            vwap_NT=spread(table["vwap"].to_numpy(float), np.nan),
            close_NT=spread(table["close"].to_numpy(float), np.nan),
            volume_NT=spread(volume, np.nan),
            sigma_NT=spread(table["sigma"].to_numpy(float), np.nan),
            mean_volume_NT=spread(table["mean_volume"].to_numpy(float), np.nan),
        )

    @property
    def bars(self) -> int:
        """T, the number of bars."""
        return len(self.ts_T)

    @property
    def bars_per_day(self) -> int:
        """Bars of 24 hours, from the median distance between bars; 1 for daily bars."""
        return _bars_per_day(self.ts_T)

    def between(self, start: dt.date | None, end: dt.date | None) -> Panel:
        """The bars of the partition dates [start, end)."""
        low = 0 if start is None else int(np.searchsorted(self.date_T, np.datetime64(start)))
        high = self.bars if end is None else int(np.searchsorted(self.date_T, np.datetime64(end)))
        return self.cut(low, high)

    def cut(self, low: int, high: int) -> Panel:
        """The bars with positions [low, high)."""
        rows = slice(low, high)
        by_asset = (getattr(self, name)[:, rows] for name in _BY_ASSET)
        return Panel(self.assets, self.ts_T[rows], self.date_T[rows], self.slot_T[rows], *by_asset)

    def then(self, later: Panel) -> Panel:
        """The bars of this panel and, behind them, those of another one of the same assets.

        Raises:
            BarsError: other assets, or bars that are not later.
        """
        if later.assets != self.assets or not later.bars or later.ts_T[0] <= self.ts_T[-1]:
            raise BarsError(
                f"panel: bars of {', '.join(later.assets)} from {later.ts_T[:1]} on behind those of "
                f"{', '.join(self.assets)} up to {self.ts_T[-1:]}; allowed: later bars of the same assets"
            )
        ts_T = np.concatenate([self.ts_T, later.ts_T])
        by_asset = (np.concatenate([getattr(self, name), getattr(later, name)], axis=1) for name in _BY_ASSET)
        return Panel(
            self.assets, ts_T, ts_T.astype("datetime64[D]"), season_slots(ts_T, _bars_per_day(ts_T)), *by_asset
        )

    def of(self, symbols: Sequence[str]) -> Panel:
        """The panel of some of its assets, in the panel's order.

        Raises:
            BarsError: the panel lacks one of them.
        """
        lacking = sorted(set(symbols) - set(self.assets))
        if lacking:
            raise BarsError(f"panel: no {', '.join(lacking)}; allowed: {', '.join(self.assets)}")
        rows = [row for row, symbol in enumerate(self.assets) if symbol in symbols]
        by_asset = (getattr(self, name)[rows] for name in _BY_ASSET)
        return Panel(tuple(self.assets[row] for row in rows), self.ts_T, self.date_T, self.slot_T, *by_asset)

    def accepted(self, horizon: int) -> NDArray:
        """Bool (N, T): an order of `horizon` bars may arrive at bar t.

        All of its bars traded, and at every decision the last closed bar has features: no order runs over a gap.
        """
        traded_NT = np.isfinite(self.vwap_NT) & (self.volume_NT > 0)
        out = np.zeros_like(self.valid_NT)
        if self.bars > horizon:
            fills = sliding_window_view(traded_NT[:, 1:], horizon, axis=1).all(-1)
            known = sliding_window_view(self.valid_NT[:, :-1], horizon, axis=1).all(-1)
            out[:, 1 : 1 + fills.shape[1]] = fills & known
        return out


def _bars_per_day(ts_T: NDArray) -> int:
    if len(ts_T) < 2:
        return 1
    distance = np.median(np.diff(ts_T) / np.timedelta64(1, "D"))
    return max(1, round(1 / float(distance)))


@dataclass(frozen=True)
class OrderTape:
    """The bars of orders that arrive at given places: float64, prices relative to the arrival price.

    Args:
        price_AK: VWAP of bar k.
        volume_AK: volume of bar k, relative to the trailing mean at arrival.
        last_close_AK: close of bar k-1 (1 at k = 0).
        sigma_A: per-bar volatility known at arrival.
        arrival_price_A: close before bar 0, currency.
    """

    price_AK: NDArray
    volume_AK: NDArray
    last_close_AK: NDArray
    sigma_A: NDArray
    arrival_price_A: NDArray


def order_tape(panel: Panel, asset_A: NDArray, bar_A: NDArray, horizon: int) -> OrderTape:
    """Cut the bars of orders from the panel.

    An order that `Panel.accepted` refuses gives positive numbers without meaning (1 for a missing bar); the caller
    masks them. An order that begins or ends beyond the panel is refused too.

    Args:
        panel: the bars.
        asset_A: row of each order's asset.
        bar_A: position of each order's bar 0.
        horizon: K, bars of an order.
    """
    rows_A1, before_A = asset_A[:, None], np.maximum(bar_A - 1, 0)
    at_AK = (bar_A[:, None] + np.arange(horizon)).clip(1, panel.bars - 1)
    arrival_A = panel.close_NT[asset_A, before_A]
    mean_A = panel.mean_volume_NT[asset_A, before_A]

    def relative(values: NDArray, scale_A: NDArray) -> NDArray:
        out = values / scale_A[:, None]
        return np.where(np.isfinite(out) & (out > 0), out, 1.0)

    sigma_A = panel.sigma_NT[asset_A, before_A]
    return OrderTape(
        price_AK=relative(panel.vwap_NT[rows_A1, at_AK], arrival_A),
        volume_AK=relative(panel.volume_NT[rows_A1, at_AK], mean_A),
        last_close_AK=relative(panel.close_NT[rows_A1, at_AK - 1], arrival_A),
        sigma_A=np.where(np.isfinite(sigma_A) & (sigma_A > 0), sigma_A, 1.0),
        arrival_price_A=arrival_A,
    )
