"""URL templates of the sources that read files, checked before anything is fetched."""

from __future__ import annotations

import string

from lem.errors import SourceError


def template_fields(where: str, template: str, allowed: tuple[str, ...], data_root: str) -> set[str]:
    """The fields of a template.

    Args:
        where: names the template in an error, e.g. `small: source.url 'x/{symbol}.csv'`.
        template: the URL with fields in braces.
        allowed: names of the fields that it may have.
        data_root: what `{data}` stands for.

    Raises:
        SourceError: an unknown field, braces that do not match, or `{data}` without a data root.
    """
    rule = f"allowed in braces: {', '.join(allowed)}"
    try:
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise SourceError(f"{where}: {error}; {rule}") from error
    fields = {str(name) for _, name, _, _ in parts}
    if unknown := sorted(fields - set(allowed)):
        raise SourceError(f"{where}: unknown field {unknown[0]!r}; {rule}")
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise SourceError(f"{where}: a format in braces; {rule}")
    if "data" in fields and not data_root:
        raise SourceError(f"{where}: {{data}} has no value; set LEM_DATA to a folder or an fsspec URL")
    return fields
