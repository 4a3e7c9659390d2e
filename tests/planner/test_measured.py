"""What a running service tells about its load, read from scrapes that its own metrics wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from tests.export.moments import BUSY, POOL, histogram

from poolkeeper.model import Histogram, PoolSnapshot, RefusalReason, Timings, Totals
from poolkeeper.observe.metrics import NUMBERS, TIMES, WORKERS
from poolkeeper.observe.prometheus import name_of, pool_metrics
from poolkeeper.planner import measured
from poolkeeper.planner.measured import Measured, measured_between, measured_since_start
from poolkeeper.planner.reading import workload_of
from poolkeeper.planner.scrape import Scrape, ScrapeUnreadable

STARTED = "process_start_time_seconds 1000.0\n"


def text_of(*pools: PoolSnapshot) -> str:
    registry = CollectorRegistry()
    pool_metrics(registry).add(*(lambda pool=pool: pool for pool in pools))
    return generate_latest(registry).decode()


def scrape_of(*pools: PoolSnapshot) -> Scrape:
    return Scrape.read(text_of(*pools))


def with_work(pool: PoolSnapshot, requests: int, holds: Histogram, **totals: Any) -> PoolSnapshot:
    """The pool after so many more requests."""
    now = Totals(requests=pool.totals.requests + requests, **totals)
    return replace(pool, totals=now, timings=Timings(holds=pool.timings.holds + holds))


IDLE = PoolSnapshot(name="orders", capacity=12, in_use=3, idle=7, waiting=0, pool_size=10, pool_timeout=5.0)


def after(seconds: float, *works: tuple[int, Histogram]) -> Measured:
    earlier = scrape_of(IDLE)
    now = IDLE
    for requests, holds in works:
        now = with_work(now, requests, holds)
    return measured_between(earlier, scrape_of(now), seconds)


def test_the_names_are_those_that_services_export() -> None:
    exported = {name_of(metric) for metric in (*NUMBERS, *TIMES, WORKERS)}
    names = {
        name: value.removesuffix("_total")
        for name, value in vars(measured).items()
        if name.isupper() and name[0] != "_" and isinstance(value, str) and name not in ("POOL", "STARTED")
    }
    assert len(names) >= 10
    assert {name for name, value in names.items() if value not in exported} == set()
    assert f'{{{measured.POOL}="' in text_of(BUSY)
    assert measured.POOL == POOL


def test_rates_and_holds_between_two_scrapes() -> None:
    found = after(10, (200, histogram(*[0.04] * 150, *[0.4] * 50)))
    (pool,) = found.pools
    assert pool.calls == 20
    assert pool.holds.count == 200
    assert pool.holds.mean == pytest.approx(0.13)
    assert pool.mean_in_use == pytest.approx(20 * 0.13)
    assert (pool.in_use, pool.pool_size, pool.max_overflow, pool.pool_timeout) == (3, 10, 2, 5)
    assert found.notes == ()


def test_refusals_are_part_of_the_demand_and_not_of_what_is_in_use() -> None:
    refusals = {RefusalReason.PREDICTED_WAIT: 70, RefusalReason.MAX_WAITING: 10}
    now = with_work(IDLE, 300, histogram(*[0.04] * 200), refused=80, refusals=refusals, timed_out=20)
    (pool,) = measured_between(scrape_of(IDLE), scrape_of(now), 10).pools
    assert (pool.calls, pool.refused, pool.timed_out) == (30, 8, 2)
    assert pool.mean_in_use == pytest.approx(20 * 0.04)


def test_of_pools_that_cannot_count_calls_those_that_were_served_count() -> None:
    stock = replace(IDLE, unknown=frozenset({"totals.requests", "waiting"}))
    now = with_work(stock, 0, histogram(*[0.04] * 200))
    assert measured.CALLS not in text_of(now).partition("# TYPE poolkeeper_requests")[2].partition("#")[0]
    assert measured_between(scrape_of(stock), scrape_of(now), 10).pools[0].calls == 20


def test_one_scrape_tells_the_mean_since_the_process_started() -> None:
    now = with_work(IDLE, 5000, histogram(*[0.04] * 5000))
    found = measured_since_start(Scrape.read(STARTED + text_of(now)), at=1100.0)
    assert (found.seconds, found.pools[0].calls) == (100, 50)
    assert "the peak is higher" in found.notes[0]


def test_openmetrics_is_read_too() -> None:
    registry = CollectorRegistry()
    pool_metrics(registry).add(lambda: with_work(IDLE, 200, histogram(*[0.04] * 200)))
    text = generate_openmetrics(registry).decode()
    assert text.rstrip().endswith("# EOF")
    assert measured_between(scrape_of(IDLE), Scrape.read(text), 10).pools[0].calls == 20


def test_each_pool_is_a_service_and_replicas_are_planned_by_themselves() -> None:
    holds = histogram(*[0.01] * 200)
    copies = [with_work(replace(IDLE, name=name), 200, holds) for name in ("orders", "reports", "orders-1")]
    copies[2] = replace(copies[2], gets_reads=True)
    found = measured_between(scrape_of(IDLE), scrape_of(*copies, replace(IDLE, name="spare")), 10)
    assert [pool.name for pool in found.pools] == ["orders", "reports"]
    assert any("spare was not used" in note for note in found.notes)
    assert any("orders-1 is of a replica" in note for note in found.notes)


def test_what_was_measured_is_a_workload_of_all_pods() -> None:
    tables = after(10, (200, histogram(*[0.04] * 150, *[0.4] * 50))).tables({"orders": 3})
    service = workload_of({"services": tables}).services[0]
    assert (service.name, service.rps) == ("orders", pytest.approx(60))
    assert service.hold == pytest.approx(0.13)
    assert service.hold_histogram is not None
    assert service.hold_histogram.count == 200


def test_the_workers_that_export_as_one_are_told_apart() -> None:
    text = text_of(replace(with_work(IDLE, 200, histogram(*[0.04] * 200)), pool_size=40, capacity=40))
    four = Scrape.read(text.replace("poolkeeper_workers 1.0", "poolkeeper_workers 4.0"))
    found = measured_between(scrape_of(IDLE), four, 10)
    assert (found.workers, found.pools[0].pool_size) == (4, 10)
    assert found.tables({})["orders"]["workers"] == 4


def test_few_uses_are_said_to_be_few() -> None:
    assert any("little more than a guess" in note for note in after(10, (5, histogram(*[0.04] * 5))).notes)


@pytest.mark.parametrize(
    ("earlier", "later", "told"),
    [
        (STARTED, STARTED.replace("1000", "1009"), "the service restarted, or another of its processes answered"),
        (text_of(with_work(IDLE, 9, histogram(0.1, 0.1))), text_of(IDLE), "PROMETHEUS_MULTIPROC_DIR"),
        (text_of(IDLE), "up 1\n", "tells of no pool"),
        (text_of(IDLE), text_of(IDLE), "while the service is used"),
    ],
    ids=["restarted", "another worker", "no pool", "no work"],
)
def test_scrapes_that_do_not_belong_together_are_refused(earlier: str, later: str, told: str) -> None:
    with pytest.raises(ScrapeUnreadable, match=told):
        measured_between(Scrape.read(earlier), Scrape.read(later), 10)


@pytest.mark.parametrize(
    ("text", "at", "told"),
    [
        (text_of(BUSY), 2000.0, "one scrape alone gives no rate"),
        (STARTED + text_of(BUSY), 900.0, "cp -p"),
    ],
)
def test_one_scrape_needs_the_time_of_its_process(text: str, at: float, told: str) -> None:
    with pytest.raises(ScrapeUnreadable, match=told):
        measured_since_start(Scrape.read(text), at)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<!doctype html>\n<html>", "line 1 is no metric of Prometheus"),
        ('{"detail": "Not Found"}', "line 1 is no metric"),
        ("up 1\nup one\n", "line 2: 'one' is no number"),
        ("up{le=1} 1\n", "no label"),
    ],
)
def test_what_is_no_scrape_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ScrapeUnreadable, match=told):
        Scrape.read(text)


def test_a_histogram_that_is_cut_off_is_refused() -> None:
    lines = text_of(with_work(IDLE, 9, histogram(0.1, 0.1))).splitlines()
    cut = [line for line in lines if not (line.startswith(f"{measured.HOLDS}_bucket") and "+Inf" in line)]
    with pytest.raises(ScrapeUnreadable, match="do not add up"):
        measured_between(scrape_of(IDLE), Scrape.read("\n".join(cut)), 10)


def test_labels_may_hold_anything() -> None:
    name = 'a "quoted", \\ {odd} name'
    (pool,) = measured_between(
        scrape_of(IDLE), scrape_of(with_work(replace(IDLE, name=name), 9, histogram(0.1))), 1
    ).pools
    assert pool.name == name
