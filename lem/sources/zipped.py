"""Unpacking in memory: one CSV file from a zip archive that is not trusted."""

from __future__ import annotations

import zipfile
import zlib
from io import BytesIO

from lem.errors import SourceError

_CHUNK = 1 << 16
_ENCRYPTED = 1
_JOINERS = {0x200C: None, 0x200D: None}
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def unpack(url: str, content: bytes, max_bytes: int) -> bytes:
    """The one member of a zip archive.

    The sizes that the archive declares are not trusted: bytes are counted while they are unpacked.

    Args:
        url: names the archive in an error.
        content: the archive's bytes.
        max_bytes: the most bytes that the member may unpack to.

    Raises:
        SourceError: damaged, not exactly one member, a name that is no plain `.csv` file name, encrypted, packed by
            another method than deflate, or larger than `max_bytes`.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) != 1:
                names = ", ".join(repr(member.orig_filename[:100]) for member in members[:5])
                raise SourceError(f"{url}: the archive has {len(members)} members ({names}); allowed: one CSV file")
            member = members[0]
            _check_name(url, member.orig_filename)
            if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
                raise SourceError(f"{url}: the member is encrypted or packed by another method; allowed: deflate")
            too_large = f"allowed: at most {max_bytes} bytes (source.max_bytes)"
            if member.file_size > max_bytes:
                raise SourceError(f"{url}: the member has {member.file_size} bytes unpacked; {too_large}")
            out = bytearray()
            with archive.open(member) as packed:
                while chunk := packed.read(_CHUNK):
                    out += chunk
                    if len(out) > max_bytes:
                        raise SourceError(f"{url}: the member has more bytes than it declares; {too_large}")
    # Which of these is raised depends on where the damage lies.
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise SourceError(f"{url}: damaged zip archive: {error}; allowed: a zip archive of one CSV file") from error
    if len(out) != member.file_size:
        raise SourceError(f"{url}: damaged zip archive: {len(out)} bytes unpacked, {member.file_size} declared")
    return bytes(out)


def _check_name(url: str, name: str) -> None:
    # Some scripts join letters with marks that do not count as printable.
    plain = name.translate(_JOINERS).isprintable() and not set(name) & set("/\\:") and not name.startswith(".")
    if not (plain and name.lower().endswith(".csv")):
        raise SourceError(f"{url}: the member is named {name[:200]!r}; allowed: a plain file name that ends in .csv")
