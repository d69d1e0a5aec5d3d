"""`dagster-daemon` that looks for new backfills every two seconds instead of thirty, which no setting says.

What the automation asks for is a backfill. The daemon sleeps between two looks at those, by no clock that a test can
move, and a night has a dozen of them.
"""

from __future__ import annotations

from dagster._daemon import controller
from dagster._daemon.cli import main

if __name__ == "__main__":
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2
    main()
