"""The simulation against formulas, where they are exact: for the load that was drawn, not quite the one asked for."""

from __future__ import annotations

import pytest

from poolkeeper.planner.losses import Losses, losses, standing_queue
from poolkeeper.planner.queueing import Waits, waits
from poolkeeper.planner.simulate import (
    Database,
    Endpoint,
    Exponential,
    Fleet,
    KeeperPolicy,
    Lognormal,
    Poisson,
    Pooler,
    Scenario,
    Simulated,
    StockPolicy,
    simulate,
)
from poolkeeper.planner.simulate.scenario import Policy
from poolkeeper.policy import Limits

HOLD, WARM_UP = 0.05, 5.0
WITHIN = 0.02


def run(
    policy: Policy, servers: int, utilisation: float, requests: int, seed: int = 1
) -> tuple[Simulated, float, float]:
    """What was simulated, and the rate and the mean hold that were drawn."""
    rate = utilisation * servers / HOLD
    scenario = Scenario(
        arrivals=Poisson(rate),
        endpoints=(Endpoint(Exponential(HOLD)),),
        policy=policy,
        duration=requests / rate + WARM_UP,
        warm_up=WARM_UP,
        database=Database(connect=1e-6),
    )
    found = simulate(scenario, seed)
    drawn_rate = found.counts.attempts / (scenario.duration - WARM_UP)
    return found, drawn_rate, found.utilisation * servers / drawn_rate * found.counts.attempts / found.wait.count


def fifo(servers: int, **arguments: float) -> KeeperPolicy:
    return KeeperPolicy(Limits(servers, min_idle=servers), timeout=3600.0, **arguments)


@pytest.mark.slow
def test_keeper_waits_as_erlang_says() -> None:
    found, rate, hold = run(fifo(2), 2, 0.5, 250_000)
    theory: Waits = waits(rate, hold, 2)
    assert found.wait.mean == pytest.approx(theory.mean_wait, rel=WITHIN)
    assert found.wait.waited == pytest.approx(theory.waiting_probability, rel=WITHIN)
    assert found.wait.p99 == pytest.approx(theory.quantile(0.99), rel=WITHIN)


@pytest.mark.slow
def test_a_full_queue_refuses_as_its_balance_says() -> None:
    found, rate, hold = run(fifo(5, max_waiting=4), 5, 1.2, 60_000)
    theory: Losses = losses(rate, hold, 5, timeout=3600.0, max_waiting=4)
    assert found.counts.refused / found.counts.attempts == pytest.approx(theory.refused, rel=WITHIN)
    assert found.wait.mean == pytest.approx(theory.mean_wait, rel=WITHIN)
    assert found.wait.waited == pytest.approx(theory.beyond(0.0), rel=WITHIN)


@pytest.mark.slow
def test_patience_ends_as_barrer_says() -> None:
    # A stock pool whose woken callers run at once is first come first served, and nobody is refused.
    found, rate, hold = run(StockPolicy(5, 0, timeout=HOLD, turn=0.0), 5, 0.9, 60_000)
    theory: Losses = losses(rate, hold, 5, timeout=HOLD)
    assert found.counts.timed_out / found.counts.attempts == pytest.approx(theory.timed_out, rel=WITHIN)
    assert found.wait.mean == pytest.approx(theory.mean_wait, rel=WITHIN)


@pytest.mark.slow
def test_who_barges_changes_who_waits_and_not_how_long_all_of_them_do() -> None:
    # The mean wait is the same for every order of service that knows nothing of the holds and leaves no
    # connection idle.
    ours, _, _ = run(fifo(5), 5, 0.8, 60_000)
    stock, _, _ = run(StockPolicy(5, 0, timeout=3600.0, turn=0.0005), 5, 0.8, 60_000)
    assert stock.wait.mean == pytest.approx(ours.wait.mean, rel=WITHIN)
    assert stock.wait.waited < 0.98 * ours.wait.waited
    assert stock.wait.p99 > 1.02 * ours.wait.p99


@pytest.mark.slow
def test_all_processes_of_a_pooler_wait_in_one_queue() -> None:
    # Pools that never run out leave the queue to the pooler, where it is one of 10 servers instead of 5 of 2.
    rate = 0.8 * 10 / HOLD
    found = simulate(
        Scenario(
            arrivals=Poisson(rate),
            endpoints=(Endpoint(Lognormal(HOLD, 3 * HOLD)),),
            policy=fifo(100),
            duration=100_000 / rate,
            warm_up=WARM_UP,
            fleet=Fleet(5, 1),
            pooler=Pooler(10),
            database=Database(connect=1e-6),
        )
    )
    theory = waits(rate, HOLD, 10, hold_scv=Lognormal(HOLD, 3 * HOLD).scv)
    assert found.wait.mean < 0.01 * found.pooler_wait.mean
    # Allen and Cunneen only come near: see `waits`.
    assert found.pooler_wait.mean == pytest.approx(theory.mean_wait, rel=0.1)
    assert max(found.moments.at_server) == 10


def test_the_standing_queue_foretells_what_keeper_refuses() -> None:
    rate, servers, patience = 600.0, 10, 2.0
    found = simulate(
        Scenario(
            arrivals=Poisson(rate),
            endpoints=(Endpoint(Exponential(HOLD)),),
            policy=KeeperPolicy(Limits(servers, min_idle=servers), client_timeout=patience),
            duration=20.0,
            warm_up=WARM_UP,
        )
    )
    longest = standing_queue(HOLD, servers, timeout=30.0, client_timeout=patience)
    theory = losses(rate, HOLD, servers, timeout=30.0, max_waiting=longest)
    assert found.counts.refused / found.counts.attempts == pytest.approx(theory.refused, rel=0.05)
    assert found.wait.p50 == pytest.approx(theory.quantile(0.5), rel=0.15)
