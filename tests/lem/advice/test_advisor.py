"""Advice is what the backtest would have done, is given once, and is not given on data that is not there."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lem.advice.order import ParentOrder
from lem.backtest.market import market_of
from lem.backtest.simulator import simulate
from lem.bars import validate_bars
from lem.calendars import partition_window
from lem.errors import AdviceError, OrderError, OrderStateError, UnknownOrderError
from lem.execution import Terms, terms_of_orders
from lem.features import compute_features
from lem.orders import SCENARIOS
from lem.panel import Panel, panel_table
from lem.quarantine import quarantine_path
from lem.registry import PromotionRecord, Registry
from lem.sources import open_source
from lem.sources.base import RawBars
from lem.strategies.learned import Learned
from lem.windows import execution_dates, history_dates
from tests.conftest import ROOT
from tests.lem.advice.desk import DATE, HOURLY, NOON, Desk, StoppedClock, buy, make_desk
from tests.lem.builders import random_order

HOUR = dt.timedelta(hours=1)


_PANELS: dict[str, Panel] = {}


def panel_of(desk: Desk, symbol: str) -> Panel:
    """The features of the backtest of DATE, made once, of whole days as the night makes them."""
    if symbol not in _PANELS:
        _PANELS[symbol] = whole_days(desk, symbol)
    return _PANELS[symbol]


def whole_days(desk: Desk, symbol: str) -> Panel:
    universe, source = desk.universe, open_source(desk.universe, "")

    def bars(date: dt.date) -> pd.DataFrame:
        return validate_bars(source.fetch(symbol, *partition_window(date)).table, universe, symbol, date).table

    tables = []
    for date in execution_dates(universe, DATE):
        past = pd.concat([bars(d) for d in history_dates(universe, date)])
        tables.append(compute_features(past, bars(date), universe.features, universe.bars_per_day))
    return Panel.from_table(panel_table({symbol: pd.concat(tables, ignore_index=True)}))


def backtest(desk: Desk, order: ParentOrder) -> tuple[list[float], int, float]:
    """Slices, bars used and gain (bps) of the simulator with the strategy `lem`."""
    panel = panel_of(desk, order.asset)
    bar = np.searchsorted(panel.ts_T, np.datetime64(order.start.replace(tzinfo=None)))
    terms, head = terms_of_orders([order.order])
    columns = {name: getattr(terms, name)[:, None, None] for name in Terms.__dataclass_fields__}
    every, _ = terms_of_orders([replace(order.order, scenario=scenario) for scenario in SCENARIOS])
    columns |= {name: getattr(every, name) for name in ("sign_O", "vwap_O", "notional_O")}
    market = market_of(panel, np.array([0]), np.array([bar]), desk.universe.horizon, desk.model)
    done = simulate(Learned(desk.model), market, Terms(**columns))
    place = 0, 0, int(head[0])
    used = int(done.end_bar_O[place])
    return done.slices_KO[:used, *place].tolist(), used, 1e4 * float(done.gain_O[place])


def run_to_the_end(desk: Desk, clock: StoppedClock, restart_every: int = 0) -> dict[str, list[float]]:
    """Advise bar by bar until no order is open; the shares that were advised for each."""
    advisor, shares, bars = desk.advisor(clock), dict[str, list[float]](), 0
    while advisor.store.booked(desk.universe.name):
        if restart_every and bars % restart_every == 0:
            advisor = desk.advisor(clock)
        advised = advisor.advise()
        assert advised.refused == {}
        for advice in advised.slices:
            shares.setdefault(advice.order_id, []).append(advice.share)
        clock.sleep(3600)
        bars += 1
    return shares


@settings(deadline=None, max_examples=3, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_advice_is_what_the_backtest_did_on_the_same_bars_and_over_midnight(seed, desk, tmp_path_factory):
    desk = make_desk(tmp_path_factory.mktemp("desk"), desk.universe, seed=seed % 997)
    rng, clock = np.random.default_rng(seed), StoppedClock(NOON + 5 * HOUR)
    orders, advisor = [], desk.advisor(clock)
    for n in range(12):
        start = NOON + int(rng.integers(5, 12)) * HOUR
        asset = desk.universe.symbols[rng.integers(2)]
        terms = random_order(rng, desk.universe.horizon)
        orders.append(ParentOrder(f"o{n}", "tiny", asset, terms, float(rng.random()) * 100 + 1, start))
        advisor.submit(orders[-1])
    shares = run_to_the_end(desk, clock, restart_every=int(rng.choice([0, 5])))
    for order in orders:
        slices, used, gain = backtest(desk, order)
        state = advisor.order(order.id)
        assert state.status == "finished"
        assert state.bars_used == used == len(shares[order.id])
        assert shares[order.id] == pytest.approx(slices, abs=1e-5)
        assert state.gain_bps == pytest.approx(gain, abs=0.05)


def test_a_slice_is_never_advised_twice(desk, clock):
    one = desk.advisor(clock)
    one.submit(buy(desk.universe, min_bars=6))
    first = one.advise("one").slices[0]
    clock.sleep(1800)
    for advisor in (one, desk.advisor(clock)):
        again = advisor.advise("one").slices[0]
        assert again == replace(first, repeated=True)
    assert (first.number, first.reason, first.amount) == (1, "pace", pytest.approx(100 * first.share))
    assert (first.bar, first.as_of, first.repeated) == (NOON, NOON, False)
    assert first.benchmark_price is first.gain_bps is None
    clock.sleep(1800)
    second = one.advise("one").slices[0]
    assert (second.bar, second.number, second.remaining) == (NOON + HOUR, 2, pytest.approx(100 - first.amount))
    panel = panel_of(desk, "AAA-USD")
    bar = np.searchsorted(panel.ts_T, np.datetime64(NOON.replace(tzinfo=None)))
    assert second.benchmark_price == pytest.approx(panel.vwap_NT[0, bar])
    assert [advice.number for advice in one.history("one")] == [1, 2]


def test_an_order_waits_for_its_start_and_the_same_order_may_be_sent_again(desk, clock):
    advisor, order = desk.advisor(clock), buy(desk.universe, start=NOON + HOUR / 2)
    assert [advisor.submit(order)[1] for _ in range(2)] == [True, False]
    assert advisor.advise().waiting == {"one": order.start}
    clock.sleep(3600)
    assert advisor.advise().slices[0].bar == NOON + HOUR
    with pytest.raises(OrderStateError, match=r"another order of this id .*100 AAA-USD"):
        advisor.submit(replace(order, size=5.0))


def test_bars_that_nobody_asked_about_count_with_nothing_filled(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6, max_rate=0.4))
    first = advisor.advise("one").slices[0]
    clock.sleep(3 * 3600)
    now = advisor.advise("one").slices[0]
    assert (now.number, now.remaining) == (4, pytest.approx(100 - first.amount))
    assert [advice.reason for advice in advisor.history("one")] == ["pace", "missed", "missed", "pace"]
    clock.sleep(5 * 3600)
    ended = advisor.advise("one").ended[0]
    assert (ended.status, ended.bars_used) == ("expired", 6)
    assert ended.filled == pytest.approx(first.share + now.share)


def test_what_was_filled_counts_in_place_of_what_was_advised(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6, max_rate=0.3))
    first = advisor.advise("one").slices[0]
    assert advisor.fill("one", NOON, 5.0).filled == 5.0
    assert advisor.fill("one", NOON, 4.0).filled == 4.0
    for amount in (-1.0, 100.1):
        with pytest.raises(OrderError, match=r"amount .*; allowed: 0 to 100"):
            advisor.fill("one", NOON, amount)
    clock.sleep(3600)
    second = desk.advisor(clock).advise("one").slices[0]
    assert second.remaining == pytest.approx(96.0) != pytest.approx(100 - first.amount)
    with pytest.raises(OrderStateError, match="not its last one; allowed: 2024-01-18T13:00:00Z"):
        advisor.fill("one", NOON, 5.0)
    for hour in range(2, 6):
        advisor.fill("one", NOON + (hour - 1) * HOUR, 0.0)
        clock.sleep(3600)
        last = advisor.advise("one").slices[0]
    assert (last.finish, last.reason, last.share) == (True, "last_bar", pytest.approx(0.3)), "the cap stands"
    clock.sleep(3600)
    ended = advisor.advise("one").ended[0]
    assert (ended.status, ended.filled) == ("expired", pytest.approx(0.04 + 0.3))
    with pytest.raises(OrderStateError, match="is expired"):
        advisor.fill("one", last.bar, 1.0)


def test_a_fill_of_all_that_is_left_ends_an_order_that_may_end(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=1, max_rate=0.5))
    assert not advisor.advise("one").slices[0].finish
    advisor.fill("one", NOON, 100.0)
    clock.sleep(3600)
    advised = advisor.advise()
    assert (advised.slices, advised.ended[0].status, advised.ended[0].filled) == ([], "finished", 1.0)


def test_a_cancelled_order_gets_no_more_slices(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    assert [advisor.cancel("one").status for _ in range(2)] == ["cancelled", "cancelled"]
    assert advisor.advise().slices == []
    with pytest.raises(OrderStateError, match="order one is cancelled; allowed: advice on one that is open"):
        advisor.advise("one")
    with pytest.raises(UnknownOrderError, match="no order 'two'"):
        advisor.cancel("two")


class Cut:
    """A source that answers, and then has its answer changed."""

    def __init__(self, desk: Desk, change) -> None:
        self.source, self.change, self.asked = open_source(desk.universe, ""), change, 0

    def fetch(self, symbol, start, end) -> RawBars:
        self.asked += 1
        raw = self.source.fetch(symbol, start, end)
        return replace(raw, table=self.change(symbol, raw.table).reset_index(drop=True))


def without(*hours: int):
    at = [pd.Timestamp(NOON) + pd.Timedelta(hour, "h") for hour in hours]
    return lambda symbol, table: table[~table["ts"].isin(at)] if symbol == "AAA-USD" else table


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        ((-1,), "AAA-USD: no advice without bars up to 2024-01-18 12:00 UTC: .*missing bars: 1 from 2024-01-18 11:00"),
        ((-5, -4), "missing bars: 2 from 2024-01-18 07:00 to 2024-01-18 09:00"),
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
    with pytest.raises(AdviceError, match="missing bars"):
        advisor.advise("one")
    source.change = lambda symbol, table: table
    assert advisor.advise("one").slices[0].number == 1
    asked = source.asked
    clock.sleep(3600)
    advisor.advise("one")
    assert source.asked == asked + 1, "only the new bar"


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
        AdviceError, match="tiny: no champion may trade on 2024-01-18; no advice: make one with lem run"
    ):
        advisor.advise("one")


def test_a_running_order_keeps_the_model_of_its_arrival(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise("one")
    Registry(desk.url).record_promotion(PromotionRecord("tiny", DATE, None, None, desk.model_id, "none"))
    clock.sleep(3600)
    assert desk.advisor(clock).advise("one").slices[0].model_id == desk.model_id


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"asset": "DOGE"}, "asset 'DOGE'; allowed: AAA-USD, BBB-USD"),
        ({"max_bars": 7}, "max_bars 7; allowed: at most 6"),
        ({"start": NOON - HOUR}, "start 2024-01-18T11:00:00Z; allowed: from 2024-01-18T12:00:00Z"),
        ({"start": NOON + 400 * 24 * HOUR}, "start 2025"),
        ({"size": float("nan")}, "size nan; allowed: more than 0"),
        ({"size": 1e300}, "size 1e[+]300; allowed"),
        ({"key": "../x"}, "id '../x'; allowed: 1 to 64 letters"),
        ({"key": "é"}, r"id '\\xe9'; allowed"),
        ({"side": "hold"}, "side 'hold'; allowed: buy, sell"),
        ({"max_rate": 0.1}, "max_rate 0.1 over max_bars 6"),
    ],
)
def test_an_order_that_could_never_be_advised_on_names_field_and_what_is_allowed(desk, clock, changes, message):
    with pytest.raises(OrderError, match=message):
        desk.advisor(clock).submit(buy(desk.universe, **changes))
    assert desk.advisor(clock).store.orders("tiny") == []


ASKER = """
import datetime as dt, os, signal, sys, pathlib
from lem.advice import store as stored
from lem.advice.advisor import Advisor
from lem.universe import load_universe
from tests.lem.advice.desk import Desk, StoppedClock
folder, hour, kill = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
desk = Desk(folder, load_universe(folder / "universes" / "tiny.toml"), None, "")
advisor = desk.advisor(StoppedClock(dt.datetime(2024, 1, 18, 12, tzinfo=dt.UTC) + hour * dt.timedelta(hours=1)))
if kill:
    def killed(table):
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(stored, kill, killed)
print("ready", flush=True)
sys.stdin.readline()
advised = advisor.advise()
print(len(advised.slices), sum(s.repeated for s in advised.slices), sum(s.share for s in advised.slices))
"""


def asker(desk: Desk, hour: int, kill: str = "") -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ASKER, str(desk.folder), str(hour), kill]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def test_of_two_processes_that_ask_at_once_one_decides_and_both_answer_the_same(desk, clock, tiny_keys, write_universe):
    write_universe(desk.folder / "universes", tiny_keys(**HOURLY))
    for n in range(20):
        desk.advisor(clock).submit(buy(desk.universe, f"o{n}", min_bars=6))
    with asker(desk, 0) as one, asker(desk, 0) as two:
        for process in (one, two):
            assert process.stdout.readline() == "ready\n"
        for process in (one, two):
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.stdout.readline().split() for process in (one, two)]
    assert [answer[0] for answer in answers] == ["20", "20"]
    assert sorted(int(answer[1]) for answer in answers) == [0, 20]
    assert answers[0][2] == answers[1][2]


@pytest.mark.parametrize("statement", ["insert", "update"])
def test_a_process_killed_between_deciding_and_storing_leaves_nothing_of_the_bar(
    desk, clock, tiny_keys, write_universe, statement
):
    write_universe(desk.folder / "universes", tiny_keys(**HOURLY))
    advisor = desk.advisor(clock)
    for n in range(3):
        advisor.submit(buy(desk.universe, f"o{n}", min_bars=6))
    with asker(desk, 0, statement) as process:
        process.communicate("go\n")
    assert process.returncode == -signal.SIGKILL
    assert [state.status for state in advisor.store.orders("tiny")] == ["waiting"] * 3
    assert [advisor.store.slices(f"o{n}") for n in range(3)] == [[]] * 3
    assert [(s.number, s.repeated) for s in advisor.advise().slices] == [(1, False)] * 3
