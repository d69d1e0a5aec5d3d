"""Streaming inference: the market context of many markets, carried on bar by bar.

A bar costs the same, however long the history is: a market keeps only the state of its recurrence, and the keys and
values of the last `lookback - 1` bars. The contexts equal those of one pass over the whole sequence (`LEM.encode`).

Shapes: N = markets, T = bars, F = features, H = context.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lem.data.features import FEATURES
from lem.errors import BarsError, LakeError
from lem.model.attention import AttentionState
from lem.model.context import ContextState, LSTMState
from lem.model.lem import LEM
from lem.model.tkan import TKANState


class MarketStream:
    """The carried state of N markets, advanced together by one bar a call.

    Args:
        model: is put into evaluation mode.
        markets: N; each starts without history, as every sequence in training does.
    """

    def __init__(self, model: LEM, markets: int) -> None:
        self.model, self.markets = model.eval(), markets
        none_NTF = next(model.parameters()).new_zeros(markets, 1, len(FEATURES))
        with torch.no_grad():
            _, after = model.context(none_NTF, none_NTF[..., 0] > 0)
        # Before the first bar every part of the state is zero, and nothing is valid.
        self._state = rebuilt(after, {name: torch.zeros_like(tensor) for name, tensor in named(after)})

    @torch.no_grad()
    def advance(self, features_NF: Tensor, valid_N: Tensor) -> Tensor:
        """Context of the bar that has just closed, (N, H).

        Args:
            features_NF: its features (`lem.data.features`); 0 if the bar is not valid.
            valid_N: bool; the bar has features.

        Raises:
            BarsError: wrong shape, or a feature is not finite; the state stays as it was.
        """
        return self.warm(features_NF.unsqueeze(1), valid_N.unsqueeze(1))[:, 0]

    @torch.no_grad()
    def warm(self, features_NTF: Tensor, valid_NT: Tensor) -> Tensor:
        """Contexts of T bars in one call, (N, T, H): the same as T calls of `advance`, and faster.

        Raises:
            BarsError: as for `advance`.
        """
        self._check(features_NTF, valid_NT)
        features_NTF = features_NTF.to(next(self.model.parameters()))
        context_NTH, self._state = self.model.context(features_NTF, valid_NT, self._state)
        return context_NTH

    def state(self) -> dict[str, Tensor]:
        """A copy of the state as named tensors, ready for safetensors; its size does not depend on the history."""
        return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in named(self._state)}

    @property
    def carried(self) -> ContextState:
        """The state itself, not a copy."""
        return self._state

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from a copy that `state` gave, with the same bits.

        Raises:
            LakeError: a state of another number of markets or another size of model; the state stays as it was.
        """
        expected = dict(named(self._state))
        if set(tensors) != set(expected):
            odd = ", ".join(sorted(set(tensors) ^ set(expected)))
            raise LakeError(f"state of a stream: missing or unknown: {odd}; allowed: {', '.join(expected)}")
        for name, like in expected.items():
            found, wanted = (f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}" for x in (tensors[name], like))
            if found != wanted:
                raise LakeError(f"state of a stream: {name} is {found}; allowed: {wanted} for {self.markets} markets")
        own = {name: tensors[name].to(like.device, copy=True) for name, like in expected.items()}
        self._state = rebuilt(self._state, own)

    def _check(self, features_NTF: Tensor, valid_NT: Tensor) -> None:
        bars = features_NTF.shape[1] if features_NTF.dim() == 3 else 0
        wanted = (self.markets, max(bars, 1), len(FEATURES))
        if features_NTF.shape != wanted or valid_NT.shape != wanted[:2] or valid_NT.dtype != torch.bool:
            raise BarsError(
                f"stream: features of shape {tuple(features_NTF.shape)} and validity of shape {tuple(valid_NT.shape)} "
                f"({valid_NT.dtype}); allowed: {self.markets} markets, one or more bars, {len(FEATURES)} features, and "
                "bool"
            )
        if not torch.isfinite(features_NTF).all():
            row, bar, feature = (~torch.isfinite(features_NTF)).nonzero()[0].tolist()
            raise BarsError(
                f"stream: {FEATURES[feature]} of market {row} is not finite (bar {bar} of {bars}), and would stay in "
                "its state; allowed: finite features, 0 where a bar is not valid"
            )


def _parts(state: ContextState) -> Iterator[tuple[str, TKANState | LSTMState | AttentionState]]:
    for layer, carried in enumerate(state.recurrence):
        yield f"recurrence.{layer}", carried
    if state.attention is not None:
        yield "attention", state.attention


def named(state: ContextState) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a state with their names."""
    for place, part in _parts(state):
        yield from ((f"{place}.{name}", tensor) for name, tensor in part._asdict().items())


def rebuilt(like: ContextState, tensors: Mapping[str, Tensor]) -> ContextState:
    """A state of the same parts as `like`, made of named tensors."""
    parts: dict[str, Any] = {
        place: type(part)(*(tensors[f"{place}.{name}"] for name in part._fields)) for place, part in _parts(like)
    }
    attention = parts.pop("attention", None)
    return ContextState(tuple(parts.values()), attention)
