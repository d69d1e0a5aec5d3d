"""What is deployed: definitions, and the `lem` command.

`definitions`, `run_queue`, `worker` and `train_rank` are addresses that deployments write into their own files and
commands (workspace.yaml, dagster.yaml, celery, torchrun): they stay where they are. All else has its room: `cli`,
`planning`, `running`, `repair`, `service`.
"""
