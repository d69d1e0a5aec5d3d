"""How a paper venue behaves: what it fills, what that costs, and how its fills are told."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256

from lem.advice.amounts import ZERO
from lem.errors import PaperError


@dataclass(frozen=True)
class Behaviour:
    """What is the same for all slices of a venue.

    Args:
        seed: of all chance.
        participation: most that a slice gets of the volume of its bar.
        partial: probability that a slice is filled in part only, by a share drawn evenly from 0 to 1.
        parts: most fills of a slice.
        delay: longest time from a trade to its telling, in seconds of the market; drawn evenly from 0.
        duplicates: probability that something is told twice.
        corrections: probability that a fill is told wrongly and corrected later, or broken.
        fee_bps: fee of a fill, in bps of what was paid.
        half_spread_bps: what a fill costs beyond the price of the bar, likewise.
        lot: what amounts are multiples of, whatever the order says; None for the order's own lot.

    Raises:
        PaperError: names the setting, its value and what is allowed.
    """

    seed: int = 0
    participation: float = 0.25
    partial: float = 0.0
    parts: int = 1
    delay: float = 0.0
    duplicates: float = 0.0
    corrections: float = 0.0
    fee_bps: float = 1.0
    half_spread_bps: float = 0.5
    lot: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("partial", "duplicates", "corrections"):
            _check(name, getattr(self, name), 0.0, 1.0)
        _check("participation", self.participation, 1e-9, 1.0)
        _check("parts", self.parts, 1, 100)
        _check("delay", self.delay, 0.0, 1e7)
        _check("fee_bps", self.fee_bps, -1e4, 1e4)
        _check("half_spread_bps", self.half_spread_bps, 0.0, 5e3)
        if self.lot is not None and not (self.lot.is_finite() and self.lot > ZERO):
            raise PaperError(f"lot {self.lot}; allowed: more than 0")

    def chance(self, *what: object) -> random.Random:
        """Chance that is the same whenever and wherever the same is asked for."""
        text = "|".join(map(str, (self.seed, *what)))
        return random.Random(int.from_bytes(sha256(text.encode()).digest()[:16], "big"))


def _check(name: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise PaperError(f"{name} {value:g}; allowed: {least:g} to {most:g}")
