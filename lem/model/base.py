"""What the heads correct: the dynamic programme with costs, or an even pace.

Shapes: O = a batch of orders.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lem.errors import LemError
from lem.execution.fills import Ledger, benchmark, limits
from lem.execution.terms import Terms
from lem.theory.reader import Reader
from lem.theory.table import SHAPES, rows_of, shared_table, table_hash


def pace_logit(slice_O: Tensor, low_O: Tensor, high_O: Tensor, edge: float) -> Tensor:
    """Logit of a slice's place between its limits; `edge` keeps the logit finite."""
    return torch.logit(((slice_O - low_O) / (high_O - low_O).clamp(min=1e-6)).clamp(edge, 1.0 - edge))


def even_pace(ledger: Ledger, terms: Terms, low_O: Tensor, high_O: Tensor, k: int | Tensor) -> Tensor:
    """Logit of the slice that would trade what remains in equal parts up to N, between the limits of bar k."""
    return pace_logit(ledger.remaining_O / (terms.n_O - k).clamp(min=1.0), low_O, high_O, 1e-3)


SHARPNESS = 40.0
"""How sure the theory is to finish, in logits a sigma of margin: what it may lose by being unsure is below a bp."""
EDGE = 0.01
"""Closest to the limits of a slice that the theory's pace comes: nearer to them a correction would move nothing."""


@dataclass(frozen=True)
class Base:
    """What a head's two logits correct.

    Args:
        pace_O: logit of the slice's place between its limits, the lower one raised to `least_O`.
        finish_O: logit of the probability to finish.
        advised_O: logit of the theory's slice between the order's own limits; None without a theory.
        margin_O: value of finishing less that of going on, in sigma; None without a theory.
        least_O: smallest slice that leaves as few largest slices to trade as the theory's; None without a theory.
    """

    pace_O: Tensor
    finish_O: Tensor
    advised_O: Tensor | None = None
    margin_O: Tensor | None = None
    least_O: Tensor | None = None


RISK_AT_REST, RISK_PER_AVERSION = 0.05, 0.25
"""Price of risk of the theory for lambda = 0, and what a lambda of 1 adds; chosen on the half year before 2021-04."""


def theory_risk(terms: Terms) -> Tensor:
    """Price of risk (`risk` of `lem.theory.programme`) that goes with an order's risk aversion."""
    return RISK_AT_REST + RISK_PER_AVERSION * terms.risk_aversion_O


class EvenBase(nn.Module):
    """No theory: the even pace over the bars left, and a finish of one half."""

    def forward(self, ledger: Ledger, terms: Terms, last_close_O: Tensor, k: int | Tensor) -> Base:
        """The base before bar k; of the last close it makes no use."""
        even_O = even_pace(ledger, terms, *limits(ledger, terms, k), k)
        return Base(even_O, torch.zeros_like(even_O))


class ProgrammeBase(nn.Module):
    """The dynamic programme with costs (`lem.theory.table`): a model is the rule before it learns.

    The table is the same for all models of a version: weights hold its hash, `theory`, and not the table. The more
    cautious an order, the more its pace is the even one from the start.
    """

    def __init__(self) -> None:
        super().__init__()
        self.margin: Tensor
        self.pace: Tensor
        self.theory: Tensor
        self.register_buffer("theory", torch.zeros(32, dtype=torch.uint8))
        for name in ("margin", "pace"):
            self.register_buffer(name, None, persistent=False)
        self._reader: Reader | None = None  # of the last orders: their terms stay the same from bar to bar
        self.read(*shared_table())

    def read(self, table: dict[str, Tensor], sha256: str | None = None) -> None:
        """Go by a table from now on.

        Args:
            table: `margin` and `pace`.
            sha256: its `table_hash`, where it is known.

        Raises:
            LemError: this version cannot read a table of that shape.
        """
        if table["pace"].shape[1:] != SHAPES["pace"][1:]:
            raise LemError(f"a table of the theory with the axes {tuple(table['pace'].shape)[1:]}")
        rows_of(len(table["margin"]))
        self.margin, self.pace = table["margin"], table["pace"]
        self.theory = torch.tensor(list(bytes.fromhex(sha256 or table_hash(table))), dtype=torch.uint8)
        self._reader = None

    def forward(self, ledger: Ledger, terms: Terms, last_close_O: Tensor, k: int | Tensor) -> Base:
        """The base before bar k."""
        reader = self._reader
        if reader is None or reader.terms is not terms:
            self._reader = reader = Reader(self.margin, self.pace, terms, theory_risk(terms))
        distance_O = (last_close_O - benchmark(ledger)) * (terms.sign_O / terms.sigma_O)
        advice = reader.read(ledger.remaining_O, distance_O, k)
        low_O, high_O = limits(ledger, terms, k)
        # With a fixed end there is only a pace to keep.
        timed_O, even_O = terms.m_O < terms.n_O, even_pace(ledger, terms, low_O, high_O, k)
        advised_O = torch.where(timed_O, torch.logit(advice.place_O.clamp(EDGE, 1.0 - EDGE)), even_O)
        slice_O = low_O + (high_O - low_O) * advice.place_O
        least_O = torch.where(timed_O, _least(slice_O, ledger, terms).maximum(low_O).minimum(high_O), low_O)
        pace_O = torch.where(timed_O, pace_logit(slice_O, least_O, high_O, EDGE), even_O)
        return Base(pace_O, SHARPNESS * advice.margin_O, advised_O, advice.margin_O, least_O)


WHOLE = 0.03
"""What remains counts as whole largest slices where it is more by no more than this share of one."""


def _least(slice_O: Tensor, ledger: Ledger, terms: Terms) -> Tensor:
    """Smallest slice after which what remains takes no more bars than after the theory's slice.

    An order can end only where no more than one largest slice is left. The theory keeps to whole slices; a correction
    that leaves a little more costs a bar, which no gradient shows, since it is a jump.
    """
    cap_O = terms.max_rate_O * (1.0 - 1e-6)  # rounding must not leave a hair more than a slice
    bars_O = torch.ceil((ledger.remaining_O - slice_O) / cap_O - WHOLE).clamp(min=1.0)
    return ledger.remaining_O - bars_O * cap_O
