"""What a run is given: lake, registry and sources as Dagster resources, and this machine's settings."""
