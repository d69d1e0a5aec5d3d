"""The clock by which a market's bars come: how many a day, in whose time, and which are a session's last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lem.late import np, pd
from lem.universe.session_bars import places_in_session

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class BarClock:
    """A market's clock.

    Args:
        bars_per_day: bars of a full day (24/7) or of the longest session; 1 for daily bars.
        zone: of the time of day (IANA).
        sessions: the exchange's calendar, where its sessions have more than one bar.
        length: of a bar; needed with `sessions` only.
    """

    bars_per_day: int
    zone: str = "UTC"
    sessions: str | None = None
    length: pd.Timedelta | None = None

    @property
    def season(self) -> int:
        """Bars after which the volume's pattern repeats: a day or session of bars, or a week of daily ones."""
        return self.bars_per_day if self.bars_per_day > 1 else 5

    def places(self, opens: pd.DatetimeIndex) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The place of each bar in its session, and that of the bar after it (`places_in_session`).

        Args:
            opens: of bars (UTC).
        """
        assert self.sessions is not None
        assert self.length is not None
        return places_in_session(self.sessions, self.length, opens)
