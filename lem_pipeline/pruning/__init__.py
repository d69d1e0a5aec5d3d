"""What is old and needed by nothing any more, and its removal: `lem prune`."""
