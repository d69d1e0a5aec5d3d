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
from lem.backtest.config import CostsConfig
from lem.backtest.costs import capacity
from lem.backtest.orders_table import RULES
from lem.reports.grids import BOUNDS, WHEN
from lem.reports.report import Report, ReportInputs, block_days, render_report
from lem.reports.tables import NUMBERS
from lem.reports.wording import label, number, percent, size

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
    assert page.count("svg") == 8
    sections = [str(attrs["id"]) for tag, attrs in page.elements if tag == "section"]
    assert " ".join(sections) == "summary gain costs distribution time ends model quality excluded versions glossary"
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
    names = {label(strategy): strategy for strategy in STRATEGIES}
    orders = make_orders()

    def printed(rows: pd.DataFrame) -> str:
        (row,) = rows.to_dict("records")
        return f"{number(row['mean_bps'])}|{number(row['low_bps'])} to {number(row['high_bps'])}"

    for costs, when in WHEN.items():
        gain = {"off": "gain_bps", "on": "net_gain_bps"}[costs]
        own = csv[(csv["costs"] == costs) & (csv["against"] == "")]
        head, *body = page.table(f"Mean gain by scenario and m {when}")
        assert head == ["m =", "1", "6", "12"]
        assert len(body) == 8 * (1 + len(STRATEGIES) + 2)
        query = ""
        for name, *cells in body:
            if not cells:
                side, benchmark, target = name.lower().split()
                query = f"side == '{side}' and benchmark == '{benchmark}' and target == '{target}'"
                continue
            for m, cell in zip(head[1:], cells, strict=True):
                if name in names:
                    assert cell == printed(own.query(f"{query} and min_bars == '{m}' and strategy == '{names[name]}'"))
                    mean = orders.query(f"{query} and min_bars == {m} and strategy == '{names[name]}'")[gain].mean()
                    assert cell.split("|")[0] == number(mean)
                else:
                    assert cell == number({"Bound, driftless": 12.0, "Bound, foresight": 100.0}[name] - int(m))

        assert [row[0] for row in page.table(f"Mean gain by m {when}")[1:]] == [*names, *BOUNDS.values()]
        head, *body = page.table(f"Model minus rule {when}")
        assert head == ["m", *map(label, STRATEGIES[1:])]
        assert [row[0] for row in body] == ["1", "6", "12", "all"]
        for m, *cells in body:
            for name, cell in zip(head[1:], cells, strict=True):
                level = "all" if m == "all" else "m"
                found = csv.query(f"level == '{level}' and min_bars == '{m}' and against == '{names[name]}'")
                assert cell.rpartition("|")[0] == printed(found[found["costs"] == costs])

        groups = [row[0] for row in page.table(f"Gain of single orders {when}") if len(row) == 1]
        assert groups == list(names)
        (row,) = own.query("level == 'all' and strategy == 'lem'").to_dict("records")
        first = page.table(f"Gain of single orders {when}")[2]
        assert first[0] == "all"
        assert (first[1], first[7], first[8]) == (
            number(row["mean_bps"]),
            number(row["cvar5_bps"]),
            percent(row["hit_rate"]),
        )
        assert page.table(f"Mean bars used {when}")[3][1] == {"off": "12.0", "on": "12.0"}[costs]
        assert page.table(f"Mean bars used {when}")[1][1] == {"off": "1.0", "on": "2.0"}[costs]

    body = page.table("All executed orders")[1:]
    assert [row[0] for row in body] == [*names, *BOUNDS.values()]
    for name, before, after, tail in body[:-2]:
        gains = orders.loc[orders["strategy"] == names[name]]
        assert before.split("|")[0] == number(gains["gain_bps"].mean())
        assert after.split("|")[0] == number(gains["net_gain_bps"].mean())
        assert tail == number(gains["net_gain_bps"].nsmallest(math.ceil(len(gains) / 20)).mean())
    assert [row[1] for row in body[-2:]] == [number(12 - 19 / 3), number(100 - 19 / 3)]


def test_what_costs_take_adds_up_from_the_gain_before_to_the_gain_after() -> None:
    orders = make_orders()
    page = Page(render_report(make_inputs(orders)).html)
    body = page.table("What costs take")[1:]
    assert [row[0] for row in body] == [label(strategy) for strategy in STRATEGIES]
    model = orders[orders["strategy"] == "lem"]
    for shown, exact in zip(
        body[0][1:],
        (
            model["gain_bps"].mean(),
            -0.25 / 3,
            -1.5,
            (model["net_gain_bps"] - model["capped_gain_bps"]).mean() + 1.5,
            model["net_gain_bps"].mean(),
        ),
        strict=True,
    ):
        assert shown == number(exact)


def test_capacity_on_the_page_is_that_of_the_orders(report: Report) -> None:
    page, orders = Page(report.html), make_orders()
    head, *body = page.table("Order size at which the mean gain is gone")
    assert head == ["m =", "1", "6", "12", "all"]
    assert [row[0] for row in body] == [label(strategy) for strategy in STRATEGIES]
    for m, cell in zip((1, 6, 12, None), body[0][1:], strict=True):
        own = orders[(orders["strategy"] == "lem") & ((orders["min_bars"] == m) | (m is None))]
        assert cell == size(capacity(own["capped_gain_bps"], own["net_gain_bps"], COSTS))
    assert report.summary["capacity"] > 0
    assert report.summary["capacity_text"].replace("\N{NO-BREAK SPACE}", " ") in text_of(report.html)


def test_costs_are_told_in_words_on_the_first_screen_and_in_full_below(report: Report) -> None:
    words = text_of(report.html)
    first = words.index("a fee of 1 bps and half a spread of 0.5 bps on every fill, and impact for orders of 20 %")
    assert words.index("What is left after costs?") < first < words.index("Gain by scenario and m An order")
    rows = dict(Page(report.html).table("Costs assumed")[1:])
    assert set(rows) == {"Fee", "Half spread", "Impact", "Order size", "Participation cap"}
    assert "needs at least 2 of its 12 bars" in rows["Participation cap"]
    assert report.summary["costs"] == COSTS.model_dump()


def test_without_impact_there_is_no_limit_to_the_size_and_nothing_infinite_in_the_json() -> None:
    orders = make_orders()
    free = CostsConfig(fee_bps=0.0, half_spread_bps=0.0, impact=0.0, participation_cap=1.0)
    report = render_report(make_inputs(orders.assign(net_gain_bps=orders["capped_gain_bps"]), costs=free))
    page = check_page(report)
    assert page.table("Order size at which the mean gain is gone")[1][-1] == "no limit"
    assert report.summary["capacity"] is None
    assert "Without impact the gain does not depend on the order size." in text_of(report.html)
    assert dict(page.table("Costs assumed")[1:])["Impact"] == "Not charged."


def test_headline_figures_are_those_of_the_summary(report: Report) -> None:
    words = text_of(report.html)
    for found in report.summary["comparisons"]:
        gap = found["interval"]
        assert f"the model gained {number(abs(gap['mean']))} bps {'less' if gap['mean'] < 0 else 'more'}" in words
        assert f"{number(gap['low'])} to {number(gap['high'])} bps" in words
        net = found["net_interval"]
        said = f"{found['net_verdict']}, {number(abs(net['mean']))} bps {'less' if net['mean'] < 0 else 'more'}"
        assert f"After costs: {said} ({number(net['low'])} to {number(net['high'])} bps)." in words
    left = report.summary["net_gain"]
    assert f"{number(left['mean'])} bps per order, of {number(report.summary['gain']['mean'])} before." in words
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
    assert all(cell.endswith("|no interval") for row in page.table("Mean gain by m")[1:-2] for cell in row[1:])
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


def test_more_strategies_have_a_row_each() -> None:
    page = check_page(render_report(make_inputs(make_orders(strategies=("another_rule", "twap", "lem")))))
    rows = [row[0] for row in page.table("Mean gain by m")[1:]]
    assert rows == ["LEM model", "TWAP", "Another rule", "Bound, driftless", "Bound, foresight"]


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
