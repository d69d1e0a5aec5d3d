"""What is best on a driftless market, whoever trades: the dynamic programme with costs and its compact tables."""
