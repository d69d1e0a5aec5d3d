"""The `lem` command, as `python -m lem_pipeline.cli`."""

from lem_pipeline.cli.app import main

main()
