"""Docstrings of the packages that are held to Google's form: what ruff cannot see, one entry a line."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePath

from tests.conftest import ROOT
from tests.test_house import MODULES, nodes, within

IGNORED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"][
    "per-file-ignores"
]
Defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
ENTRY = re.compile(r"(\*{0,2}[\w.]+)( \([^)]*\))?: \S")
SECOND = re.compile(r"([.;,]) (\w+)(?:, \w+)*:(?: |$)")


def held(path: Path) -> bool:
    """Whether the docstrings of a file are linted, by the same list as ruff's."""
    inside = path.relative_to(ROOT)
    folders = [pattern.removesuffix("/**") for pattern, rules in IGNORED.items() if "D" in rules]
    return not any(inside.is_relative_to(PurePath(folder)) for folder in folders)


def sections(docstring: str) -> dict[str, list[str]]:
    """The lines of each section by its title; what stands before the first one is ""."""
    found: dict[str, list[str]] = {"": []}
    title = ""
    for line in docstring.splitlines():
        if re.fullmatch(r"(Args|Attributes|Returns|Raises|Yields):", line):
            title = line.removesuffix(":")
            found[title] = []
        else:
            found[title].append(line)
    return found


def names_of(node: Defined) -> set[str]:
    """What a function takes, or a class by its fields or its `__init__`."""
    if isinstance(node, ast.ClassDef):
        fields = {m.target.id for m in node.body if isinstance(m, ast.AnnAssign) and isinstance(m.target, ast.Name)}
        makers = [m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"]
        return fields.union(*map(names_of, makers))
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return {a.arg for a in [*named, arguments.vararg, arguments.kwarg] if a is not None}


def second_entry(line: str, names: set[str]) -> str | None:
    """The name of an entry that begins within a line: after a full stop any name, after , or ; only a known one."""
    for mark, name in SECOND.findall(line):
        if name in names or name.endswith(("Error", "Exit")) or (mark == "." and name.islower()):
            return name
    return None


def problems(node: Defined) -> Iterator[str]:
    """What breaks the rule of one entry a line."""
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    parts, names = sections(text), names_of(node)
    for title in ("Args", "Attributes", "Raises"):
        for line in filter(None, parts.get(title, [])):
            entry = ENTRY.match(line.removeprefix("    "))
            if not line.startswith("     ") and entry is None:
                yield f"{title}: neither `name: what it is` nor an indented continuation: {line.strip()!r}"
            elif second := second_entry(line, names):
                yield f"{title}: {second!r} begins in the line of another entry: {line.strip()!r}"
            elif entry and title != "Raises" and not line.startswith("     ") and entry[1].strip("*") not in names:
                yield f"{title}: there is no {entry[1]!r}: {line.strip()!r}"
    for line in parts[""]:
        for told in re.findall(r"(?:^|[.;] )((?:\w+, )*\w+):(?: |$)", line):
            if names.intersection(told.split(", ")):
                yield f"{told!r} is told outside of Args: {line!r}"


def test_one_parameter_field_or_error_a_line():
    defined = [(path, node) for path in MODULES if held(path) for node in nodes(path) if isinstance(node, Defined)]
    assert len(defined) > 1000
    found = [
        f"{within(path)}, line {node.lineno}, {node.name}: {problem}"
        for path, node in defined
        for problem in problems(node)
    ]
    assert not found, "\n".join(found)


PACKED = '''
class Interval:
    """A mean.

    low, high: NaN with few blocks. orders: number of values.
    """
    low: float
    high: float
    orders: int

def first(m_O, n_O):
    """Something.

    Args:
        m_O: fewest bars. n_O: most bars.
    """

def second(start, end):
    """Something.

    Args:
        start, end: of the window.
    """

def third(url):
    """Something.

    Args:
        url: of the file, which ends
        in .csv.

    Raises:
        KeyError: no such file. ValueError: no table.
    """

def fourth(rate):
    """Something. rate: orders per second."""

class Fifth:
    """Something.

    Args:
        size: of it.
    """
    def __init__(self, length): ...
'''


def test_packed_and_foreign_entries_are_found():
    found = {node.name: list(problems(node)) for node in ast.parse(PACKED).body if isinstance(node, Defined)}
    assert {name: len(told) for name, told in found.items()} == {
        "Interval": 2,
        "first": 1,
        "second": 1,
        "third": 2,
        "fourth": 1,
        "Fifth": 1,
    }


def test_an_entry_may_go_on_in_an_indented_line_and_hold_a_colon():
    text = '''
def good(url, **options):
    """Something: with a colon.

    Args:
        url: of the file; allowed: a path,
            or a URL as s3://bucket. It ends in .csv.
        **options: of the file system.

    Raises:
        ValueError: no table; names
            the row.
    """
'''
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.FunctionDef)
    assert not list(problems(node))
