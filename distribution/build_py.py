"""How the wheel is laid out: the library and one package beside it, so that no common name lies in site-packages.

In the repository `assets` and `resources` are packages at the top, next to `lem` and `lem_pipeline`. Installed there,
they would hide the packages of these names in a user's own project, or be hidden by them. The wheel has them as
`lem_pipeline.assets` and `lem_pipeline.resources`, with the imports written accordingly, and beside them what the
repository has at its top: the universe files and the workspace. An editable install is left as the repository is.
"""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import Any

from setuptools.command.build_py import build_py

HOST = "lem_pipeline"
GUESTS = ("assets", "resources")
DATA = ("universes/*.toml", "workspace.yaml")
"""Files at the top of the repository that the pipeline opens."""


class BuildPy(build_py):
    """Copies the packages as setuptools does, then moves the guests below the host."""

    def run(self) -> None:
        """Build from nothing: what an earlier build has left is not packed."""
        if self.editable_mode:
            super().run()
            return
        place = Path(self.build_lib)
        shutil.rmtree(place, ignore_errors=True)
        super().run()
        for guest in GUESTS:
            shutil.move(place / guest, place / HOST / guest)
        for path in sorted((place / HOST).rglob("*.py")):
            path.write_text(relocated(path.read_text(encoding="utf-8"), path), encoding="utf-8")
        for pattern in DATA:
            for source in sorted(Path().glob(pattern)):
                target = place / HOST / source
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_outputs(self, *args: Any, **kwargs: Any) -> list[str]:
        """What was built, where it lies in the end."""
        if self.editable_mode:
            return super().get_outputs(*args, **kwargs)
        return [str(path) for path in sorted(Path(self.build_lib).rglob("*")) if path.is_file()]


def relocated(text: str, path: Path) -> str:
    """A module's text with its imports of the guests as imports from the host; every line stays where it is.

    Args:
        text: of the module.
        path: named where something is wrong.

    Raises:
        ValueError: a guest is imported in a way, or named in a string, that cannot be written otherwise.
    """
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and not node.level and _is_guest(node.module or ""):
            line = lines[node.lineno - 1]
            head, tail = line[: node.col_offset], line[node.col_offset :]
            lines[node.lineno - 1] = head + tail.replace(f"from {node.module}", f"from {HOST}.{node.module}", 1)
        elif isinstance(node, ast.Import) and any(_is_guest(alias.name) for alias in node.names):
            raise ValueError(f"{path}, line {node.lineno}: allowed is `from {node.names[0].name} import ...`")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and _names_guest(node):
            raise ValueError(
                f"{path}, line {node.lineno}: the wheel has no such module; allowed is a name from __package__"
            )
    return "".join(lines)


def _is_guest(name: str) -> bool:
    return name.partition(".")[0] in GUESTS


def _names_guest(call: ast.Call) -> bool:
    """Whether a string among the arguments of a call names a module of a guest."""
    texts = (node.value for argument in call.args for node in ast.walk(argument) if isinstance(node, ast.Constant))
    return any(isinstance(text, str) and _is_guest(text) for text in texts)
