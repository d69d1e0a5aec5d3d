"""A file and its SHA-256 sidecar. What a server does wrong on the way: tests/integration/test_archive_faults.py."""

from __future__ import annotations

import hashlib

import pytest

from lem.errors import SourceError
from lem.sources.download import SIDECAR, Downloads
from lem.sources.limits import Clock
from tests.exchange.archive_server import put

NAME, CONTENT = "AAAUSDT-1h-2024-01-30.zip", b"anything"


class Patient(Clock):
    """No waiting; how often it was asked for."""

    slept = 0

    def sleep(self, seconds):
        self.slept += 1


@pytest.fixture
def downloads():
    return Downloads(timeout=10.0, retries=6, clock=Patient())


def beside(path, text):
    path.with_name(path.name + SIDECAR).write_text(text)


@pytest.mark.parametrize(
    ("sidecar", "rule"),
    [
        ("<html>", r"tried 7 times, at last: \S*\.CHECKSUM is no checksum \(6 bytes\)"),
        ("", "is no checksum"),
        ("0" * 63 + f"  {NAME}", "is no checksum"),
        ("0" * 64 + "  AAAUSDT-1h-2024-01-31.zip", "is the checksum of 'AAAUSDT-1h-2024-01-31.zip'"),
        ("0" * 64 + f"  {NAME}", "the SHA-256 of the file's 8 bytes is [0-9a-f]{64}, not 0{64}"),
    ],
)
def test_a_file_without_its_right_sidecar_is_an_error_after_its_retries(downloads, tmp_path, sidecar, rule):
    path = put(tmp_path / NAME, CONTENT)
    beside(path, sidecar)
    with pytest.raises(SourceError, match=rule):
        downloads.verified(str(path))
    assert downloads.clock.slept == 6


def test_a_file_without_any_sidecar_is_an_error_at_once(downloads, tmp_path):
    path = put(tmp_path / NAME, CONTENT, checksum="")
    rule = r"zip\.CHECKSUM: no such file, so \S*\.zip cannot be verified; allowed: one line '<SHA-256>"
    with pytest.raises(SourceError, match=rule):
        downloads.verified(str(path))
    assert downloads.clock.slept == 0


def test_a_sidecar_in_the_other_spellings_of_sha256sum_is_read(downloads, tmp_path):
    path = put(tmp_path / NAME, CONTENT)
    assert downloads.verified(str(path)) == CONTENT
    beside(path, f"{hashlib.sha256(CONTENT).hexdigest().upper()} *{NAME}\r\n")
    assert downloads.verified(str(path)) == CONTENT


def test_no_file_is_none_and_no_error(downloads, tmp_path):
    assert downloads.verified(str(tmp_path / NAME)) is None
    assert downloads.clock.slept == 0
