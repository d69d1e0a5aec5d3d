"""Tags and pools of runs. Whoever starts runs or looks at them needs these alone, and not the graph."""

REDECIDE = "lem/redecide"
"""Run tag, "true" where the run replaces decisions that stand; all later dates must be decided again after it."""
TRAINING_POOL = "lem_training"
"""Runs that train share this pool: the instance's limit of it says how many of them work at a time."""
