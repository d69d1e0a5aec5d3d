"""Reading the table of programmes between its points (`lem.theory.table`).

Shapes: O = orders, A = the five axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lem.execution.terms import Terms
from lem.theory.table import BARS, FAR, FIRST_E, FIRST_S, OF_N, SOLVED_N, C, D, P, U, V, state


@dataclass(frozen=True)
class Advice:
    """What the programme would do.

    Args:
        place_O: place of the best slice between the smallest and the largest that are allowed, 0 to 1.
        margin_O: value of finishing less that of going on, in sigma; of no meaning where the order may not finish.
    """

    place_O: Tensor
    margin_O: Tensor


class Reader:
    """Reads the table for orders whose terms stay the same from bar to bar.

    Between its points the table is read along straight lines, beyond them as at the edge. The lines are those of
    simplices: six points of each cell of five axes instead of 32. No gradient runs through it: near to what is best,
    how a decision answers to a small change changes nothing.

    Args:
        margin: from `programme_table`.
        pace: likewise.
        terms: of the orders.
        risk_O: price of risk (`risk` of `lem.theory.programme`).
    """

    @torch.no_grad()
    def __init__(self, margin: Tensor, pace: Tensor, terms: Terms, risk_O: Tensor) -> None:
        self.terms = terms
        self._margin, self._pace = margin.flatten(), pace.flatten()
        self._index = torch.int32 if _small_places() else torch.int64
        self._strides = torch.tensor(pace.stride(), dtype=self._index, device=pace.device)
        of_n, *rows = (table.to(pace.device) for table in (OF_N, SOLVED_N, FIRST_S, FIRST_E))
        of_O = of_n[terms.n_O.long().clamp(max=BARS[-1])]
        self._n_O, self._first_O, self._first_end_O = (row[of_O] for row in rows)
        self._stretch_O = terms.n_O / self._n_O
        cap_O = (terms.max_rate_O * self._stretch_O).clamp(max=1.0)
        self._fits_O = torch.maximum(cap_O, terms.max_rate_O)  # what an order may finish with, also in shorter bars
        axes = [
            _place((terms.whole_impact_O / self._stretch_O).sqrt(), C.sqrt()),
            _place(torch.log(cap_O), torch.log(U)),
            _place(risk_O.sqrt(), P.sqrt()),
        ]
        self._below_O = sum(below_O * stride for (below_O, _), stride in zip(axes, self._strides[1:4], strict=True))
        self._shares = [share_O for _, share_O in axes]

    @torch.no_grad()
    def read(self, remaining_O: Tensor, distance_O: Tensor, k: int | Tensor) -> Advice:
        """What to do before bar k.

        Args:
            remaining_O: share that remains.
            distance_O: side * (last close - running benchmark) / sigma.
            k: the bar (0-based) of all orders, or of each.
        """
        n_O, stretch_O = self._n_O, self._stretch_O
        left, distance = (
            _place(remaining_O / self._fits_O, V),
            _place(distance_O / stretch_O.sqrt(), D),
        )
        at_O = torch.as_tensor(k / stretch_O).round().long().minimum(n_O - 1)
        wait_O = ((self.terms.m_O - 1 - k) / stretch_O).ceil().long().clamp(min=0).minimum(n_O - 1 - at_O)
        shares = torch.broadcast_tensors(*self._shares, left[1], distance[1])
        sorted_AO, order_AO = torch.stack(shares).sort(0, descending=True)
        inner_O = (self._below_O + left[0] * self._strides[4] + distance[0] * self._strides[5]).to(self._index)
        first_O = (self._first_O + state(at_O, wait_O, n_O)) * self._strides[0]
        # The margin has the same axes; where there is something to wait for, it has no meaning.
        to_end_O = (self._first_end_O + at_O) * self._strides[0] - first_O
        at_O = (first_O + inner_O).to(self._index)
        to_end_O = to_end_O.to(self._index)
        jumps = self._strides[1:][order_AO]
        weight_O = 1.0 - sorted_AO[0]
        place_O, margin_O = weight_O * self._pace[at_O], weight_O * self._margin[at_O + to_end_O]
        for step in range(len(sorted_AO)):
            at_O = at_O + jumps[step]
            weight_O = sorted_AO[step] - sorted_AO[step + 1] if step + 1 < len(sorted_AO) else sorted_AO[step]
            place_O, margin_O = (
                place_O + weight_O * self._pace[at_O],
                margin_O + weight_O * self._margin[at_O + to_end_O],
            )
        return Advice(place_O / 255.0, margin_O * (FAR / 127))


def _small_places() -> bool:
    """Whether places are int32, which is faster; an ONNX graph looks up by int64 alone."""
    return not torch.compiler.is_exporting()


def _place(value_O: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Where values lie on a grid: the point below, and the share of the way to the next."""
    grid = grid.to(value_O)
    value_O = value_O.clamp(grid[0], grid[-1]).contiguous()
    below_O = (torch.bucketize(value_O, grid, right=True, out_int32=_small_places()) - 1).clamp(0, len(grid) - 2)
    return below_O, (value_O - grid[below_O]) / (grid[below_O + 1] - grid[below_O])
