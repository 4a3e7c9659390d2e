from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolkeeper.planner.numbers import BadNumber
from poolkeeper.planner.simulate import (
    Bursts,
    Clients,
    Constant,
    Database,
    Deploy,
    Endpoint,
    Exponential,
    Fleet,
    KeeperPolicy,
    Poisson,
    Pooler,
    Restart,
    Scale,
    Scenario,
    StockPolicy,
    Trace,
    simulate,
)
from poolkeeper.planner.simulate.world import World
from poolkeeper.policy import Admission, Deadlines, Limits, Outage, Queue

HOLD = 0.05


def keeper(size: int = 10, **arguments: Any) -> KeeperPolicy:
    return KeeperPolicy(Limits(size, min_idle=size), **arguments)


def scenario(rate: float = 100.0, **arguments: Any) -> Scenario:
    """One process with a pool of 10, which serves 200 requests a second."""
    usual = {"arrivals": Poisson(rate), "endpoints": (Endpoint(Exponential(HOLD)),), "policy": keeper()}
    return Scenario(**({**usual, "duration": 30.0, "warm_up": 2.0} | arguments))


def test_the_same_seed_is_the_same_run() -> None:
    busy = scenario(250.0, duration=8.0, clients=Clients(timeout=1.0, retries=1), fleet=Fleet(2, 2))
    assert simulate(busy, 7) == simulate(busy, 7)
    assert simulate(busy, 7) != simulate(busy, 8)


@pytest.mark.parametrize(
    ("policy", "method"),
    [
        *((Queue, method) for method in ("take", "join", "give_back")),
        *((Admission, method) for method in ("terms_to_connect", "terms_to_queue", "refusal", "is_too_late")),
        (Deadlines, "due"),
        (Outage, "failed"),
    ],
)
def test_the_rules_that_run_are_those_of_the_pool(policy: type, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    original: Callable[..., Any] = getattr(policy, method)

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return original(*arguments, **named)

    monkeypatch.setattr(policy, method, counted)
    restarts = Database(restarts=(Restart(3.0, 0.5),))
    simulate(scenario(300.0, duration=5.0, policy=keeper(client_timeout=1.0), database=restarts))
    assert calls


policies = st.one_of(
    st.builds(
        KeeperPolicy,
        st.builds(Limits, st.integers(2, 4), st.integers(0, 3), st.integers(0, 2), st.integers(1, 3)),
        timeout=st.sampled_from([0.0, 0.2, 30.0]),
        client_timeout=st.sampled_from([None, 0.5]),
        max_waiting=st.sampled_from([None, 0, 5]),
        connect_grace=st.sampled_from([0.0, 1.0]),
        overflow_linger=st.sampled_from([0.0, 0.5]),
    ),
    st.builds(
        StockPolicy,
        st.integers(1, 4),
        st.integers(0, 3),
        st.sampled_from([0.0, 0.2, 5.0]),
        st.sampled_from([0.0, 0.01]),
    ),
)
startups, graces = st.sampled_from([0.0, 0.7]), st.sampled_from([0.0, 0.3])
changes = st.lists(
    st.one_of(
        st.builds(Deploy, st.floats(0, 2.5), st.integers(1, 3), startups, graces),
        st.builds(Scale, st.floats(0, 2.5), st.integers(1, 6), startups, graces),
    ),
    max_size=3,
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    policy=policies,
    changes=changes,
    restarts=st.sampled_from([(), (Restart(1.0, 0.5),), (Restart(1.0, 0.1), Restart(2.0, 1.5))]),
    most=st.sampled_from([None, 4, 15]),
    pooler=st.sampled_from([None, Pooler(3), Pooler(50)]),
    clients=st.sampled_from([Clients(), Clients(timeout=0.3), Clients(timeout=0.3, retries=2)]),
    rate=st.sampled_from([20.0, 100.0, 300.0]),
    seed=st.integers(0, 1000),
)
def test_nothing_is_lost_whatever_happens(policy, changes, restarts, most, pooler, clients, rate, seed) -> None:
    world = World(
        Scenario(
            arrivals=Bursts(rate, rate * 2, 1.0, 0.5),
            endpoints=(Endpoint(Exponential(0.03), 3, "fast"), Endpoint(Constant(0.2), 1, "slow")),
            policy=policy,
            duration=3.0,
            fleet=Fleet(3, 2, "round-robin"),
            clients=clients,
            database=Database(max_connections=most, restarts=restarts),
            pooler=pooler,
            changes=tuple(changes),
        ),
        seed,
    )
    found = world.run()

    counts = found.counts
    assert counts.attempts == sum(each.counts.attempts for each in found.endpoints)
    assert found.requests <= counts.attempts <= found.requests * (1 + clients.retries)
    # Every request was answered in time, or gave up: a client that left and comes back still waits for one of them.
    assert found.unanswered + counts.served == found.requests
    assert all(process.under_way == 0 for process in world.pods.running)
    assert world.database.open == sum(process.sessions for process in world.pods.running) >= 0
    if most is not None and pooler is None:
        assert found.most_connections <= most
    assert 0 <= found.utilisation <= 1 + 1e-9
    if pooler is not None:
        assert max(found.moments.at_server) <= pooler.size


# Overload


def test_in_overload_keeper_serves_its_capacity_and_stock_serves_those_who_have_left() -> None:
    crowd = scenario(600.0, clients=Clients(timeout=2.0), duration=12.0, warm_up=4.0)
    ours = simulate(replace(crowd, policy=keeper(client_timeout=2.0)))
    stock = simulate(replace(crowd, policy=StockPolicy(10, 0, timeout=30.0)))
    capacity = 10 / HOLD * (12.0 - 4.0)
    assert ours.counts.served > 0.95 * capacity
    assert ours.counts.refused > ours.counts.attempts / 2
    assert ours.counts.abandoned < 0.01 * ours.counts.attempts
    assert stock.counts.refused == 0
    assert stock.counts.served < 0.5 * capacity
    assert stock.counts.abandoned > stock.counts.served
    assert stock.utilisation == pytest.approx(1.0, abs=0.02)


@dataclass(frozen=True)
class InOrder:
    """One hold after the other."""

    times: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.times)

    scv = 1.0

    def draw(self, dice: np.random.Generator, number: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array(self.times[:number])


def test_whom_a_connection_reaches_too_late_leaves_it_to_the_next() -> None:
    one_by_one = scenario(
        arrivals=Trace((1.0, 1.01, 1.2)),
        endpoints=(Endpoint(InOrder((0.5, 0.1, 0.1))),),
        policy=keeper(1, client_timeout=1.0),
        warm_up=0.0,
    )
    found = simulate(one_by_one)
    # At 1.5 an answer is known to need half a second: too long for the second, who came at 1.01, and not for the third.
    assert (found.counts.served, found.counts.timed_out) == (2, 1)
    assert found.wait.longest == pytest.approx(0.3)


def test_each_leaves_by_its_own_deadline_also_where_who_came_later_has_the_earlier_one() -> None:
    crowd = scenario(
        arrivals=Trace((*[1.0] * 8, 1.2, 1.25, 1.6)),
        endpoints=(Endpoint(InOrder((*[5.0] * 7, 0.5, *[5.0] * 3))),),
        policy=keeper(8, client_timeout=1.0),
        duration=4.0,
        warm_up=0.0,
    )
    found = simulate(crowd)
    assert (found.counts.served, found.counts.timed_out) == (9, 2)
    # The last to come knows from 1.5 on that an answer takes half a second, and waits 0.4 s; the one before it 0.9 s.
    ends = [number * found.moments.width for number, lost in enumerate(found.moments.lost) if lost]
    assert ends == pytest.approx([2.0, 2.15], abs=found.moments.width)


def test_retries_are_more_load_where_there_is_too_much() -> None:
    crowd = scenario(260.0, policy=keeper(max_waiting=5), duration=10.0)
    once, again = (simulate(replace(crowd, clients=Clients(retries=retries))) for retries in (0, 3))
    assert again.requests == once.requests
    assert again.counts.attempts > 1.3 * once.counts.attempts
    assert again.unanswered < once.unanswered


def test_one_slow_endpoint_makes_the_fast_ones_wait() -> None:
    fast, slow = Endpoint(Exponential(0.01), 95, "fast"), Endpoint(Constant(2.0), 5, "slow")
    alone = simulate(scenario(95.0, endpoints=(fast,)))
    together = simulate(scenario(100.0, endpoints=(fast, slow), duration=30.0))
    assert alone.wait.p99 == 0.0
    assert together.endpoints[0].name == "fast"
    assert together.endpoints[0].wait.p99 > 10 * 0.01


# What happens meanwhile


def test_a_rolling_deploy_needs_its_surge_of_connections_and_loses_nobody() -> None:
    deploy = Deploy(at=5.0, surge=1, startup=2.0)
    calm = scenario(200.0, fleet=Fleet(4, 2), policy=keeper(5), duration=20.0)
    before, found = simulate(calm), simulate(replace(calm, changes=(deploy,)))
    assert before.most_connections == 8 * 5
    # One pod more than there are, and while a pod still answers its last requests its successor starts already.
    assert (8 + 2) * 5 < found.most_connections <= (8 + 4) * 5
    assert found.counts.served == found.counts.attempts
    assert found.moments.connections[-1] == 8 * 5


def test_a_deploy_that_exceeds_the_limit_of_the_server_is_refused_its_connects() -> None:
    deploy = Deploy(at=5.0, surge=4, startup=2.0)
    found = simulate(
        scenario(
            200.0,
            fleet=Fleet(4, 2),
            policy=keeper(5),
            duration=20.0,
            database=Database(max_connections=60),
            changes=(deploy,),
        )
    )
    assert found.most_connections == 60
    assert found.connects_refused > 0


def test_a_zone_that_dies_takes_its_requests_along_and_leaves_its_load_to_the_others() -> None:
    whole = scenario(540.0, fleet=Fleet(3, 1), policy=keeper(20), duration=20.0)
    found = simulate(replace(whole, changes=(Scale(10.0, 2, grace=0.0),)))
    assert 0 < found.counts.failed < 30
    assert found.moments.connections[-1] == 40
    assert found.utilisation > simulate(whole).utilisation


def test_a_pod_that_stops_answers_what_it_has_begun() -> None:
    work = scenario(50.0, endpoints=(Endpoint(Constant(1.0)),), fleet=Fleet(4, 1), policy=keeper(20), duration=20.0)
    patient, hasty = (simulate(replace(work, changes=(Scale(10.0, 1, grace=grace),))) for grace in (5.0, 0.2))
    assert patient.counts.failed == 0
    assert hasty.counts.failed > 20


def test_a_short_restart_costs_keeper_what_was_under_way_and_stock_everybody_who_comes() -> None:
    restart = Database(restarts=(Restart(10.0, 1.0),))
    calm = scenario(100.0, database=restart, duration=20.0)
    ours = simulate(calm)
    stock = simulate(replace(calm, policy=StockPolicy(10, 0)))
    assert ours.counts.failed <= 10
    assert 90 <= stock.counts.failed <= 130
    assert ours.wait.longest == pytest.approx(1.0, abs=0.3)


def test_a_long_outage_is_told_at_once() -> None:
    found = simulate(
        scenario(100.0, policy=keeper(connect_grace=2.0), database=Database(restarts=(Restart(10.0, 8.0),)))
    )
    assert 700 <= found.counts.failed <= 900
    assert found.wait.longest < 3.0


def test_stock_callers_sleep_on_when_the_connect_of_another_fails() -> None:
    # A cold pool, 50 callers in one moment, and a database that comes back 3 s later.
    found = simulate(
        Scenario(
            arrivals=Trace((0.1, *[0.1001] * 49)),
            endpoints=(Endpoint(Constant(0.01)),),
            policy=StockPolicy(5, 0, timeout=30.0),
            duration=60.0,
            database=Database(restarts=(Restart(0.05, 3.0, refusal=0.01),)),
        )
    )
    assert found.counts.failed == 5
    assert found.counts.timed_out + found.counts.served == 45
    assert found.wait.longest > 29.0


def test_overflow_lingers_and_goes() -> None:
    policy = KeeperPolicy(Limits(4, 6), overflow_linger=2.0)
    burst = (*[1.0 + 0.001 * number for number in range(10)], 20.0)
    found = simulate(
        Scenario(arrivals=Trace(burst), endpoints=(Endpoint(Constant(0.5)),), policy=policy, duration=20.0)
    )
    assert found.most_connections == 10
    at_second = [found.moments.connections[int(second / found.moments.width)] for second in (2, 3, 8)]
    assert at_second == [10, 10, 4]


# Arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scenario(duration=0.0), "duration is 0.0"),
        (lambda: scenario(warm_up=30.0), "warm_up is 30.0: it has to be shorter than the duration"),
        (lambda: scenario(endpoints=()), "endpoints are empty"),
        (lambda: Fleet(0, 1), "pods is 0"),
        (lambda: Fleet(1, 1, "sticky"), "balancing is 'sticky'"),
        (lambda: Clients(timeout=-1.0), "timeout is -1.0"),
        (lambda: Clients(retries=-1), "retries is -1"),
        (lambda: KeeperPolicy(Limits(0)), "pool_size is 0"),
        (lambda: KeeperPolicy(Limits(5, -1)), "max_overflow is -1"),
        (lambda: KeeperPolicy(Limits(5, min_idle=6)), "min_idle is 6, more than pool_size 5"),
        (lambda: StockPolicy(0), "pool_size is 0"),
        (lambda: Pooler(0), "size is 0"),
        (lambda: Database(connect=0.0), "connect is 0.0"),
        (lambda: Database(restarts=(Restart(5.0, 2.0), Restart(6.0, 1.0))), "have to follow each other"),
        (lambda: Deploy(1.0, surge=0), "surge is 0"),
        (lambda: Scale(1.0, pods=0), "pods is 0"),
        (lambda: simulate(scenario(), -1), "seed is -1"),
    ],
)
def test_bad_arguments_are_refused_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(BadNumber, match=message):
        make()
