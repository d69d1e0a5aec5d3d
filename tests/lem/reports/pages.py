"""Orders and inputs of small execution reports, and what every rendered page has to be."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from lem.backtest.leaks import LEAK_SCHEMA
from lem.execution.costs_config import CostsConfig
from lem.registry import ModelRecord, PromotionRecord
from lem.registry.decision_figures import DecisionFigures
from lem.reports.inputs import DRIFT, ReportInputs
from lem.reports.report import Report
from lem.reports.tables import NUMBERS, known_strategies
from lem.strategies.rules import rule_names

VOID = {"meta", "br", "link", "img", "hr", "input"}
STRATEGIES = tuple(known_strategies())
COSTS = CostsConfig()
ASSETS = ("BTC-USDT", "ETH-USDT")


def make_orders(
    days: int = 6, assets: tuple[str, ...] = ASSETS, strategies: tuple[str, ...] = (*rule_names(), "lem")
) -> pd.DataFrame:
    generator, rows, traders = np.random.default_rng(0), [], ["model-0"] * (days - 1) + ["model-1"]
    kinds = list(itertools.product(("buy", "sell"), ("vwap", "twap"), ("quantity", "notional"), (1, 6, 12)))
    for asset, day, (side, benchmark, target, m) in itertools.product(assets, range(days), kinds):
        arrival = pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(days=day, hours=5)
        for strategy in strategies:
            gain = generator.normal(0 if strategy == "twap" else 12 - m, 15)
            capped = gain - 0.25 * (m == 1)
            rows.append(
                {
                    **{"asset": asset, "date": arrival.date(), "arrival": arrival, "side": side},
                    **{"benchmark": benchmark, "target": target, "min_bars": m, "max_bars": 12},
                    **{"strategy": strategy, "model_id": traders[day] if strategy == "lem" else ""},
                    **{"status": "done", "reason": "", "sigma_bps": 50.0, "gain_bps": gain, "gain_arrival_bps": gain},
                    **{"capped_gain_bps": capped, "net_gain_bps": capped - 4 - generator.random()},
                    **{
                        "bound_bps": 12.0 - m,
                        "net_bound_bps": 8.0 - m,
                        "oracle_bps": 100.0 - m,
                        "end_bar": 12 if strategy == "twap" else m,
                    },
                    **{"net_end_bar": 12 if strategy == "twap" else max(m, 2)},
                    **{"gain_full_vwap_bps": gain - 2, "gain_full_twap_bps": gain + 3 * generator.random()},
                    **{"slices": slices(generator, m) if strategy == "lem" else None},
                }
            )
    return pd.DataFrame(rows)


def slices(generator: np.random.Generator, m: int) -> np.ndarray:
    """Random shares of an order that ends in bar m, float32, of 12 bars."""
    share = np.zeros(12)
    share[:m] = generator.dirichlet(np.ones(m))
    return share.astype(np.float32)


def exclude(orders: pd.DataFrame) -> pd.DataFrame:
    numbers = dict.fromkeys(NUMBERS, math.nan)
    return orders.assign(
        **numbers, status="excluded", reason="outage within the horizon", end_bar=0, net_end_bar=0, slices=None
    )


def make_promotions(last: dt.date) -> list[PromotionRecord]:
    """The first model before all orders, a refusal the night before, and a promotion on the last day."""
    means = {"candidate": 9.14, "champion": 8.52, "optimal_stopping": 8.03, "twap": 0.0, "rule": 7.81}
    gap = {"mean_bps": 0.62, "low_bps": -0.21, "high_bps": 1.43, "blocks": 7}
    kept = {"candidate": 5.14, "champion": 4.48, "optimal_stopping": 3.03, "twap": -4.0, "rule": 3.98}
    net_gap = {"mean_bps": 0.66, "low_bps": -0.11, "high_bps": 1.52, "blocks": 7}
    worth = {"mean_bps": 1.21, "low_bps": 0.43, "high_bps": 2.08, "blocks": 7}
    net = {"rule": "optimal_with_risk", **dict.fromkeys(("net_mean_bps", "net_cvar5_bps", "net_worth_bps"), kept)}
    net |= {"net_candidate_minus_champion": net_gap, "net_candidate_minus_rule": worth}
    sane = [
        {
            "name": "finite_weights",
            "passed": True,
            "text": "all 5,184 weights are finite",
            "figures": {"weights": 5184},
        },
        {"name": "causality", "passed": True, "text": "no decision changes with bars that come later", "figures": {}},
    ]
    peeks = {"passed": False, "text": "look-ahead: slice 3 changes with bar 2", "figures": {"leaks": 1}}
    stays = "candidate model-x was refused: look-ahead: slice 3 changes with bar 2; champion model-0 trades on"
    gains = {"mean_bps": means, "cvar5_bps": means}
    gaps = {"candidate_minus_champion": gap, "candidate_minus_optimal_stopping": gap}
    counts = {"orders": 480, "days": 7, "scenarios": 8}
    promoted = DecisionFigures.from_json(gains | gaps | net | counts | {"checks": sane})
    refused = DecisionFigures.from_json({"checks": [sane[0], sane[1] | peeks], "degraded": stays})
    night_before, first = last - dt.timedelta(days=1), DecisionFigures.from_json({"checks": sane})
    leak = ["look-ahead: slice 3 changes with bar 2"]
    return [
        make_decision(
            last, "promoted", "model-1", "model-1", ["first model", "sanity checks passed"], promoted, "model-0"
        ),
        make_decision(night_before, "kept", "model-0", "model-x", leak, refused, "model-0"),
        make_decision(dt.date(2023, 12, 31), "promoted", "model-0", "model-0", ["first model"], first),
    ]


def make_decision(
    date: dt.date,
    decision: Any,
    champion: str | None,
    candidate: str | None,
    reasons: list[str],
    figures: DecisionFigures,
    previous: str | None = None,
) -> PromotionRecord:
    """A decision about `crypto`."""
    return PromotionRecord("crypto", date, champion, candidate, previous, decision, reasons, figures)


def make_tape() -> pd.DataFrame:
    """Hourly bars of both assets over all days that orders reach into."""
    generator = np.random.default_rng(5)
    ts = pd.date_range("2024-01-01", periods=24 * 10, freq="h", tz="UTC")
    price = {asset: 100 * np.exp(np.cumsum(generator.normal(0, 0.005, len(ts)))) for asset in ASSETS}
    parts = [{"asset": a, "ts": ts, "vwap": price[a], "volume": 1 + generator.random(len(ts))} for a in ASSETS]
    return pd.concat(map(pd.DataFrame, parts), ignore_index=True)


def make_leaks() -> pd.DataFrame:
    """A leak panel without a leak."""
    rows = []
    for m, mean, most in ((1, 0.31, 0.357), (6, 0.22, 0.285), (12, 0.004, 0.0)):
        said = "zero" if m == 12 else "within the bound"
        figures = [m, "sigma", mean, mean - 0.05, mean + 0.05, 960, 60, most, said]
        rows.append(dict(zip(LEAK_SCHEMA.names, ["driftless", "as it trades", "", *figures], strict=True)))
    for sees, against, mean in (
        ("as it trades", "", 9.1),
        ("one bar early", "", 21.4),
        ("one bar late", "", 2.3),
        ("one bar early", "as it trades", 12.3),
        ("one bar late", "as it trades", -6.8),
    ):
        for m in (1, 6, 12):
            figures = [m, "bps", mean - m / 7, mean - 1.5, mean + 1.5, 8000, 14, math.nan, ""]
            rows.append(dict(zip(LEAK_SCHEMA.names, ["real", sees, against, *figures], strict=True)))
    return pd.DataFrame(rows)


def make_drift() -> pd.DataFrame:
    """Two features, one of which has drifted; gains and age as they should be."""
    nan = math.nan
    rows = [
        ("input", "volatility_ratio", 0.412, nan, nan, 0.31, 0.25, "drifted"),
        ("input", "day_sin", 0.013, nan, nan, 0.02, 0.25, "calendar, not judged"),
        ("gain", "Realised minus expected gain, bps", -1.24, -3.31, 0.83, nan, -5.0, ""),
        ("expectation", "Realised gain, bps", 7.9, nan, nan, nan, nan, ""),
        ("expectation", "Expected gain, bps", 9.14, nan, nan, nan, nan, ""),
        ("age", "Age of the champion, trading days", 17.0, nan, nan, nan, 16.0, "old"),
    ]
    return pd.DataFrame(rows, columns=DRIFT)


def make_champion() -> ModelRecord:
    """The model that trades, with a manifest of nested values."""
    return ModelRecord(
        id="model-1",
        universe="crypto",
        usable_on=dt.date(2024, 1, 1),
        train_start=dt.date(2023, 12, 1),
        train_end=dt.date(2023, 12, 20),
        weights_sha256="ab" * 32,
        weights_path="crypto/weights",
        code_version="0123abc",
        seed=7,
        manifest={
            "seed": 7,
            "inputs": [["bars", str(i)] for i in range(9)],
            "config": {"model": {"hidden": 32}},
            "weights_sha256": "ab" * 32,
        },
    )


def make_inputs(orders: pd.DataFrame, **changes: Any) -> ReportInputs:
    last = max(orders["date"])
    bars = {"expected": 24, "outage": 0, "in_outage": 0, "no_trades": 1, "duplicates": 0, "estimated_vwap": 2}
    gaps = ((last, 0), (dt.date(2024, 1, 1), 3))
    quality = pd.DataFrame(
        [
            {"asset": asset, "date": date, "received": 24 - gap, "missing": gap, **bars}
            for asset, (date, gap) in itertools.product(ASSETS, gaps)
        ]
    )
    steps = np.arange(0, 100, 10)
    curve = {
        "step": steps,
        "loss": -steps / 1e3,
        "gain_sigma": steps / 4e2,
        "learning_rate": 1e-3 + 0 * steps,
    }
    inputs = ReportInputs(
        universe="crypto",
        date=last,
        description="Two <coins> & more",
        horizon=12,
        bar="1h",
        orders=orders,
        costs=COSTS,
        risk_aversion=1.0,
        promotions=make_promotions(last),
        champion=make_champion(),
        training_curve=pd.DataFrame(curve),
        data_quality=quality,
        versions={"code": "0123abc", "torch": "2.9"},
        bootstrap=200,
        trained_to={"model-1": "2023-12-20", "model-0": "2023-12-10"},
        ages={f"2024-01-{day:02}": 10 + day for day in range(1, 9)},
        tape=make_tape(),
        leaks=make_leaks(),
        drift=make_drift(),
        quarantine=pd.DataFrame([{"asset": "BTC-USDT", "date": "2024-01-02", "problem": "high below low"}]),
        doubts=pd.DataFrame(
            [{"asset": "ETH-USDT", "date": "2024-01-02", "doubt": "the close jumps by a factor of 100"}]
        ),
        outages=pd.DataFrame(
            [{"start": "2024-01-03 01:00", "end": "2024-01-03 04:00", "assets": "all", "reason": "no bars"}]
        ),
    )
    return replace(inputs, **changes)


class Page(HTMLParser):
    """All elements with their attributes, and tables as rows of cells (titles of groups: rows of one cell); fails on
    tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[dict[str, Any]] = []
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "table":
            self.tables.append({"caption": "", "rows": [], "scopes": []})
        elif tag == "tr":
            self.tables[-1]["rows"].append([])
        elif tag in ("th", "td"):
            self.tables[-1]["rows"][-1].append("")
            if tag == "th":
                self.tables[-1]["scopes"].append(dict(attrs).get("scope"))
        elif tag == "small" and "table" in self.stack:
            self.tables[-1]["rows"][-1][-1] += "|"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if "caption" in self.stack:
            self.tables[-1]["caption"] += data
        elif "th" in self.stack or "td" in self.stack:
            self.tables[-1]["rows"][-1][-1] += data.strip()

    def table(self, caption: str) -> list[list[str]]:
        return next(table["rows"] for table in self.tables if table["caption"].startswith(caption))

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def text_of(html: str) -> str:
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).replace("&nbsp;", " ").replace("\xa0", " ").split())


def check_page(report: Report) -> Page:
    page = Page(report.html)
    assert page.count("h1") == 1
    assert ("html", {"lang": "en"}) in page.elements
    assert any(attrs.get("name") == "viewport" for tag, attrs in page.elements if tag == "meta")
    for table in page.tables:
        assert table["caption"], table
        assert set(table["scopes"]) - {"rowgroup"} == {"col", "row"}, table["caption"]
        titles = [row for row in table["rows"] if len(row) == 1]
        assert len(titles) == table["scopes"].count("rowgroup"), table["caption"]
        assert len({len(row) for row in table["rows"] if row not in titles}) == 1, table["caption"]
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    named = [attrs for tag, attrs in page.elements if tag == "svg"]
    for attrs in named:
        assert attrs["role"] == "img"
        assert set(str(attrs["aria-labelledby"]).split()) <= set(ids)
        assert "width" not in attrs
    assert page.count("figure") == page.count("figcaption") == len(named)
    for tag, attrs in page.elements:
        assert tag not in ("script", "link", "img", "iframe", "image"), tag
        for name, value in attrs.items():
            target = str(value)
            assert name != "src"
            if name in ("href", "xlink:href"):
                assert target.startswith("#")
                assert target[1:] in ids
            for reference in re.findall(r"url\(([^)]*)\)", target):
                assert reference.strip("'\"")[1:] in ids
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", report.html)
    assert "://" not in report.html.replace('xmlns="http://www.w3.org/2000/svg"', "")
    words = text_of(report.html)
    assert not re.search(r"\bnan\b|\bNone\b|Undefined", words)
    assert not (stuck := re.findall(r"\S+[a-z)]\.[A-Z]\S+", words)), f"no space between two sentences: {stuck}"
    json.dumps(report.summary, allow_nan=False)
    picture = Image.open(io.BytesIO(report.thumbnail))
    assert picture.format == "PNG"
    assert len(report.thumbnail) <= 40_000
    return page
