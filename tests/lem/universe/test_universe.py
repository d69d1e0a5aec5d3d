from __future__ import annotations

import datetime as dt
import re

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lem.errors import UniverseError
from lem.universe import Asset, load_universe, load_universes
from tests.conftest import ROOT

FILES_SOURCE = {"kind": "files", "url": "{data}/{symbol}.csv"}
ARCHIVE_SOURCE = {"kind": "archive", "daily": "https://example.org/{venue_symbol}-{date}.zip"}
RENAME = {"until": "2024-01-05", "venue_symbol": "OLDUSD"}
OUTAGE = {"start": "2024-01-05T00:00:00Z", "end": "2024-01-05T04:00:00Z", "reason": "venue was down"}
SECTIONS = {
    (): (),
    ("source",): ("kind", "seed"),
    ("assets", "AAA-USD"): ("delisted", "listed", "venue_symbol"),
    ("outages", 0): ("assets", "end", "reason", "start"),
    ("features",): ("volatility", "volume"),
    ("model",): ("hidden", "warmup"),
    ("training",): ("sequence", "steps"),
    ("gate",): ("confidence", "tail_tolerance"),
    ("backtest",): ("bootstrap", "min_bars"),
    ("drift",): ("gain_tolerance_bps", "max_age", "psi", "window_days"),
    ("costs",): ("fee_bps", "half_spread_bps", "impact", "order_size", "participation_cap"),
}


@pytest.fixture
def refused(tmp_path, write_universe, tiny_keys):
    """`refused(horizon=1)` is the message with which the universe file is refused; it names the file."""

    def message(stem=None, **overrides):
        path = write_universe(tmp_path, tiny_keys(**overrides), stem)
        with pytest.raises(UniverseError) as error:
            load_universe(path)
        assert str(path) in str(error.value)
        return str(error.value)

    return message


def put(keys, section, key, value):
    """The keys with one more in a section; the path of that section in an error message."""
    target = keys
    for part in section:
        target = target[part]
    target[key] = value
    return ".".join(map(str, [*section, key]))


@pytest.mark.parametrize("path", sorted((ROOT / "universes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_universe_loads(path):
    universe = load_universe(path)
    assert universe.name == path.stem
    assert universe.description
    assert universe.symbols == sorted(universe.assets)


def test_a_folder_loads_by_name_sorted(tmp_path, write_universe, tiny_keys):
    for name in ("zeta", "alpha"):
        write_universe(tmp_path, tiny_keys(name=name))
    assert list(load_universes(tmp_path)) == ["alpha", "zeta"]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: ".".join(map(str, section)) or "top")
def test_an_unknown_key_is_refused_with_its_place_and_what_is_allowed(section, tmp_path, write_universe, tiny_keys):
    keys = tiny_keys(outages=[dict(OUTAGE)], assets={"AAA-USD": {}}, gate={}, costs={}, drift={})
    where = put(keys, section, "colour", "blue")
    path = write_universe(tmp_path, keys)
    with pytest.raises(UniverseError) as error:
        load_universe(path)
    assert f"  {where}: unknown key" in str(error.value)
    allowed = re.search(r"unknown key.*; allowed: (.*)", str(error.value)).group(1).split(", ")
    assert set(SECTIONS[section]) <= set(allowed)
    assert "colour" not in allowed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    section=st.sampled_from([*SECTIONS, ("source", "columns")]),
    key=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
    | st.sampled_from(["files", "simulated", "source", "kinds", "Horizon", "hidden_size", "a.b"]),
)
def test_no_unknown_key_is_ever_accepted(section, key, tmp_path, write_universe, tiny_keys):
    keys = tiny_keys(outages=[dict(OUTAGE)], assets={"AAA-USD": {}}, gate={}, costs={}, drift={})
    if section == ("source", "columns"):
        keys["source"] = {**FILES_SOURCE, "columns": {}}
    target = keys
    for part in section:
        target = target[part]
    known = {"columns", "listed", "delisted", "venue_symbol", "gate", "costs", "drift", "calendar", "quote_volume"}
    if key in target or key in known:
        return
    where = put(keys, section, key, {})
    try:
        load_universe(write_universe(tmp_path, keys))
    except UniverseError as error:
        assert f"{where}: " in str(error)  # noqa: PT017
    else:
        raise AssertionError(f"{where} was accepted")


def test_a_misspelt_key_gets_the_nearest_one_offered(refused):
    text = refused(training={"window_day": 8})
    assert "training.window_day: unknown key (did you mean 'window_days'?)" in text


def test_an_outage_of_an_unknown_symbol_is_refused(refused):
    text = refused(outages=[OUTAGE, {**OUTAGE, "assets": ["AAA-USD", "DOGE-USD"]}])
    assert "outages.1.assets: unknown symbol 'DOGE-USD'; allowed: AAA-USD, BBB-USD" in text


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"horizon": 1}, r"horizon: .*greater than or equal to 2, not 1"),
        ({"horizon": 501}, r"horizon: .*less than or equal to 500, not 501"),
        ({"horizon": "long"}, r"horizon: .*integer.*'long'"),
        ({"backtest": {"min_bars": [1, 4]}}, r"backtest\.min_bars: \[4\] with horizon 3; allowed: 1 to 3"),
        (
            {"drift": {"max_age": 2}},
            r"drift\.max_age: 2 partitions; .* a purge of 1 .* regularly 3 old; allowed: 3 or more",
        ),
        ({"drift": {"psi": 0}}, r"drift\.psi: .*greater than 0, not 0"),
        ({"backtest": {"min_bars": [0]}}, r"backtest\.min_bars: \[0\] with horizon 3; allowed: 1 to 3"),
        ({"backtest": {"min_bars": []}}, r"backtest\.min_bars: none; allowed: one or more, each once"),
        ({"backtest": {"min_bars": [1, 3, 1]}}, r"backtest\.min_bars: \[1\] twice; allowed: each once"),
        ({"bar": "7min"}, r"bar: .*'1min'.*'1d'.*not '7min'"),
        ({"bar": "1d"}, r"bar: the simulated source has no daily bars; allowed: an intraday"),
        ({"calendar": "XNYS"}, r"bar: '4h' on calendar XNYS; allowed there: '1d'"),
        ({"calendar": "LSE"}, r"calendar: .*unknown calendar 'LSE'; allowed: 24/7, or of exchange-calendars: "),
        ({"end": "2023-12-31"}, r"end: 2023-12-31 lies before start 2024-01-01"),
        ({"start": "yesterday"}, r"start: .*date.*'yesterday'"),
        ({"assets": {}}, r"assets: .*at least 1 item"),
        ({"assets": {"btc/usdt": {}}}, r"assets: 'btc/usdt' is not a canonical symbol; allowed: capitals"),
        ({"assets": {"AAA-USD": 7}}, r"assets\.AAA-USD: .*not 7"),
        ({"name": "Tiny One"}, r"name: .*\^\[a-z\]\[a-z0-9_\]\*\$.*not 'Tiny One'"),
        ({"source": {"kind": "ftp"}}, r"source: .*'ftp'.*'simulated', 'files', 'ccxt', 'archive', 'yfinance'"),
        (
            {"source": {"seed": 1}},
            r"source\.kind: this key is required; allowed: 'simulated', 'files', 'ccxt'",
        ),
        ({"source": {"kind": "ccxt"}}, r"source\.venue: this key is required"),
        ({"source": {"kind": "ccxt", "venue": "Bin/ance"}}, r"source\.venue: .*not 'Bin/ance'"),
        ({"source": {"kind": "archive"}}, r"source\.daily: this key is required"),
        (
            {"source": {**ARCHIVE_SOURCE, "fallback": {"kind": "ccxt"}}},
            r"source\.fallback\.venue: this key is required",
        ),
        (
            {"source": {**ARCHIVE_SOURCE, "fallback": {"kind": "ccxt", "venue": "binance", "pages": 9}}},
            r"source\.fallback\.pages: unknown key \(did you mean 'page'\?\); allowed: absent, bar, ",
        ),
        (
            {"source": {**FILES_SOURCE, "revisit_days": -1}},
            r"source\.revisit_days: .*or equal to 0, not -1",
        ),
        ({"settle_days": -1}, r"settle_days: .*greater than or equal to 0, not -1"),
        (
            {"source": {**FILES_SOURCE, "bar": "1d"}},
            r"source\.bar: bars of 1d cannot be made into bars of 4h on calendar 24/7; allowed: a length that",
        ),
        (
            {"bar": "2h", "source": {**FILES_SOURCE, "bar": "4h"}},
            r"source\.bar: bars of 4h cannot be made into bars of 2h on calendar 24/7",
        ),
        (
            {"bar": "1d", "calendar": "XNYS", "source": {**FILES_SOURCE, "bar": "1min"}},
            r"source\.bar: bars of 1min cannot be made into bars of 1d on calendar XNYS",
        ),
        (
            {"assets": {"AAA-USD": {"renames": [RENAME, {**RENAME, "until": "2024-01-04"}]}}},
            r"assets\.AAA-USD: renames: each must end later than the one before it",
        ),
        (
            {"assets": {"AAA-USD": {"renames": [RENAME, RENAME]}}},
            r"assets\.AAA-USD: renames: each must end later than the one before it",
        ),
        (
            {"assets": {"AAA-USD": {"renames": [{**RENAME, "from": "2024-01-04"}]}}},
            r"assets\.AAA-USD\.renames\.0\.from: unknown key; allowed: until, venue_symbol",
        ),
        ({"source": {"kind": "files"}}, r"source\.url: this key is required"),
        ({"outages": [{**OUTAGE, "end": OUTAGE["start"]}]}, r"outages\.0: the outage ends at .* end must be"),
        ({"costs": {"fee_bps": -1}}, r"costs\.fee_bps: .*greater than or equal to 0, not -1"),
        ({"costs": {"participation_cap": 0}}, r"costs\.participation_cap: .*greater than 0, not 0"),
        (
            {"costs": {"order_size": 0.5, "participation_cap": 0.1}},
            r"costs\.order_size: an order_size of 0\.5 .* participation_cap of 0\.1 cannot trade in 3 bars; "
            r"allowed: an order_size of at most 0\.3",
        ),
        ({"model": {"hidden": 10, "heads": 4}}, r"model: heads: 4 does not divide hidden 10"),
        ({"training": {"sequence": 60}}, r"training\.sequence: 60 bars cannot hold model\.warmup 64 \+ horizon"),
        (
            {"training": {"window_days": 8, "sequence": 100, "holdout_days": 2}},
            r"training\.window_days: 8 days hold 48 bars, fewer than one training\.sequence of 100",
        ),
        (
            {"training": {"window_days": 20, "holdout_days": 19, "sequence": 12}},
            r"training\.holdout_days: 19 plus a purge of 1 leave nothing of training\.window_days 20",
        ),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_an_impossible_value_is_refused_with_its_key_and_what_is_allowed(overrides, expected, refused):
    if "sequence" in str(overrides) and overrides["training"]["sequence"] == 60:
        overrides = {**overrides, "model": {}}
    assert re.search(expected, refused(stem="tiny", **overrides))


@pytest.mark.parametrize("key", ["name", "start", "source", "assets"])
def test_a_missing_key_is_named(key, tmp_path, write_universe, tiny_keys):
    keys = tiny_keys()
    del keys[key]
    path = write_universe(tmp_path, keys, "tiny")
    with pytest.raises(UniverseError, match=f"  {key}: this key is required"):
        load_universe(path)


@given(
    until=st.lists(st.dates(dt.date(2020, 1, 1), dt.date(2020, 3, 1)), max_size=4, unique=True).map(sorted),
    date=st.dates(dt.date(2019, 12, 20), dt.date(2020, 3, 10)),
    now=st.sampled_from([None, "NOW"]),
)
def test_an_asset_is_called_by_the_first_name_that_had_not_ended_on_the_date(until, date, now):
    renames = [{"until": last, "venue_symbol": f"OLD{n}"} for n, last in enumerate(until)]
    asset = Asset.model_validate({"venue_symbol": now, "renames": renames})
    passed = sum(last < date for last in until)
    assert asset.name_on(date, "AAA-USD") == (f"OLD{passed}" if passed < len(until) else now or "AAA-USD")


@pytest.mark.parametrize(("bar", "expected"), [(None, "1h"), ("1min", "1min"), ("1h", "1h")])
def test_the_sources_bars_are_the_universes_unless_it_names_their_length(bar, expected, make_universe):
    source = {**FILES_SOURCE} if bar is None else {**FILES_SOURCE, "bar": bar}
    universe = make_universe(source=source)
    assert universe.source_bar == expected
    assert universe.bar_length % universe.source_bar_length == pd.Timedelta(0)


def test_the_default_costs_can_be_traded_on_the_shortest_horizon(make_universe):
    assert make_universe(horizon=2, backtest={"min_bars": [1, 2]}).costs.size_problem(2) is None


def test_a_cost_that_is_not_a_number_is_refused(tmp_path, write_universe, tiny_keys):
    for value in ("nan", "inf", "-inf"):
        path = write_universe(tmp_path, tiny_keys())
        path.write_text(path.read_text() + f"[costs]\nimpact = {value}\n")
        with pytest.raises(UniverseError, match=r"costs\.impact: .*not (nan|inf|-inf)"):
            load_universe(path)


def test_all_problems_are_listed_at_once(refused):
    text = refused(bar="1d", backtest={"min_bars": [9]}, end="2023-01-01")
    assert [key in text for key in ("bar:", "backtest.min_bars:", "end:")] == [True] * 3


def test_the_name_must_be_the_files_name(refused):
    assert "name: 'tiny' must equal the file's name 'other'" in refused(stem="other")


def test_a_missing_file_names_the_universes_that_there_are(tmp_path, write_universe, tiny_keys):
    write_universe(tmp_path, tiny_keys())
    with pytest.raises(UniverseError, match=r"nope\.toml: no such universe file; there are: tiny"):
        load_universe(tmp_path / "nope.toml")
    with pytest.raises(UniverseError, match="there are: none"):
        load_universe(tmp_path / "no_folder" / "nope.toml")


@pytest.mark.parametrize("content", [b"name = tiny", b"[assets\n", b"name = 'a'\nname = 'b'", b"\xff\xfe"])
def test_what_is_not_toml_is_refused(content, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_bytes(content)
    with pytest.raises(UniverseError, match=r"tiny\.toml: not valid TOML: "):
        load_universe(path)


def test_what_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "tiny.toml").mkdir()
    with pytest.raises(UniverseError, match=r"tiny\.toml: cannot be read: "):
        load_universe(tmp_path / "tiny.toml")


def test_a_folder_without_universes_is_refused(tmp_path):
    with pytest.raises(UniverseError, match=r"no universe files \(\*\.toml\) in this folder"):
        load_universes(tmp_path)


def test_an_unknown_symbol_gets_the_nearest_ones_offered(make_universe):
    with pytest.raises(UniverseError, match=r"no asset 'AAA-USDT': did you mean AAA-USD.*allowed: AAA-USD, BBB-USD"):
        make_universe().check_symbol("AAA-USDT")
