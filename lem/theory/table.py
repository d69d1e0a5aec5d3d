"""The dynamic programme of every order in one table: any N, m, impact, cap and appetite for risk, at any moment.

`lem.theory.programme` solves one order. All are solved on coarse grids, once (`lem.theory.solve_table`), and read
between their points (`lem.theory.reader`). Two arrays hold what is best:

- `margin` (E, C, U, P, V, D), int8: value of finishing less that of going on, between -0.5 and 0.5 sigma in 127ths of
  that, for every N and k, where nothing is to wait for; -0.5 where what remains does not fit into a bar,
- `pace` (S, C, U, P, V, D), uint8: where the best slice lies between the smallest and the largest that are allowed, in
  255ths, for every N, k and number of bars to wait before the order may end (m - 1 - k, at least 0).

The axes: C the impact, U the cap, P the price of risk, V what remains, in largest slices (R / cap), and D the distance
d. Whole numbers of slices are points of V: from there the programme often keeps to them, since an order can end only
where one slice is left.

They are solved for the N of `BARS`. A longer order is read as the longest of them, with bars that are longer: a
Brownian motion looks the same after stretching time by s, with sigma sqrt(s) times as large, impact in it 1 / s times
and the cap s times.

What was solved is a file beside this one. After a change of the grids or of the solution,
`python -m lem.theory.solve_table` makes it again. A model names the table that it was trained with by its hash; one of
`EARLIER` is read too.

Shapes: S = (N, k, wait), E = (N, k).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lem.errors import LemError
from lem.theory.programme import WIDTH

Places = TypeVar("Places", int, Tensor)

FILE = Path(__file__).with_name("programme_table.npz")
"""The table as it was solved."""
VERSION = 2
"""Raised when the same grids give another table."""
BARS = tuple(range(2, 13))
"""N of the orders that are solved."""
EARLIER = {(2, 3, 4, 6, 8, 12): "b1468d3ff203"}
"""N of a table of an earlier version on the same grids, and the hash of what it was solved from."""
C = torch.tensor([1e-3, 0.1, 0.2236, 0.5, 1.1])
"""Impacts of a whole order in a bar, in sigma. The first is for none: the pace is then the one that would pay least."""
U = torch.tensor([1 / 12, 1 / 7, 1 / 4, 1 / 2, 1.0])
P = torch.tensor([0.0, 0.05, 0.15, 0.4, 1.0])
V = torch.tensor(
    [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0]
)
_BELOW = (-5.0, -3.0, -2.0, -1.5, -1.25, -1.0, -0.75, -0.5, -0.25)
D = torch.tensor([*_BELOW, 0.0, 0.25, 0.5, 0.75, 1.25, 2.0, 3.5])
POINTS = 161
"""Points of d in the solution."""
STEPS, FEWEST = 80, 8
"""Steps of a slice in the solution: of a whole order, and of the largest slice at least."""
_INNER = (len(C), len(U), len(P))
FAR = 0.5
"""Largest margin that is told apart, in sigma: beyond it what is better is certain."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Where the rows of each N lie in both arrays.

    Args:
        bars: N that are solved, ascending.
    """

    bars: tuple[int, ...]

    @property
    def first_end(self) -> Tensor:
        """First row of each N in `margin`."""
        return torch.tensor([0, *self.bars]).cumsum(0)[:-1]

    @property
    def first(self) -> Tensor:
        """First row of each N in `pace`."""
        return torch.tensor([0, *(n * (n + 1) // 2 for n in self.bars)]).cumsum(0)[:-1]

    @property
    def place(self) -> Tensor:
        """Of each number of bars up to the longest the place in `bars` that it is read from: the next longer one."""
        places = range(len(self.bars))
        return torch.tensor([next(i for i in places if self.bars[i] >= n) for n in range(self.bars[-1] + 1)])


@cache
def rows_of(count: int) -> Rows:
    """The rows of a table with so many in `margin`.

    Raises:
        LemError: no version made such a table.
    """
    for bars in (BARS, *EARLIER):
        if sum(bars) == count:
            return Rows(bars)
    raise LemError(f"a table of the theory with {count} rows of margins; allowed: {sum(BARS)}")


SHAPES = {
    "margin": (sum(BARS), *_INNER, len(V), len(D)),
    "pace": (sum(n * (n + 1) // 2 for n in BARS), *_INNER, len(V), len(D)),
}
"""Shapes of the two arrays."""


def state(k: Places, wait: Places, n: Places) -> Places:
    """Place of a moment among those of its N: k = 0 has N of them, k = 1 has N - 1, and so on.

    Args:
        k: the bar, 0-based.
        wait: bars to wait.
        n: N.
    """
    return k * n - k * (k - 1) // 2 + wait


def programme_table() -> dict[str, Tensor]:
    """The table from its file: `margin` and `pace`, of `SHAPES`; each call gives its own.

    Raises:
        LemError: there is no such file, it cannot be read, or it was made from other grids or by another version.
    """
    make = "`python -m lem.theory.solve_table` makes it again"
    try:
        made_from, arrays = _read(FILE)
    except _UNREADABLE as error:
        raise LemError(f"{FILE}: no table of the dynamic programme can be read ({error}); {make}") from error
    if made_from != grids_hash():
        raise LemError(f"{FILE}: made from other grids ({made_from}; this code has {grids_hash()}); {make}")
    return arrays


def stored_table(content: bytes) -> dict[str, Tensor]:
    """A table that was put away with a model: `margin` and `pace`.

    Args:
        content: of its file.

    Raises:
        LemError: it is no table, or one of grids that this version does not read.
    """
    try:
        made_from, arrays = _read(io.BytesIO(content))
    except _UNREADABLE as error:
        raise LemError(f"no table of the dynamic programme: {error}") from error
    if made_from not in (grids_hash(), *EARLIER.values()):
        raise LemError(f"a table of other grids ({made_from}; this code has {grids_hash()})")
    return arrays


@cache
def shared_table() -> tuple[dict[str, Tensor], str]:
    """The table of this version, one for the whole process and never changed, and its `table_hash`.

    Raises:
        LemError: as `programme_table`.
    """
    table = programme_table()
    return table, table_hash(table)


def table_hash(table: dict[str, Tensor]) -> str:
    """SHA-256 of both arrays, hexadecimal."""
    digest = hashlib.sha256()
    for name in SHAPES:
        digest.update(table[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)


def _read(file: Path | io.BytesIO) -> tuple[str, dict[str, Tensor]]:
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in SHAPES}
        return str(stored["grids"]), {name: torch.from_numpy(array) for name, array in arrays.items()}


def grids_hash() -> str:
    """First 12 hex digits of the SHA-256 of all that the table is solved from."""
    grids = [grid.tolist() for grid in (C, U, P, V, D)]
    said = repr((VERSION, BARS, grids, POINTS, STEPS, FEWEST, FAR, WIDTH))
    return hashlib.sha256(said.encode()).hexdigest()[:12]
