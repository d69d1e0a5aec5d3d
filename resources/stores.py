"""Dagster resources: the lake, the model registry and the sources. Each resolves its settings when a run starts."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from lem.lake import Lake
from lem.registry import Registry
from lem.sources import open_source
from lem.sources.base import Source
from lem.universe import Universe
from resources.processes import this_process
from resources.settings import Credentials, Settings

PROCESS_TAG = ".dagster/lem/process"
"""Tag of a run: the process that executes it, so that another one can tell whether it still does (lem reap).

The UI hides tags with this prefix."""


class LakeResource(dg.ConfigurableResource):
    """The lake at `root`, or at the LEM_LAKE setting. Every step needs it: it is set up where the run executes.

    `home` is the folder of this machine's own files, if it is not that of the LEM_HOME setting.
    """

    root: str = ""
    home: str = ""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Tag the run with this process."""
        if context.run and context.instance and not context.instance.is_ephemeral:
            context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: this_process()})

    def open(self) -> Lake:
        """The lake; S3 credentials and endpoint come from the environment (AWS_...)."""
        return Lake(self.root or Settings().lake)

    def folder(self) -> Path:
        """Where this machine keeps what its processes share, such as locks."""
        return Path(self.home) if self.home else Settings().home

    def fenced(self) -> Lake:
        """The lake for a step that writes: call it before anything is read, see `Lake.fenced`."""
        return self.open().fenced()


class RegistryResource(dg.ConfigurableResource):
    """The model registry at `url`, or at the LEM_REGISTRY setting."""

    url: str = ""

    def location(self) -> str:
        """The URL of its database, with its password: for what else is kept there."""
        return self.url or Settings().registry

    def open(self) -> Registry:
        """The registry, migrated to this version's schema."""
        return Registry(self.location())

    def fenced(self) -> Registry:
        """The registry for a step that writes: call it before anything is read, see `Registry.fenced`."""
        return self.open().fenced()


class SourceResource(dg.ConfigurableResource):
    """Market data: `data`, or the LEM_DATA setting, replaces `{data}` in universe files."""

    data: str = ""

    def open(self, universe: Universe) -> Source:
        """The universe's source, with the keys of its venue where the environment has some."""
        venue = universe.source.capabilities.venue
        credentials = Credentials.of(venue).given() if venue else {}
        return open_source(universe, self.data or Settings().data, credentials)
