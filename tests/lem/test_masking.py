"""Secrets are masked in every spelling in which an answer may quote them."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.masking import Masking, url_passwords, without_userinfo
from tests.lem.builders import PROPERTY

SECRETS = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="|"), min_size=6)
    .map(str.strip)
    .filter(lambda text: len(text) >= 6)
)
WAYS = {
    "as it is": str,
    "URL, path": quote,
    "URL, whole": lambda text: quote(text, safe=""),
    "URL, form": quote_plus,
    "URL, small digits": lambda text: re.sub("%..", lambda code: code[0].lower(), quote(text, safe="")),
    "Python": lambda text: repr(text)[1:-1],
    "Python, beside a quote": lambda text: repr(f"'\"|{text}").partition("|")[2][:-1],
    "Python, bytes": lambda text: repr(text.encode())[2:-1],
    "Python, bytes beside a quote": lambda text: repr(f"'\"|{text}".encode()).partition("|")[2][:-1],
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, not in ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON, careful": lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    "HTML": html.escape,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "JSON in Python": lambda text: repr(json.dumps(text)[1:-1])[1:-1],
    "JSON in a URL": lambda text: quote(json.dumps(text)[1:-1], safe=""),
    "a URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "on one line": lambda text: " ".join(text.split()),
    "over lines": lambda text: text.replace(" ", "\r\n    "),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@given(secret=SECRETS)
@PROPERTY
def test_nothing_of_a_secret_is_left_in_any_spelling(way, secret):
    assert Masking([secret])(f"|{way(secret)}|") == "|***|"


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_key_of_several_lines_with_every_kind_of_quote_is_masked(way):
    key = "-----BEGIN KEY-----\nMII/+=\t'x'\"y\"\\n%20&<\u00e9>\n-----END KEY-----"
    assert Masking(["other", key])(f"|{way(key)}|") == "|***|"


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("key", ["it's-\x01\u00e9/1", "it's-\u00e9/1", 'say-"\u00e9"/1', "\\n\u00e9/+ 1"])
def test_a_key_with_one_kind_of_quote_is_masked(way, key):
    assert Masking([key])(f"|{way(key)}|") == "|***|"


def test_a_secret_that_is_a_part_of_another_leaves_nothing_of_it():
    assert Masking(["abc", "abcdef"])("abcdef, abc") == Masking(["abcdef", "abc"])("abcdef, abc") == "***, ***"


@pytest.mark.parametrize("secrets", [[], [""], ["", " \n"]])
def test_without_a_secret_the_text_stays(secrets):
    assert Masking(secrets)(" a  b\n") == " a  b\n"


def test_what_is_no_secret_stays():
    assert Masking(["a.c", "x|y"])("abc x y a.c") == "abc x y ***"


@pytest.mark.parametrize(
    ("url", "shown", "passwords"),
    [
        ("http://desk:S3cretPw@host/a.csv", "http://host/a.csv", ["S3cretPw", "S3cretPw"]),
        ("https://desk@host:8443/a@b.csv", "https://host:8443/a@b.csv", []),
        ("https://desk:p%40ss@[::1]:80/a.csv", "https://[::1]:80/a.csv", ["p%40ss", "p@ss"]),
        ("https://desk:pa/ss#wo?rd@host/a.csv", "https://host/a.csv", ["pa/ss#wo?rd"] * 2),
        ("zip://a.csv::ftp://desk:one@host/a.zip", "zip://a.csv::ftp://host/a.zip", ["one", "one"]),
        ("http://host:8000/a@b.csv", "http://host:8000/a@b.csv", []),
        ("http://[::1]:8000/a@b.csv", "http://[::1]:8000/a@b.csv", []),
        ("s3://bucket/a@b.csv", "s3://bucket/a@b.csv", []),
        ("/home/me@host/a.csv", "/home/me@host/a.csv", []),
    ],
)
def test_the_user_and_password_of_a_url_are_taken_out_and_a_path_is_left_alone(url, shown, passwords):
    assert without_userinfo(url) == shown
    assert url_passwords(url) == passwords
    assert without_userinfo(f"403, url={url!r} {url} me@host") == f"403, url={shown!r} {shown} me@host"
