"""What every kind of source declares: its keys, its module, and what the pipeline must know of it."""

from __future__ import annotations

import posixpath
import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from lem.masking import without_userinfo

BarLength = Literal["1min", "5min", "15min", "30min", "1h", "2h", "4h", "1d"]
Absent = Literal["missing", "no_trades"]
"""What the absence of a bar means between two others of one answer: it is missing, or nobody traded."""
NAME_KEYS = ("venue_symbol", "renames")
"""Keys of an asset that tell the source its name."""


@dataclass(frozen=True)
class Capabilities:
    """What a source declares of itself. The defaults are those of a source that keeps for ever what it answered once.

    Args:
        bar: length of the bars that it gives; without one, it gives the universe's.
        revisit_days: it may revise its last partitions, so many; by default none.
        adjusts_history: a dividend or a split may change all its days, however old; by default none changes.
        grace_seconds: a bar is final so long after its end; by default at once.
        venue: the exchange that it asks, in ccxt's name, and whose keys it takes; by default none.
        quote_decimals: decimals to which it rounds quote volume; by default it does not.
        utc_days: it has daily bars on the calendar 24/7 too; by default yes.
        name_keys: which of an asset's `NAME_KEYS` it obeys; an asset with another one is refused. By default none.
        absent: what it means that there is no bar; by default that it is missing.
    """

    bar: BarLength | None = None
    revisit_days: int = 0
    adjusts_history: bool = False
    grace_seconds: float = 0.0
    venue: str | None = None
    quote_decimals: int | None = None
    utc_days: bool = True
    name_keys: tuple[str, ...] = ()
    absent: Absent = "missing"


class SourceSection(BaseModel):
    """A `[source]` section of any kind: its keys, the module that reads it, and what it declares.

    Attributes:
        module: where `opened(universe, data_root, credentials)` makes the `lem.sources.Source`; imported on use.
        template: the key with a URL in which the asset's name stands; empty if there is none.
        tuning: keys on which no bar depends: how it is asked, how often, and how its bars are judged.
        kind: as it stands in the universe file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    module: ClassVar[str]
    template: ClassVar[str] = ""
    tuning: ClassVar[frozenset[str]] = frozenset()
    kind: str

    def stated(self) -> frozenset[str]:
        """The keys that differ from their default: a section that is written out in full is the same section."""
        return frozenset(self.model_dump(exclude_defaults=True))

    def place(self, symbol: str, name: str) -> str:
        """Where the bars of an asset are: two assets with one place would be one instrument.

        Args:
            symbol: of the asset.
            name: what the source calls it on the date that is looked at.
        """
        return name

    def identity(self) -> dict[str, Any]:
        """The keys on which the bars depend, without passwords: raw bars of another identity are another series.

        Keys with their default are left out, so that a key which is added later changes no identity.
        """
        told = self.model_dump(mode="json", exclude=set(self.tuning), exclude_defaults=True)
        return {name: without_userinfo(value) if isinstance(value, str) else value for name, value in told.items()}

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the pipeline must know of a source with these keys."""


def placed(template: str, symbol: str, name: str) -> str:
    """A URL template for one asset, without a password; two spellings of one path are one.

    A template with other braces than those that are allowed is refused when it is opened; here it tells assets apart.
    """
    url = without_userinfo(template).replace("{symbol}", symbol).replace("{venue_symbol}", name)
    if re.search(r"[{}]", re.sub(r"\{(data|date|month|bar)\}", "", url)):
        return f"{url} of {symbol}"
    scheme, found, path = url.rpartition("://")
    return f"{scheme}{found}{posixpath.normpath(path)}"
