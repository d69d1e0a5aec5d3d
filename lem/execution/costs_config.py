"""What trading is assumed to cost: `[costs]` in a universe file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lem.execution.orders import TOLERANCE


class CostsConfig(BaseModel):
    """What trading costs (model: lem.execution.costs) and how large the orders are. Zeros are allowed, NaN is not.

    The defaults are those of a careful account on a liquid market, and an order of a fifth of a bar's volume.

    Args:
        fee_bps: paid on every fill, in bps of its price.
        half_spread_bps: likewise.
        impact: Y of the square-root law, of order one in the literature; 0.5 is near to what the estimates of Almgren
            et al. (2005) give for hourly bars at a participation of 2 %.
        order_size: the parent order, in trailing mean bar volumes.
        participation_cap: most that may be traded in one bar, as a share of the trailing mean bar volume. A cap of at
            least `order_size` caps nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fee_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    half_spread_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    impact: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    order_size: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.2
    participation_cap: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1

    @property
    def largest_rate(self) -> float:
        """Share of the order that the participation cap lets trade in one bar; above 1 it caps nothing."""
        return self.participation_cap / self.order_size

    def size_problem(self, max_bars: int) -> str | None:
        """Why an order of `order_size` cannot be traded in `max_bars` bars under the cap; None where it can."""
        if self.largest_rate * max_bars >= 1.0 - TOLERANCE:
            return None
        return (
            f"an order_size of {self.order_size:g} mean bar volumes under a participation_cap of "
            f"{self.participation_cap:g} cannot trade in {max_bars} bars; allowed: an order_size of at most "
            f"{self.participation_cap * max_bars:.4g}"
        )
