"""Where this server keeps its files is nobody else's matter: paths in what a caller is told become names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from resources.settings import Settings

_QUOTED = re.compile(r"""(?P<quote>['"])(?:[a-z][a-z0-9+.-]*://|/)(?P<path>[^'"\n]*)(?P=quote)""")
_BARE = re.compile(
    r"""(?<![\w.:/@-])(?:(?:file|s3a?|gc?s|az|abfss?|memory)://|/)(?P<path>[^\s'",;()<>]*/[^\s'",;()<>]*)"""
)
_WEB = ("http://", "https://")


class Hiding:
    """Takes the paths of these settings, and whatever looks like an absolute path, out of a text."""

    def __init__(self, settings: Settings) -> None:
        places = {
            "LEM_LAKE": settings.lake,
            "LEM_REGISTRY": settings.registry.partition(":///")[2] if "sqlite" in settings.registry else "",
            "LEM_UNIVERSES": str(settings.universes or ""),
            "LEM_DATA": settings.data if "/" in settings.data else "",
            "LEM_HOME": str(settings.home),
        }
        named = [(place.rstrip("/"), name) for name, place in places.items() if len(place.rstrip("/")) > 1]
        # The longest first: the lake lies in the home.
        self._places = sorted(named, key=lambda one: -len(one[0]))

    def __call__(self, text: str) -> str:
        """The text with names in place of paths; of a path that has no name its last part stays."""
        for place, name in self._places:
            text = text.replace(place, name)
        return _BARE.sub(_last_part, _QUOTED.sub(_last_part, text))

    def values(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The same of every value."""
        return {key: self(text) for key, text in texts.items()}


def _last_part(found: re.Match[str]) -> str:
    if found[0].strip("'\"").startswith(_WEB):
        return found[0]
    quote = found.groupdict().get("quote") or ""
    path = found["path"].rstrip(".:/")
    return f"{quote}.../{path.rpartition('/')[2]}{found['path'][len(path) :].replace('/', '')}{quote}"
