"""The page is made of its CSV files alone: read back, they give every table and every picture again."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest

from lem.reports.figures import Picture
from lem.reports.frontier import frontier
from lem.reports.grids import overall
from lem.reports.nightly import csv_bytes
from lem.reports.report import Report, with_rows
from lem.reports.section import Section
from lem.reports.sections import sections
from lem.reports.tables import RIVALS
from lem.reports.wording import number
from tests.lem.reports.pages import Page, make_inputs, make_orders, text_of

NUMBER = re.compile(r"(?<![\w.:-])[−+-]?\d[\d,]*(?:\.\d+)?(?![\w:]|-\d)")
TEXT = {"group": str, "hour": str, "rule": str, "reasons": str, "problem": str, "model_id": str}


@pytest.fixture(scope="module")
def read(report: Report) -> dict[str, pd.DataFrame]:
    """All CSV files, read back; `report` is that of the statistics."""
    found = {name: read_csv(csv_bytes(table)) for name, table in report.tables.items()}
    statistics = read_csv(csv_bytes(report.table))
    whole = statistics["min_bars"].astype(str)
    statistics["min_bars"] = [int(m) if m.isdecimal() else m for m in whole]
    return found | {"report": statistics}


def read_csv(data: bytes) -> pd.DataFrame:
    table = pd.read_csv(io.BytesIO(data), dtype=TEXT, float_precision="round_trip")
    for name in ("arrival", "ts"):
        if name in table:
            table[name] = pd.to_datetime(table[name], utc=True)
    words = [name for name in table.columns if table[name].dtype in ("object", "str")]
    return table.fillna(dict.fromkeys([*words, "verdict", "against", "promoted", "trained_to"], ""))


def own(section: Section, read: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The section's own tables."""
    return {name: read[name] for name in section.rows}


def cells(grid) -> list[list[str]]:
    """A grid as `Page` reads it off the page."""
    rows: list[list[str]] = [grid.head]
    for at, row in enumerate(grid.rows):
        if at in grid.groups:
            rows.append([grid.groups[at]])
        rows.append(row)
    return [["|".join(part.strip() for part in cell.split("\n")) for cell in row] for row in rows]


def test_every_table_on_the_page_is_recomputed_from_the_csv(report: Report, read: dict[str, pd.DataFrame]) -> None:
    inputs, statistics = make_inputs(make_orders()), read["report"]
    grids = {"overall": overall(statistics)}
    for section in sections().values():
        grids |= section.grids(inputs, statistics, own(section, read))
    grids = with_rows(grids)
    shown = {table["caption"]: table["rows"] for table in Page(report.html).tables}
    assert set(shown) == {grid.caption for grid in grids.values()}
    for name, grid in grids.items():
        assert shown[grid.caption] == cells(grid), name
    assert len(shown) >= 30


def test_every_picture_on_the_page_is_drawn_again_from_the_csv(report: Report, read: dict[str, pd.DataFrame]) -> None:
    pictures: dict[str, Picture] = frontier(read["report"])
    for section in sections().values():
        pictures |= section.pictures(read["report"], own(section, read))
    assert len(pictures) == Page(report.html).count("svg")
    for name, picture in pictures.items():
        assert picture.svg in report.html, name
        assert picture.caption in report.html


def test_every_figure_of_the_first_screen_is_in_the_csv_or_was_asked_for(
    report: Report, read: dict[str, pd.DataFrame]
) -> None:
    words = text_of(report.html)
    first = words[words.index("What does the model keep after costs?") : words.index("All executed orders")]
    statistics = read["report"]
    pooled = statistics[statistics["level"] == "all"]
    columns = ["mean_bps", "low_bps", "high_bps", "std_bps", "cvar5_bps", "orders", "blocks"]
    columns += ["worth_mean_bps", "worth_low_bps", "worth_high_bps"]
    known = {number(abs(value)) for value in pooled[columns].to_numpy().ravel()}
    known |= {number(value) for value in pooled[columns].to_numpy().ravel()}
    known |= {f"{int(value):,}" for value in pooled[["orders", "blocks"]].to_numpy().ravel()} | {"95"}
    drift = read["drift"]
    known |= {f"{value:.{digits}f}" for value in drift[["value", "threshold"]].stack() for digits in (0, 1, 2)}
    costs = report.summary["costs"]
    known |= {f"{costs['fee_bps']:g}", f"{costs['half_spread_bps']:g}", f"{100 * costs['order_size']:g}"}
    known |= {str(report.summary["compared"]), f"{report.summary['risk_aversion']:g}"}
    gaps = [name for name in read["gate"] if name.startswith("worth_minus_rule")]
    known |= {number(value) for value in read["gate"][gaps].to_numpy().ravel()}
    known |= {str(m) for m in (15, 5)} | set(NUMBER.findall(report.summary["capacity_text"]))
    unknown = [figure for figure in NUMBER.findall(first) if figure not in known]
    assert not unknown, first


def test_figures_of_the_sections_are_those_of_the_csv_by_hand(report: Report, read: dict[str, pd.DataFrame]) -> None:
    page, statistics = Page(report.html), read["report"]
    own = statistics[(statistics["strategy"] == "lem") & (statistics["costs"] == "off") & (statistics["against"] == "")]
    for row, (_, found) in zip(
        page.table("By asset")[1:], own[own["level"] == "asset"].sort_values("group").iterrows(), strict=True
    ):
        assert row[0] == found["group"]
        gap = statistics[(statistics["level"] == "asset") & (statistics["group"] == row[0])]
        (gap,) = gap[(gap["costs"] == "on") & (gap["against"] == RIVALS[0])].to_dict("records")
        assert row[3].startswith(f"{number(gap['mean_bps'])}|{number(gap['low_bps'])} to {number(gap['high_bps'])}|")
        assert row[1] == f"{number(found['mean_bps'])}|{number(found['low_bps'])} to {number(found['high_bps'])}"
        assert row[4:] == [f"{found['orders']:,}", str(found["blocks"])]
    orders = make_orders()
    fixed = page.table("Mean gain before costs against other prices")[1]
    mine = orders[orders["strategy"] == "lem"]
    columns = ["gain_bps", "gain_arrival_bps", "gain_full_vwap_bps", "gain_full_twap_bps"]
    assert fixed == ["LEM model", *(number(mine[name].mean()) for name in columns)]
    gate = page.table("Decisions of the gate")
    rule = "4.0|7.8 before|Optimal with costs and risk"
    assert gate[1][4:9] == ["5.1|9.1 before", "4.5|8.5 before", rule, "0.7|−0.1 to 1.5", "1.2|0.4 to 2.1"]
    assert gate[2][1:4] == ["Champion stays", "model-1", "model-x"]
    leaks = page.table("Driftless market")
    assert leaks[1][:4] == ["1", "0.310|0.260 to 0.360", "0.357", "within the bound"]
    early = next(row for row in page.table("Real bars") if row[0] == "One bar early, minus as it trades")
    assert early[1] == f"{number(12.3 - 1 / 7)}|10.8 to 13.8"
    assert page.table("Gains and age")[1][1] == "−1.2|−3.3 to 0.8"
    assert page.table("Inputs")[1] == ["volatility_ratio", "0.41", "0.31", "0.25", "drifted"]
    (model,) = page.table("Models that executed these orders")[1:]
    after = mine["net_gain_bps"].mean()
    against = orders.loc[orders["strategy"] == RIVALS[0], "net_gain_bps"].mean()
    assert (model[7].split("|")[0], *model[8:]) == (
        number(after),
        number(after - against),
        number(mine["gain_bps"].mean()),
    )
    assert model[:7] == ["model-1", "2023-12-31", "2023-12-20", "2024-01-01", "2024-01-06", "6", "288"]
