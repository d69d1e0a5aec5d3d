"""What readings of drift say, in words."""

from __future__ import annotations

import pandas as pd

DRIFTED, OLD = "drifted", "old"


def drift_warnings(drift: pd.DataFrame) -> list[str]:
    """What has drifted, in sentences; empty where all is well or nothing can be told."""
    said = []
    for row in drift[drift["verdict"].isin([DRIFTED, OLD])].to_dict("records"):
        if row["reading"] == "input":
            said.append(f"Feature {row['name']} is not distributed as in training (index {row['value']:.2f}).")
        elif row["reading"] == "gain":
            said.append(f"Orders gained {-row['value']:.1f} bps less than the gate measured for their models.")
        else:
            age, limit = row["value"], row["threshold"]
            said.append(f"The champion’s training ended {age:.0f} trading days ago; allowed: {limit:.0f}.")
    return said
