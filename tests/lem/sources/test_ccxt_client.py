"""Where the requests of a venue's client go. What it does with answers is in test_ccxt_venue.py."""

from __future__ import annotations

from urllib.parse import urlsplit

import ccxt

from lem.sources.ccxt_client import rebased


def test_a_base_url_replaces_scheme_host_and_port_of_every_rest_url_of_every_venue():
    def leaves(urls):
        return [leaf for url in urls.values() for leaf in leaves(url)] if isinstance(urls, dict) else [urls]

    for venue in ccxt.exchanges:
        urls = getattr(ccxt, venue)().urls["api"]
        for old, new in zip(leaves(urls), leaves(rebased(urls, "http://127.0.0.1:1/mirror/")), strict=True):
            if str(old).startswith("http"):
                assert new == f"http://127.0.0.1:1/mirror{urlsplit(old).path}", venue
            else:
                assert new == old


def test_a_base_url_is_for_rest_only():
    urls = {"rest": "https://a/v3", "ws": {"spot": "wss://a/stream"}, "none": None}
    moved = {"rest": "http://b:1/v3", "ws": {"spot": "wss://a/stream"}, "none": None}
    assert rebased(urls, "http://b:1") == moved
