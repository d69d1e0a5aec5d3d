"""The market that decisions see: panels of single assets up to the last closed bar, and the models' contexts of it.

An order's context is that of its backtest: the recurrence starts, from nothing, at the warm-up before the date on which
the order arrived. What is advised depends on the order, the bars and the model, not on when a process was started.

Shapes: T = bars, H = context.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lem.advice.clock import Moment, bars_between
from lem.advice.feed import Feed
from lem.data.panel import Panel, panel_table
from lem.drift.measures import model_age
from lem.errors import AdviceError, LemError
from lem.lake import Lake
from lem.model.contender import Contender, load_contender
from lem.model.streaming import MarketStream
from lem.numerics import reproducible
from lem.registry import Registry
from lem.universe import Universe
from lem.universe.calendars import offset_partition
from lem.universe.windows import warmup_days


@dataclass(frozen=True)
class Bar:
    """What settles a bar.

    Args:
        vwap: volume-weighted price in currency; the last close where nothing traded.
        volume: 0 where nothing traded.
    """

    vwap: float
    volume: float


@dataclass(frozen=True)
class Arrival:
    """What an order measures itself by when it arrives.

    Args:
        sigma: per-bar volatility.
        price: last close, in currency.
        mean_volume: trailing mean volume of a bar.
    """

    sigma: float
    price: float
    mean_volume: float


class LiveMarket:
    """Panels and contexts of a universe's assets, carried on from bar to bar.

    Args:
        universe: whose assets they are.
        lake: has the weights.
        registry: has models and champions.
        feed: gives the features.
    """

    def __init__(self, universe: Universe, lake: Lake, registry: Registry, feed: Feed) -> None:
        self._universe, self._lake, self._registry, self._feed = universe, lake, registry, feed
        self._panels: dict[str, Panel] = {}
        self._starts: dict[str, dt.date] = {}
        self._models: dict[str, Contender] = {}
        self._streams: dict[tuple[str, dt.date, str], tuple[MarketStream, np.datetime64, Tensor]] = {}

    def refresh(self, wanted: Mapping[str, dt.date], at: Moment) -> dict[str, str]:
        """Bring assets up to the bar that closed last.

        Args:
            wanted: for each asset the earliest date on which an order of it arrived.
            at: says which bar that is.

        Returns:
            Why there is no advice on an asset, for those that could not be brought up to date.
        """  # noqa: DOC501 (what is raised here is caught here)
        problems = {}
        # Read now what orders that come later in the day will need, too.
        starts = {symbol: self._start(min(first, at.bar.date())) for symbol, first in wanted.items()}
        known = self.known(at)
        self._feed.fetch_ahead([symbol for symbol in starts if symbol not in known], at)
        read = {symbol for symbol, start in starts.items() if start >= self._starts.get(symbol, dt.date.max)}
        wanted_on = {symbol: (starts[symbol], self._panels[symbol].ts_T[-1]) for symbol in read - known}
        later = self._feed.go_on(wanted_on, at)
        for symbol, start in starts.items():
            try:
                panel = self._panels.get(symbol)
                if panel is not None and symbol in later:
                    panel = self._panels[symbol] = panel.then(later[symbol]).between(start, None)
                    self._starts[symbol] = start
                elif panel is None or symbol not in known & read:
                    table = self._feed.features(symbol, start, at)
                    old, panel = panel, Panel.from_table(panel_table({symbol: table}))
                    self._panels[symbol], self._starts[symbol] = panel, start
                    if old is not None and not _goes_on(old, panel):
                        # A day was repaired: contexts that have read it as it was are no longer those of the backtest.
                        for key in [key for key in self._streams if key[2] == symbol]:
                            del self._streams[key]
                if not np.isfinite(panel.close_NT[0, -1]):
                    raise AdviceError(
                        f"{symbol}: the bar of {at.last:%Y-%m-%d %H:%M} UTC lies in a listed outage: no price is "
                        "known; no advice until the venue has bars again"
                    )
            except LemError as error:
                problems[symbol] = str(error)
        return problems

    def champion(self, date: dt.date) -> Contender:
        """The model that orders which arrive on `date` trade by.

        Raises:
            AdviceError: there is none, its training ended too long ago, or it cannot be loaded.
        """
        name = self._universe.name
        record = self._registry.champion_on(name, date)
        if record is None:
            raise AdviceError(
                f"{name}: no champion may trade on {date}; no advice: make one with lem night --universe {name}, or "
                "promote a model by hand (lem models promote --help)"
            )
        age = model_age(self._universe, record.train_end, date)
        if age > self._universe.max_model_age:
            raise AdviceError(
                f"{name}: the champion {record.id} last learnt from the day before {record.train_end} and is {age} "
                f"partitions old on {date}; allowed: {self._universe.max_model_age} (drift.max_age in the universe "
                f"file); no advice: make a new one with lem night --universe {name} --redecide"
            )
        return self.model(record.id)

    def model(self, model_id: str) -> Contender:
        """A registered model, loaded once.

        Raises:
            AdviceError: it was trained on other bars or features, or its weights cannot be read.
        """
        if model_id not in self._models:
            record = self._registry.model(model_id)
            own = {"bar": self._universe.bar, "features": self._universe.features.model_dump(mode="json")}
            trained = {"bar": record.bar, "features": record.feature_settings}
            for key, value in own.items():
                if trained[key] not in (None, value):
                    raise AdviceError(
                        f"{self._universe.name}: model {model_id} was trained with {key} = {trained[key]}, and "
                        f"the universe file has {value}; no advice: train a new one, or put the file back"
                    )
            try:
                self._models[model_id] = load_contender(self._lake, record)
            except LemError as error:
                raise AdviceError(f"{self._universe.name}: no advice without model {model_id}: {error}") from error
        return self._models[model_id]

    def known(self, at: Moment) -> set[str]:
        """Assets whose bars are there up to the one that closed last."""
        last = np.datetime64(at.last.replace(tzinfo=None), "us")
        return {symbol for symbol, panel in self._panels.items() if panel.ts_T[-1] == last}

    def arrival(self, symbol: str) -> Arrival:
        """What an order that begins with the next bar measures itself by.

        Raises:
            AdviceError: the last bar has no features to measure by.
        """
        panel = self._panels[symbol]
        if not panel.valid_NT[0, -1]:
            raise AdviceError(
                f"{symbol}: the bar of {panel.ts_T[-1]} UTC has no features (no trades in it, or too few valid bars "
                "before it); an order cannot begin: no advice on new orders of it"
            )
        numbers = (panel.sigma_NT, panel.close_NT, panel.mean_volume_NT)
        return Arrival(*(float(x_NT[0, -1]) for x_NT in numbers))

    def last_close(self, symbol: str) -> float:
        """Close of the last closed bar, in currency."""
        return float(self._panels[symbol].close_NT[0, -1])

    def bars_since(self, symbol: str, first: dt.datetime) -> dict[dt.datetime, Bar]:
        """The closed bars from the one that opened at `first` on, by their open."""
        panel = self._panels[symbol]
        low = int(np.searchsorted(panel.ts_T, np.datetime64(first.replace(tzinfo=None), "us")))
        bars = {}
        for t in range(low, panel.bars):
            volume, vwap = float(panel.volume_NT[0, t]), float(panel.vwap_NT[0, t])
            traded = np.isfinite(vwap) and volume > 0
            # A fill in a bar without trades is booked at the last price that was known.
            known = panel.close_NT[0, : t + 1]
            price = vwap if traded else float(known[np.isfinite(known)][-1])
            opened = panel.ts_T[t].astype("datetime64[us]").item().replace(tzinfo=dt.UTC)
            bars[opened] = Bar(price, volume if traded else 0.0)
        return bars

    def bars_between(self, first: dt.datetime, last: dt.datetime) -> int:
        """How many bars are expected to open after `first`, up to and with `last` (UTC)."""
        return bars_between(self._universe, first, last)

    def context(self, model_id: str, date: dt.date, symbol: str) -> Tensor:
        """Context (H,) of the last closed bar, for orders of `symbol` that arrived on `date`."""
        key, panel = (model_id, date, symbol), self._panels[symbol]
        stream, last, context_H = self._streams.get(key, (None, None, None))
        if stream is not None and last == panel.ts_T[-1]:
            assert context_H is not None
            return context_H
        first = int(np.searchsorted(panel.date_T, np.datetime64(self._start(date))))
        after = first if last is None else int(np.searchsorted(panel.ts_T, last, side="right"))
        if stream is None or after <= first:
            stream, after = MarketStream(self.model(model_id).model, 1), first
        features_1TF = torch.from_numpy(panel.features_NTF[:, after:])
        valid_1T = torch.from_numpy(panel.valid_NT[:, after:])
        with reproducible():
            context_H = stream.warm(features_1TF, valid_1T)[0, -1]
        self._streams[key] = stream, panel.ts_T[-1], context_H
        return context_H

    def forget(self, before: dt.date) -> None:
        """Let go of the contexts of orders that arrived before a date: none of them is open any more."""
        for key in [key for key in self._streams if key[1] < before]:
            del self._streams[key]

    def _start(self, date: dt.date) -> dt.date:
        return max(offset_partition(self._universe, date, -warmup_days(self._universe)), self._universe.start)


def _goes_on(old: Panel, new: Panel) -> bool:
    """Whether the bars that both panels have have the same features."""
    _, old_T, new_T = np.intersect1d(old.ts_T, new.ts_T, return_indices=True)
    pairs = ((old.features_NTF, new.features_NTF), (old.valid_NT, new.valid_NT))
    return all(np.array_equal(was[:, old_T], now[:, new_T], equal_nan=True) for was, now in pairs)
