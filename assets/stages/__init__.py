"""What each stage does, one file a stage, named as the stage is: `asset_of(graph)` gives its Dagster asset.

Bodies stay short: they read partitions, call a pure function of `lem`, and write what it returns. The inputs of a
stage, its settings and its version stand in `lem/lineage/stages.py`.
"""
