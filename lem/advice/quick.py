"""Records of which thousands are made every bar: dataclasses that nobody changes, made in a fraction of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Types are checked as of any frozen dataclass: to change a field is refused there.
    from dataclasses import dataclass as quick
else:
    from dataclasses import dataclass

    def quick(*, frozen: bool, **options: Any) -> Any:
        """A dataclass that is frozen to whoever checks types; hashed and compared as a frozen one.

        Python's own sets each field of a frozen dataclass by a call, which takes five times as long as an assignment.

        Args:
            frozen: true.
            options: as of `dataclasses.dataclass`.
        """
        assert frozen
        return dataclass(unsafe_hash=True, **options)


__all__ = ["quick"]
