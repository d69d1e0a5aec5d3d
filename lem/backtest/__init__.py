"""Orders executed on past bars, by any strategy, and what is concluded from their gains."""
