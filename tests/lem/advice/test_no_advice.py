"""Advice is not given on data that is not there, or without a model that may trade."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lem.advice.live_orders import LiveOrders
from lem.data.bars import TABLE_SCHEMA as BARS
from lem.data.bars import validate_bars
from lem.data.features import TABLE_SCHEMA as FEATURES
from lem.data.features import compute_features
from lem.errors import AdviceError, OrderError
from lem.lineage.quarantine import quarantine_path
from lem.model.lem import weights_hash
from lem.registry import PromotionRecord, Registry
from lem.sources import open_source
from lem.sources.base import RawBars
from lem.training.manifest import weights_path
from lem.universe.calendars import partition_dates, partition_window
from lem.universe.windows import history_dates
from tests.lem.advice.desk import DATE, NOON, Desk, buy, make_desk, panel_of

HOUR = dt.timedelta(hours=1)


class Cut:
    """A source that answers, and then has its answer changed."""

    def __init__(self, desk: Desk, change) -> None:
        self.source, self.change, self.asked = open_source(desk.universe, ""), change, 0

    def fetch(self, symbol, start, end) -> RawBars:
        self.asked += 1
        raw = self.source.fetch(symbol, start, end)
        return replace(raw, table=self.change(symbol, raw.table).reset_index(drop=True))

    def forget(self, symbol) -> None:
        self.source.forget(symbol)


def without(*hours: int):
    at = [pd.Timestamp(NOON) + pd.Timedelta(hour, "h") for hour in hours]
    return lambda symbol, table: table[~table["ts"].isin(at)] if symbol == "AAA-USD" else table


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        ((-1,), "^AAA-USD: the source does not have the bars from 2024-01-18 11:00 to .* 12:00 UTC yet .1 of 1h.; "),
        ((-5, -4), "^AAA-USD: no advice without bars up to 2024-01-18 12:00 UTC: .*missing bars: 2 from .* 07:00"),
        ((-5, -1), "missing bars: 1 from 2024-01-18 07:00"),
        ((-13,), "missing bars: 1 from 2024-01-17 23:00"),
        ((-30,), "missing bars: 1 from 2024-01-17 06:00"),
    ],
)
def test_a_late_bar_or_a_gap_gives_no_advice_but_says_what_is_missing(desk, clock, hours, message):
    advisor = desk.advisor(clock, Cut(desk, without(*hours)))
    advisor.submit(buy(desk.universe))
    advisor.submit(buy(desk.universe, "two", asset="BBB-USD"))
    with pytest.raises(AdviceError, match=f"(?s){message}"):
        advisor.advise("one")
    advised = advisor.advise()
    assert (list(advised.refused), [s.order_id for s in advised.slices]) == (["one"], ["two"]), "the others go on"
    assert advisor.order("one").status == "waiting"
    assert desk.advisor(clock).advise("one").slices[0].number == 1


def test_a_source_that_comes_late_is_asked_again(desk, clock):
    source = Cut(desk, without(-1))
    advisor = desk.advisor(clock, source)
    advisor.submit(buy(desk.universe))
    with pytest.raises(AdviceError, match="does not have the bars") as caught:
        advisor.advise("one")
    assert "outages" not in str(caught.value), "a bar that comes late is none that the venue never made"
    source.change = lambda symbol, table: table
    assert advisor.advise("one").slices[0].number == 1
    asked = source.asked
    clock.sleep(3600)
    advisor.advise("one")
    assert source.asked == asked + 1, "only the new bar"


def test_a_source_that_corrects_itself_is_asked_for_the_whole_day_again(desk, clock):
    source = Cut(desk, lambda symbol, table: table.assign(quote_volume=float("nan")))
    advisor = desk.advisor(clock, source)
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise("one")
    source.change = lambda symbol, table: table
    clock.sleep(3600)
    with pytest.raises(AdviceError, match="quote volume is there for all bars or for none"):
        advisor.advise("one")
    assert advisor.advise("one").slices[0].number == 2


def test_a_listed_outage_and_a_quarantined_day_give_no_advice(desk_of, clock):
    outage = {"start": "2024-01-18T11:00:00Z", "end": "2024-01-18T12:00:00Z", "reason": "down"}
    desk = desk_of(outages=[outage])
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    with pytest.raises(AdviceError, match="the bar of 2024-01-18 11:00 UTC lies in a listed outage"):
        advisor.advise("one")
    path = quarantine_path("tiny", dt.date(2024, 1, 17), "AAA-USD")
    desk.lake.write_bytes(path, b"broken")
    with pytest.raises(
        AdviceError, match=r"bars of 2024-01-17 are quarantined, see .*txt; repair them with: lem backfill"
    ):
        desk.advisor(clock).advise("one")


DAY_BEFORE = DATE - dt.timedelta(days=1)


def into_lake(desk: Desk, first: dt.date, volume: float = 1.0) -> None:
    """Bars of AAA-USD and their features, of `first` up to the day before DATE, as the night writes them."""
    universe, source = desk.universe, open_source(desk.universe, "")

    def bars(date: dt.date) -> pd.DataFrame:
        raw = source.fetch("AAA-USD", *partition_window(date)).table
        times = volume if date == DAY_BEFORE else 1.0
        raw = raw.assign(**{name: raw[name] * times for name in ("volume", "quote_volume")})
        return validate_bars(raw, universe, "AAA-USD", date).table

    for date in partition_dates(universe, first, DAY_BEFORE):
        past = pd.concat([bars(d) for d in history_dates(universe, date)])
        features = compute_features(past, bars(date), universe.features, universe.clock)
        for name, table, schema in (("bars", bars(date), BARS), ("features", features, FEATURES)):
            desk.lake.write_table(desk.lake.path(universe.name, name, date, "AAA-USD"), table, schema)


@pytest.mark.parametrize("before", [1, 2])
def test_a_day_that_is_quarantined_gives_no_advice_though_the_lake_has_its_tables_from_before(desk, clock, before):
    into_lake(desk, DATE - dt.timedelta(days=6))
    date = DATE - dt.timedelta(days=before)
    for bad in (date, DATE - dt.timedelta(days=5)):
        desk.lake.write_bytes(quarantine_path("tiny", bad, "AAA-USD"), b"broken")
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    with pytest.raises(AdviceError, match=rf"the bars of {date} are quarantined, see .*txt; .* --from {date} --to"):
        advisor.advise("one")
    desk.lake.remove(quarantine_path("tiny", date, "AAA-USD"))
    assert advisor.advise("one").slices, "of the other day nothing is read"


def test_a_day_that_is_quarantined_and_repaired_under_a_running_advisor_is_read_anew(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise("one")
    path = quarantine_path("tiny", DAY_BEFORE, "AAA-USD")
    desk.lake.write_bytes(path, b"broken")
    clock.sleep(3600)
    with pytest.raises(AdviceError, match="quarantined"):
        advisor.advise("one")
    into_lake(desk, DAY_BEFORE, volume=3.0)
    desk.lake.remove(path)
    assert advisor.advise("one").slices[0].number == 2
    fresh = desk.advisor(clock)
    fresh.refresh()
    contexts = [a.market.context(desk.model_id, DATE, "AAA-USD") for a in (advisor, fresh)]
    assert torch.equal(*contexts), "as if the process had been started now"


def test_without_a_champion_of_the_right_kind_and_age_there_is_no_advice(desk, clock):
    advisor, registry = desk.advisor(clock), Registry(desk.url)
    advisor.submit(buy(desk.universe))
    old = desk.universe.model_copy(update={"drift": desk.universe.drift.model_copy(update={"max_age": 2})})
    with pytest.raises(AdviceError, match=r"champion .* is 3 partitions old on 2024-01-18; allowed: 2"):
        replace(desk, universe=old).advisor(clock).advise("one")
    other = desk.universe.features.model_copy(update={"volume": 24})
    changed = desk.universe.model_copy(update={"features": other})
    with pytest.raises(AdviceError, match=f"model {desk.model_id} was trained with features"):
        replace(desk, universe=changed).advisor(clock).advise("one")
    registry.record_promotion(PromotionRecord("tiny", DATE, None, None, desk.model_id, "none"))
    with pytest.raises(
        AdviceError, match="tiny: no champion may trade on 2024-01-18; no advice: make one with lem night"
    ):
        advisor.advise("one")


def test_a_running_order_keeps_the_model_of_its_arrival(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise("one")
    Registry(desk.url).record_promotion(PromotionRecord("tiny", DATE, None, None, desk.model_id, "none"))
    clock.sleep(3600)
    assert desk.advisor(clock).advise("one").slices[0].model_id == desk.model_id


def test_an_order_longer_than_a_shortened_horizon_is_refused_alone(desk, clock):
    advisor = desk.advisor(clock)
    for key, bars in (("long", 6), ("short", 4)):
        advisor.submit(buy(desk.universe, key, min_bars=4, max_bars=bars))
    assert not advisor.advise().refused
    advisor.submit(buy(desk.universe, "waits", start=NOON + HOUR))
    clock.sleep(3600)
    shorter = replace(desk, universe=desk.universe.model_copy(update={"horizon": 4})).advisor(clock)
    advised = shorter.advise()
    assert [(s.order_id, s.number) for s in advised.slices] == [("short", 2)]
    assert sorted(advised.refused) == ["long", "waits"]
    for key, told in advised.refused.items():
        assert told.startswith(f"order {key} has max_bars 6; allowed: at most 4, the horizon in the universe file")
    with pytest.raises(AdviceError, match="order long has max_bars 6"):
        shorter.advise("long")
    back = {s.order_id: s.number for s in desk.advisor(clock).advise().slices}
    assert back == {"long": 2, "short": 2, "waits": 1}, "the horizon was put back"


def test_an_order_too_large_for_its_cap_is_refused_alone_and_says_how_large_it_may_be(desk, clock):
    advisor = desk.advisor(clock)
    orders = {key: buy(desk.universe, key, size=size) for key, size in (("a", 1.0), ("huge", 1e6), ("c", 2.0))}
    orders["cash"] = buy(desk.universe, "cash", size=1e9, target="notional")
    # Only an order that begins later than the next bar is taken on at such a size.
    orders = {key: replace(order, start=NOON + HOUR) for key, order in orders.items()}
    for order in orders.values():
        advisor.submit(order)
    clock.sleep(3600)
    advised = advisor.advise()
    assert {advice.order_id for advice in advised.slices} == {"a", "c"}
    assert set(advised.refused) == {"huge", "cash"}
    said = r"size of {} [(]{}[)], .* mean bar volumes; allowed: at most (.*), what the participation_cap of 0.1 .* in 6"
    for key, size, unit in (("huge", "1000000", "base quantity"), ("cash", "1000000000", "notional")):
        found = re.search(rf"^order {key}: live: .*" + said.format(size, unit), advised.refused[key])
        assert found, advised.refused[key]
        advisor.cancel(key)
        advisor.submit(replace(orders[key], id=f"{key}2", size=float(found[1])))
    assert {advice.order_id for advice in advisor.advise().slices} == {"a", "c", "huge2", "cash2"}


def test_an_order_that_trades_already_when_the_cap_comes_goes_on_under_it(desk, clock):
    """As one that a version without the cap took on: here the cap in the universe file was wider."""
    costs = desk.universe.costs.model_copy(update={"participation_cap": 1e6})
    wide = replace(desk, universe=desk.universe.model_copy(update={"costs": costs})).advisor(clock)
    panel = panel_of(desk, "AAA-USD")
    before_noon = np.searchsorted(panel.ts_T, np.datetime64(NOON.replace(tzinfo=None))) - 1
    size = float(panel.mean_volume_NT[0, before_noon])
    wide.submit(buy(desk.universe, size=size, min_bars=4, max_rate=0.3))
    first = wide.advise("one").slices[0]
    wide.total("one", NOON, 0.2 * size)
    assert first.share > 0
    advisor, shares = desk.advisor(clock), []
    for _ in range(5):
        clock.sleep(3600)
        shares.append(advisor.advise("one").slices[0].share)
    assert shares == pytest.approx([0.1] * 5)
    clock.sleep(3600)
    ended = advisor.advise("one").ended[0]
    assert (ended.status, ended.result.bars_used) == ("expired", 6)
    assert ended.result.filled_share == pytest.approx(0.7)


def test_an_order_that_the_model_cannot_decide_does_not_hold_up_the_others(desk, clock, monkeypatch):
    class Failing(LiveOrders):
        def open(self, orders, *rest, **named):
            if any(order.min_bars == 5 for order in orders):
                raise OrderError("live: sigma nan")
            return super().open(orders, *rest, **named)

    advisor = desk.advisor(clock)
    for key in "abcdefg":
        advisor.submit(buy(desk.universe, key, min_bars=5 if key in "bf" else 2))
    monkeypatch.setattr("lem.advice.deciding.LiveOrders", Failing)
    advised = advisor.advise()
    assert advised.refused == {key: f"order {key}: live: sigma nan; no advice on it" for key in "bf"}
    assert [s.order_id for s in advised.slices] == list("acdeg")
    assert {state.order.id: state.status for state in advisor.store.orders("tiny")} == {
        key: "waiting" if key in "bf" else "live" for key in "abcdefg"
    }


def test_an_order_whose_model_cannot_be_read_does_not_hold_up_the_others(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise()
    other = make_desk(desk.folder, desk.universe, seed=4)
    clock.sleep(3600)
    advisor.submit(buy(desk.universe, "two", start=NOON + HOUR))
    desk.lake.remove(weights_path("tiny", weights_hash(desk.model.weights())))
    advised = desk.advisor(clock).advise()
    assert [(s.order_id, s.model_id) for s in advised.slices] == [("two", other.model_id)]
    assert list(advised.refused) == ["one"]
    assert f"no advice without model {desk.model_id}" in advised.refused["one"]


def test_a_clock_that_goes_back_and_days_without_data_give_no_advice(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise("one")
    clock.set(NOON - HOUR)
    with pytest.raises(AdviceError, match="later than 2024-01-18 11:00: a clock went back"):
        advisor.advise("one")
    clock.set(dt.datetime(2024, 2, 1, tzinfo=dt.UTC))
    with pytest.raises(AdviceError, match="no bars are expected on 2024-02-01; allowed: 2024-01-01 to 2024-01-31"):
        advisor.advise("one")
