from __future__ import annotations

import contextlib
import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.errors import SourceError
from lem.sources.zipped import unpack
from tests.exchange.archive_server import zipped
from tests.lem.builders import PROPERTY

CONTENT = b"1704067200000,1,2,1,2,10\n" * 200
NAME = "AAAUSDT-1m-2024-01-01.csv"


def archive(*names: str, content: bytes = CONTENT, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def declaring(size: int, content: bytes = CONTENT) -> bytes:
    """An archive that gives the member's unpacked size as another one, in both of its headers."""
    whole = bytearray(zipped(NAME, content))
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", whole, whole.rindex(signature) + place, size)
    return bytes(whole)


@given(st.binary(max_size=2000))
@PROPERTY
def test_any_member_up_to_the_limit_comes_out_as_it_went_in(content):
    assert unpack("a.zip", zipped(NAME, content), 2000) == content


@given(st.integers(0, len(zipped(NAME, CONTENT)) - 1), st.integers(1, 255))
@PROPERTY
def test_a_changed_byte_is_an_error_or_changes_nothing(position, mask):
    damaged = bytearray(zipped(NAME, CONTENT))
    damaged[position] ^= mask
    with contextlib.suppress(SourceError):
        assert unpack("a.zip", bytes(damaged), 10**6) == CONTENT


@given(st.integers(0, len(zipped(NAME, CONTENT)) - 1))
@PROPERTY
def test_a_cut_archive_is_an_error(length):
    with pytest.raises(SourceError, match="damaged zip archive"):
        unpack("a.zip", zipped(NAME, CONTENT)[:length], 10**6)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/cron.d/x.csv",
        "../x.csv",
        "a/../../x.csv",
        "folder/x.csv",
        "..\\x.csv",
        "a\\x.csv",
        "C:x.csv",
        "x.csv/",
        ".csv",
        "x.exe",
        "x.csv\x00.exe",
        "x\n.csv",
        "",
    ],
)
def test_a_name_that_is_no_plain_csv_file_is_an_error(name):
    # The writer drops what follows a zero byte, so the name is put in afterwards.
    content = archive("@" * len(name)).replace(b"@" * len(name), name.encode()) if name else archive("")
    with pytest.raises(
        SourceError, match=r"a\.zip: the member is named .*allowed: a plain file name that ends in \.csv"
    ):
        unpack("a.zip", content, 10**6)


def test_names_in_other_scripts_are_plain_names():
    for name in ("币安人生USDT-1m-2026-01-01.CSV", "می\u200cخواهم-1m.csv", "क्\u200dष-1m.csv", "ΩμέγαУкр-1m.csv"):
        assert unpack("a.zip", archive(name), 10**6) == CONTENT


@pytest.mark.parametrize("names", [[], ["a.csv", "b.csv"], ["a.csv", "a.csv.sig"]])
def test_other_than_one_member_is_an_error(names):
    with pytest.raises(SourceError, match=f"the archive has {len(names)} members .*allowed: one CSV file"):
        unpack("a.zip", archive(*names), 10**6)


def test_a_bomb_is_refused_before_it_is_unpacked():
    with pytest.raises(SourceError, match=r"the member has 50000000 bytes unpacked; allowed: at most 100000 bytes"):
        unpack("a.zip", zipped(NAME, bytes(50_000_000)), 100_000)


@pytest.mark.parametrize("declared", [10, len(CONTENT) - 1, len(CONTENT) + 1, 90_000])
def test_a_declared_size_that_is_not_the_real_one_is_an_error(declared):
    with pytest.raises(SourceError, match="damaged zip archive"):
        unpack("a.zip", declaring(declared), 100_000)


def test_a_bomb_that_declares_a_small_size_is_an_error():
    with pytest.raises(SourceError, match="damaged zip archive"):
        unpack("a.zip", declaring(1000, bytes(50_000_000)), 100_000)


@pytest.mark.parametrize(
    ("most", "rule"),
    [(10**6, "damaged zip archive: 5200 bytes unpacked, 5000 declared"), (5100, "more bytes than it declares")],
)
def test_bytes_are_counted_while_they_are_unpacked_whatever_the_library_says(monkeypatch, most, rule):
    content = zipped(NAME, CONTENT)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: io.BytesIO(bytes(5200)))
    with pytest.raises(SourceError, match=rule):
        unpack("a.zip", content, most)


def test_a_wrong_crc_is_an_error():
    whole = bytearray(archive(NAME, method=zipfile.ZIP_STORED))
    whole[whole.index(CONTENT) + 20] ^= 1
    with pytest.raises(SourceError, match="damaged zip archive: Bad CRC-32"):
        unpack("a.zip", bytes(whole), 10**6)


def test_encrypted_members_and_other_methods_are_errors():
    encrypted = bytearray(zipped(NAME, CONTENT))
    encrypted[encrypted.rindex(b"PK\x01\x02") + 8] |= 1
    for content in (bytes(encrypted), archive(NAME, method=zipfile.ZIP_BZIP2), archive(NAME, method=zipfile.ZIP_LZMA)):
        with pytest.raises(SourceError, match="encrypted or packed by another method; allowed: deflate"):
            unpack("a.zip", content, 10**6)


def test_a_member_that_ends_with_the_archive_is_an_error():
    whole = bytearray(archive(NAME, method=zipfile.ZIP_STORED))
    for signature, place in ((b"PK\x03\x04", 18), (b"PK\x01\x02", 20)):
        struct.pack_into("<II", whole, whole.rindex(signature) + place, 90_000, 90_000)
    with pytest.raises(SourceError, match="damaged zip archive"):
        unpack("a.zip", bytes(whole), 100_000)


def test_a_directory_that_is_not_where_the_archive_says_is_an_error():
    whole = bytearray(zipped(NAME, CONTENT))
    place = whole.rindex(b"PK\x05\x06") + 16
    (offset,) = struct.unpack_from("<I", whole, place)
    struct.pack_into("<I", whole, place, offset + 4)
    with pytest.raises(SourceError, match="damaged zip archive"):
        unpack("a.zip", bytes(whole), 10**6)


@pytest.mark.parametrize(("place", "value"), [(6, 99), (8, 0x20), (8, 0x40)])
def test_what_the_library_does_not_implement_is_an_error(place, value):
    whole = bytearray(zipped(NAME, CONTENT))  # a later version, patched data, strong encryption
    whole[whole.rindex(b"PK\x01\x02") + place] |= value
    with pytest.raises(SourceError, match="damaged zip archive"):
        unpack("a.zip", bytes(whole), 10**6)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", bytes(100)])
def test_what_is_no_archive_is_an_error(content):
    with pytest.raises(SourceError, match="damaged zip archive"):
        unpack("a.zip", content, 10**6)
