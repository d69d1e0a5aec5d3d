"""Whether the market or a champion is no longer what it was."""
