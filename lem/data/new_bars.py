"""Bars of several assets that have just closed, validated together: pandas' and pandera's costs are those of one table.

Only what keeps every rule for certain is taken. All else is left to `lem.data.bars.validate_bars`, which judges the
whole day and says what is wrong: the verdict is always its own, and a test compares both.

Shapes: A = assets, K = bars of the source's length that are new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lem.data.aggregate import aggregate
from lem.data.bars import bars_of, bars_rules, rules_of_rows
from lem.data.quick_rules import keeps
from lem.late import pd
from lem.universe import Universe


@dataclass(frozen=True)
class NewBars:
    """Validated bars of several assets.

    Args:
        symbols: A assets.
        raw: their raw rows, K an asset, in the order of the symbols.
        table: the same as the `bars` table, in bars of the universe's length.
        quoted_A: bool; the asset's rows have quote volume.
    """

    symbols: tuple[str, ...]
    raw: pd.DataFrame
    table: pd.DataFrame
    quoted_A: NDArray[np.bool_]


def new_bars(
    rows: Mapping[str, pd.DataFrame], quoted: Mapping[str, bool | None], opens: pd.DatetimeIndex, universe: Universe
) -> NewBars | None:
    """The bars of those assets whose new rows surely keep the rules; None where there is no such asset.

    Args:
        rows: raw rows by asset (`lem.sources.RAW_SCHEMA`).
        quoted: by asset, whether the rows of the same day before them have quote volume; None where there are none.
        opens: of the K bars that each asset must have, of the source's length, in one day and not in an outage.
        universe: gives the bar lengths and the source's precision.
    """
    rules, rows = rules_of_rows(universe), {symbol: table for symbol, table in rows.items() if len(table) == len(opens)}
    raw = _together(rows)
    if not keeps(rules, raw):
        rows = {symbol: table for symbol, table in rows.items() if keeps(rules, table)}
        raw = _together(rows)
    if not rows:
        return None
    shape = len(rows), len(opens)
    quoted_AK = raw["quote_volume"].notna().to_numpy().reshape(shape)
    alike_A = np.array([quoted[symbol] in (None, own_K[0]) for symbol, own_K in zip(rows, quoted_AK, strict=True)])
    alike_A &= (quoted_AK == quoted_AK[:, :1]).all(axis=1)
    in_place_AK = pd.DatetimeIndex(raw["ts"]).asi8.reshape(shape) == opens.as_unit("us").asi8
    good_A = alike_A & in_place_AK.all(axis=1)
    if not good_A.any():
        return None
    raw = raw[np.repeat(good_A, len(opens))].reset_index(drop=True)
    source = universe.model_copy(update={"bar": universe.source_bar})
    estimated = raw["quote_volume"].isna().to_numpy()
    table = bars_of(raw, source, estimated, np.zeros(len(raw), dtype=bool))
    if not keeps(bars_rules(several=True), table):
        return None
    if universe.bar != universe.source_bar:
        table = aggregate(table, universe.bar_length // universe.source_bar_length)
        if not keeps(bars_rules(several=True), table):
            return None
    symbols = tuple(symbol for symbol, good in zip(rows, good_A, strict=True) if good)
    return NewBars(symbols, raw, table, quoted_AK[good_A, 0])


def _together(rows: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(list(rows.values()), ignore_index=True) if rows else pd.DataFrame()
