"""Live use: parent orders, the market up to now, and the next slice of each order, advised once and kept."""
