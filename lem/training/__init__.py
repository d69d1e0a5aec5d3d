"""From a panel to weights, on one process or several."""
