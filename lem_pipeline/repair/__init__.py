"""What runs that were killed have left, and what brings it in order."""
