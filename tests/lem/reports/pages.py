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

from lem.backtest.config import CostsConfig
from lem.backtest.orders_table import RULES
from lem.reports.report import Report, ReportInputs
from lem.reports.tables import NUMBERS

VOID = {"meta", "br", "link", "img", "hr", "input"}
STRATEGIES = ("lem", "optimal_stopping", "twap", "twap_to_m", "volume_curve", "bang_bang")
COSTS = CostsConfig()
ASSETS = ("BTC-USDT", "ETH-USDT")


def make_orders(
    days: int = 6, assets: tuple[str, ...] = ASSETS, strategies: tuple[str, ...] = (*RULES, "lem")
) -> pd.DataFrame:
    generator, rows = np.random.default_rng(0), []
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
                    **{"strategy": strategy, "model_id": "model-1" if strategy == "lem" else ""},
                    **{"status": "done", "reason": "", "sigma_bps": 50.0, "gain_bps": gain, "gain_arrival_bps": gain},
                    **{"capped_gain_bps": capped, "net_gain_bps": capped - 4 - generator.random()},
                    **{"bound_bps": 12.0 - m, "oracle_bps": 100.0 - m, "end_bar": 12 if strategy == "twap" else m},
                    **{"net_end_bar": 12 if strategy == "twap" else max(m, 2)},
                }
            )
    return pd.DataFrame(rows)


def exclude(orders: pd.DataFrame) -> pd.DataFrame:
    numbers = dict.fromkeys(NUMBERS, math.nan)
    return orders.assign(**numbers, status="excluded", reason="outage within the horizon", end_bar=0, net_end_bar=0)


def make_inputs(orders: pd.DataFrame, **changes: Any) -> ReportInputs:
    last = max(orders["date"])
    bars = {"expected": 24, "outage": 0, "no_trades": 1, "duplicates": 0}
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
        promotions=[
            {
                **{"date": last, "decision": "promoted", "champion_id": "model-1", "candidate_id": "model-1"},
                **{"reasons": ["first model.", "sanity checks passed."], "figures": {"difference_bps": 1.25}},
            }
        ],
        champion_manifest={
            "seed": 7,
            "inputs": [["bars", str(i)] for i in range(9)],
            "config": {"model": {"hidden": 32}},
            "weights_sha256": "ab" * 32,
        },
        training_curve=pd.DataFrame(curve),
        data_quality=quality,
        versions={"code": "0123abc", "torch": "2.9"},
        bootstrap=200,
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
        elif tag == "small":
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
