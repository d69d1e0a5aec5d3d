"""How a plan is carried out: here or on workers, with Dagster's history of it."""
