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
import pytest
from PIL import Image

from lem.backtest.bootstrap import EvaluationError
from lem.reports.plots import label
from lem.reports.report import Report, ReportInputs, block_days, number, render_report

VOID = {"meta", "br", "link", "img", "hr", "input"}


RULES = ("twap", "optimal_stopping")
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
            rows.append(
                {
                    **{"asset": asset, "date": arrival.date(), "arrival": arrival, "side": side},
                    **{"benchmark": benchmark, "target": target, "min_bars": m, "max_bars": 12},
                    **{"strategy": strategy, "model_id": "model-1" if strategy == "lem" else ""},
                    **{"status": "done", "reason": "", "gain_bps": gain, "gain_sigma": gain / 50},
                    **{
                        "gain_arrival_bps": gain,
                        "bound_bps": 12.0 - m,
                        "end_bar": 12 if strategy == "twap" else m,
                    },
                }
            )
    return pd.DataFrame(rows)


def exclude(orders: pd.DataFrame) -> pd.DataFrame:
    numbers = dict.fromkeys(["gain_bps", "gain_sigma", "gain_arrival_bps", "bound_bps"], math.nan)
    return orders.assign(**numbers, status="excluded", reason="outage within the horizon", end_bar=0)


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
    """All elements with their attributes, and tables as rows of cells; fails on tags that do not match."""

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
        assert set(table["scopes"]) == {"col", "row"}, table["caption"]
        assert len({len(row) for row in table["rows"]}) == 1, table["caption"]
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
    assert not re.search(r"\bnan\b|\bNone\b|Undefined", text_of(report.html))
    json.dumps(report.summary, allow_nan=False)
    picture = Image.open(io.BytesIO(report.thumbnail))
    assert picture.format == "PNG"
    assert len(report.thumbnail) <= 40_000
    return page


@pytest.fixture(scope="module")
def report() -> Report:
    return render_report(make_inputs(make_orders()))


def test_page_is_complete_semantic_and_needs_no_network(report: Report) -> None:
    page = check_page(report)
    assert page.count("svg") == 5
    sections = [str(attrs["id"]) for tag, attrs in page.elements if tag == "section"]
    assert " ".join(sections) == "summary gain distribution time ends model quality excluded versions glossary"
    words = text_of(report.html)
    assert "the most that any strategy could gain on a driftless random walk" in words
    assert "Positive is good everywhere" in words
    assert "Two &lt;coins&gt; &amp; more" in words
    assert words.index("Is the model better than TWAP?") < words.index("Gain by scenario and m An order")
    assert report.html.index("</table>") < report.html.index("<svg")


def test_same_inputs_give_the_same_bytes(report: Report) -> None:
    again = render_report(make_inputs(make_orders().sample(frac=1, random_state=3)))
    assert again.html == report.html
    assert again.thumbnail == report.thumbnail
    assert again.summary == report.summary
    assert again.table.to_csv() == report.table.to_csv()


def test_figures_on_the_page_are_those_of_the_csv_and_of_the_orders(report: Report) -> None:
    page = Page(report.html)
    csv = pd.read_csv(io.StringIO(report.table.to_csv(index=False)), keep_default_na=True, dtype={"min_bars": str})
    csv = csv.fillna({"against": ""})
    names = {label(strategy): strategy for strategy in ("lem", "optimal_stopping", "twap")}

    def printed(rows: pd.DataFrame) -> str:
        (row,) = rows.to_dict("records")
        return f"{number(row['mean_bps'])}|{number(row['low_bps'])} to {number(row['high_bps'])}"

    head, *body = page.table("Mean gain by scenario and m")
    assert len(body) == 24
    gains = csv[csv["against"] == ""]
    orders = make_orders()
    for scenario, m, *cells, bound in body:
        side, benchmark, target = scenario.lower().split()
        query = f"side == '{side}' and benchmark == '{benchmark}' and target == '{target}'"
        for name, cell in zip(head[2:-1], cells, strict=True):
            assert cell == printed(gains.query(f"{query} and min_bars == '{m}' and strategy == '{names[name]}'"))
            mean = orders.query(f"{query} and min_bars == {m} and strategy == '{names[name]}'")["gain_bps"].mean()
            assert cell.split("|")[0] == number(mean)
        assert bound == number(12.0 - int(m))

    head, *body = page.table("Model minus rule")
    assert [row[0] for row in body] == ["1", "6", "12", "all"]
    for m, *cells in body:
        for name, cell in zip(head[1:], cells, strict=True):
            level = "all" if m == "all" else "m"
            found = csv.query(f"level == '{level}' and min_bars == '{m}' and against == '{names[name]}'")
            assert cell.rpartition("|")[0] == printed(found)

    for name, gain, tail, hits in page.table("All executed orders")[1:]:
        (row,) = gains.query(f"level == 'all' and strategy == '{names[name]}'").to_dict("records")
        own = orders.loc[orders["strategy"] == names[name], "gain_bps"]
        assert gain.split("|")[0] == number(own.mean()) == number(row["mean_bps"])
        assert tail == number(own.nsmallest(math.ceil(len(own) / 20)).mean())
        assert hits == f"{number(100 * (own > 0).mean())}\xa0%"


def test_headline_figures_are_those_of_the_summary(report: Report) -> None:
    words = text_of(report.html)
    for found in report.summary["comparisons"]:
        gap = found["interval"]
        assert f"the model gained {number(abs(gap['mean']))} bps {'less' if gap['mean'] < 0 else 'more'}" in words
        assert f"{number(gap['low'])} to {number(gap['high'])} bps" in words
    assert "288 orders on 6 independent days." in words
    assert "the intervals are rough" in words
    assert "The promotion gate decided: promoted. Reasons: first model; sanity checks passed. Champion" in words


def test_manifest_is_flattened_and_long_lists_are_counted(report: Report) -> None:
    rows = Page(report.html).table("Manifest of the champion")[1:]
    assert rows[:3] == [["seed", "7"], ["inputs", "9 items"], ["config.model.hidden", "32"]]


def test_days_with_gaps_are_listed_and_the_others_are_not(report: Report) -> None:
    page = Page(report.html)
    assert [row[:4] for row in page.table("Days with missing bars")[1:]] == [
        ["BTC-USDT", "2024-01-01", "24", "21"],
        ["ETH-USDT", "2024-01-01", "24", "21"],
    ]
    assert page.table("Bars by asset")[1] == ["BTC-USDT", "48", "45", "3", "0", "2", "0"]


def test_only_rules_before_the_first_model() -> None:
    orders = make_orders(strategies=RULES)
    nothing: dict[str, Any] = {"promotions": [], "champion_manifest": None, "training_curve": None}
    report = render_report(make_inputs(orders, **nothing))
    check_page(report)
    words = text_of(report.html)
    assert report.summary["status"] == "no model"
    assert "In part: rules only." in words
    assert "There is no model yet." in words
    assert "The promotion gate has not decided anything yet." in words


def test_one_day_of_one_asset_has_means_and_no_intervals() -> None:
    report = render_report(make_inputs(make_orders(days=1, assets=("BTC-USDT",))))
    page = check_page(report)
    assert report.table["low_bps"].isna().all()
    assert all(cell.endswith("|no interval") for row in page.table("Mean gain by m")[1:] for cell in row[1:-1])
    assert "Too few days to say." in text_of(report.html)
    assert {found["verdict"] for found in report.summary["comparisons"]} == {"too few days to say"}


def test_all_orders_excluded() -> None:
    report = render_report(make_inputs(exclude(make_orders())))
    page = check_page(report)
    assert report.table.empty
    assert page.count("svg") == 1
    assert report.summary["status"] == "no orders"
    assert page.table("Orders not executed")[1] == [
        "outage within the horizon",
        "BTC-USDT",
        "144",
        "100.0\xa0%",
    ]
    assert "288 of 288 orders were not executed" in text_of(report.html)


def test_no_rows_at_all() -> None:
    orders = make_orders()
    inputs = make_inputs(orders)
    page = check_page(render_report(replace(inputs, orders=orders.iloc[:0], data_quality=inputs.data_quality.iloc[:0])))
    assert page.count("svg") == 1


def test_more_strategies_have_a_column_each() -> None:
    page = check_page(render_report(make_inputs(make_orders(strategies=("bang_bang", "twap", "lem")))))
    assert page.table("Mean gain by m")[0] == ["m", "LEM model", "TWAP", "Bang bang", "Bound"]


def test_orders_longer_than_a_day_make_longer_blocks() -> None:
    assert [block_days(*case) for case in ((12, "1h"), (24, "1h"), (25, "1h"), (12, "4h"), (12, "1d"))] == [
        1,
        1,
        2,
        2,
        12,
    ]
    report = render_report(make_inputs(make_orders(days=8), bar="4h"))
    assert report.summary["blocks"] == 4
    assert "4 independent blocks" in text_of(report.html)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-0.04, "0.0"), (-1.25, "−1.2"), (1234.5, "1,234.5"), (math.nan, "n/a"), (math.inf, "n/a")],
)
def test_numbers_are_printed_plainly(value: float, shown: str) -> None:
    assert number(value) == shown


def test_inputs_of_the_wrong_form_are_refused_by_name() -> None:
    inputs = make_inputs(make_orders())
    with pytest.raises(EvaluationError, match=r"data quality table: missing column\(s\) outage"):
        render_report(replace(inputs, data_quality=inputs.data_quality.drop(columns="outage")))
    with pytest.raises(EvaluationError, match=r"training curve: missing column\(s\) loss"):
        render_report(
            replace(inputs, training_curve=pd.DataFrame({"step": [1], "gain_sigma": [1], "learning_rate": [1]}))
        )
