"""The lake: tables and bytes on a file system. It knows paths and hashes, but not what a table means."""

from __future__ import annotations

from lem.lake.lake import Lake, Versions, Written, inputs_version

__all__ = ["Lake", "Versions", "Written", "inputs_version"]
