"""The `lem` command: one module a group of commands, and what they show on a terminal."""
