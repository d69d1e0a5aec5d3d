"""The Dagster assets and checks of a universe: one asset a stage."""
