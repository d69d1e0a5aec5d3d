"""A universe in the code location of another Dagster project, mounted by a defs.yaml."""

# No `from __future__ import annotations` here: Dagster reads the annotations of a component as objects.

from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from pydantic import Field, field_validator

from lem.errors import UniverseError
from lem.masking import without_userinfo
from lem.universe import Universe, load_universe
from lem_pipeline.build import mounted
from resources.opening import universe_named
from resources.stores import LakeResource, RegistryResource, SourceResource

Text = Annotated[str, Field(min_length=1)]


class UniverseScaffolder(dg.Scaffolder):
    """What `dg scaffold defs lem_pipeline.UniverseComponent NAME` writes."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """A defs.yaml that loads: the sample universe with simulated bars, in a home beside it."""
        dg.scaffold_component(request, {"universe": "sample", "home": ".lem"})


@dg.scaffold_with(UniverseScaffolder)
class UniverseComponent(dg.Component, dg.Model, dg.Resolvable):
    """The eight assets of a universe, their checks, its automation, its nightly job and schedule, and its alerts.

    Its resources are called `<universe>_lake`, `<universe>_registry` and `<universe>_source`. Relative paths start at
    the folder of the defs.yaml. What is left out is as the LEM_ settings of the process say.

    Args:
        universe: its name (LEM_UNIVERSES, `universes/` of the working folder, the package), or the path of its file,
            which ends in `.toml`.
        home: folder of lake, registry and locks, unless the next two are set.
        lake: a folder, or a URL such as s3://bucket/prefix.
        registry: SQLAlchemy URL of the model registry. One with a password belongs into LEM_REGISTRY.
        data: a folder or URL: what `{data}` in the universe file stands for.
    """

    universe: Text
    home: Text | None = None
    lake: Text | None = None
    registry: Text | None = None
    data: Text | None = None

    @field_validator("lake", "registry", "data")
    @classmethod
    def _no_password(cls, value: str | None, info: Any) -> str | None:
        # Dagster stores the configuration of resources, and shows it.
        if value and without_userinfo(value) != value and ":" in value.partition("://")[2].rpartition("@")[0]:
            raise ValueError(
                f"has a password, which the UI would show; allowed: a URL without one, or leave {info.field_name} out "
                f"and set LEM_{info.field_name.upper()}"
            )
        return value

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the universe.

        Raises:
            UniverseError: there is no such universe, or something in its file is wrong.
        """
        folder = Path(context.path)
        folder = folder if folder.is_dir() else folder.parent
        home = str((folder / self.home).absolute()) if self.home else ""
        lake, registry = _place(folder, self.lake), self.registry or ""
        if home:
            lake = lake or str(Path(home) / "lake")
            registry = registry or f"sqlite:///{Path(home) / 'registry.sqlite'}"
        return mounted(
            self._universe(folder),
            {
                "lake": LakeResource(root=lake, home=home),
                "registry": RegistryResource(url=registry),
                "source": SourceResource(data=_place(folder, self.data)),
            },
        )

    def _universe(self, folder: Path) -> Universe:
        if self.universe.endswith(".toml"):
            return load_universe(folder / self.universe)
        if "/" in self.universe:
            raise UniverseError(
                f"universe: {self.universe!r}; allowed: a name, or the path of a file that ends in .toml"
            )
        return universe_named(self.universe)


def _place(folder: Path, value: str | None) -> str:
    """A URL as it is; a path from a folder on."""
    if not value:
        return ""
    return value if "://" in value else str((folder / value).absolute())
