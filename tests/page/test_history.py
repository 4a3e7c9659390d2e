"""The last minutes, kept at a steady pace."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from poolkeeper.fastapi.page.view import history_view
from poolkeeper.model import Histogram, PoolSnapshot, Timings, Totals
from poolkeeper.observe.history import History, Ticker


def snapshot(at: float, served: int = 0, waits: Histogram | None = None, oldest: float | None = None) -> PoolSnapshot:
    timings, totals = Timings(waits=waits or Histogram()), Totals(served=served)
    return PoolSnapshot("pool", 5, 2, 1, 0, at=at, oldest_waiter=oldest, timings=timings, totals=totals)


def test_the_ring_keeps_its_time_and_no_more() -> None:
    history = History(seconds=10, every=2)
    for at in range(0, 40, 2):
        history.add(snapshot(at))
    assert [item.at for item in history.window()] == [28, 30, 32, 34, 36, 38]


def test_a_pause_does_not_make_the_window_longer() -> None:
    history = History(seconds=10, every=2)
    for at in (0, 2, 60):
        history.add(snapshot(at))
    assert [item.at for item in history.window()] == [60]


def test_more_snapshots_than_expected_do_not_make_the_ring_larger() -> None:
    history = History(seconds=10, every=2)
    for at in range(1000):
        history.add(snapshot(at / 1000))
    assert len(history) == 6


def test_points_tell_what_happened_between_two_snapshots() -> None:
    one = Histogram((0,) * 5 + (10,) + (0,) * 6, 1.0)
    two = Histogram((0,) * 5 + (10,) + (0,) * 2 + (4,) + (0,) * 3, 9.0)
    points = history_view([snapshot(0, 10, one), snapshot(2, 14, two), snapshot(4, 14, two), snapshot(6, 14, two, 5.5)])
    assert points["served"] == [2, 0, 0]
    assert points["wait"][0] == pytest.approx(4.8)
    assert points["wait"][1:] == [None, 5.5]
    assert len({len(column) for column in points.values()}) == 1


@pytest.mark.anyio
async def test_a_ticker_acts_again_and_again_until_it_stops(caplog: pytest.LogCaptureFixture) -> None:
    acted: list[int] = []

    def act() -> None:
        acted.append(1)
        raise ValueError

    ticker = Ticker(act, 0.005)
    ticker.start()
    async with asyncio.timeout(10):
        while len(acted) <= 3:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.005)
    ticker.stop()
    count = len(acted)
    await asyncio.sleep(0.03)
    assert len(acted) == count
    assert len(caplog.records) == 1


@pytest.mark.anyio
async def test_a_ticker_that_nobody_holds_is_gone() -> None:
    ticker = Ticker(int, 0.005)
    ticker.start()
    gone = weakref.ref(ticker)
    del ticker
    gc.collect()
    assert gone() is None
    await asyncio.sleep(0.02)
