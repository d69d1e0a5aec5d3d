"""Orders executed on past bars by any strategy, and what follows from their gains."""
