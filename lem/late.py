"""numpy, pandas, pandera and Arrow's functions, imported when a name of theirs is first used: that takes half a second.

A command that only looks (`lem status`, `lem models list`) reads modules that also work on tables, and makes no table.
Such a module writes `from lem.late import pd`, and uses no name of it while it is imported itself.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Late(ModuleType):
    def __getattr__(self, name: str) -> Any:
        found = getattr(import_module(self.__name__), name)
        setattr(self, name, found)
        return found


if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pandera.pandas as pa
    import pyarrow.compute as pc
else:
    np, pd, pa, pc = _Late("numpy"), _Late("pandas"), _Late("pandera.pandas"), _Late("pyarrow.compute")

__all__ = ["np", "pa", "pc", "pd"]
