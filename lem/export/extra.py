"""Packages that only the export needs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from lem.errors import ExportError


def needed(package: str, extra: str) -> ModuleType:
    """A package of an extra.

    Args:
        package: its name in an import.
        extra: which extra of this project has it.

    Raises:
        ExportError: it cannot be imported; the message has the command that installs it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ExportError(
            f"export: {package} cannot be imported ({error}); install it with: pip install 'lem-pipeline[{extra}]'"
        ) from error
