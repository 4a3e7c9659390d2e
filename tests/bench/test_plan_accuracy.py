"""What is foretold of a service and what is measured there can be compared."""

from __future__ import annotations

import pytest
from bench.plan_accuracy import Compared, by_formula, replayed
from bench.plan_measured import CAPACITY, HOLD, Figures, Workload, direct
from bench.plan_pooler import behind_pgbouncer
from bench.plan_service import Span, load_processes
from bench.report import Report
from tests.servers import FreshDatabase

from poolkeeper.planner import simulate as sim
from poolkeeper.testing import EmbeddedPostgres

SPAN = Span(warm_up=0.5, counted=2.0)


def test_small_differences_do_not_count_and_others_are_shares_of_what_was_measured() -> None:
    real = Figures(0.5, 0.010, 0.100, 0.0)
    assert Figures(0.505, 0.011, 0.101, 0.005).off(real) == 0
    assert Figures(0.5, 0.010, 0.120, 0.0).off(real) == pytest.approx(0.2)
    assert Figures(0.5, 0.010, 0.100, 0.5).off(real) == pytest.approx(50)


@pytest.mark.slow
def test_the_service_its_clients_and_the_simulation_of_the_same_requests_agree(fresh_database: FreshDatabase) -> None:
    overload = Workload("overload", sim.Poisson(1.5 * CAPACITY), sim.Exponential(HOLD))
    with load_processes(1) as load:
        measured = direct(fresh_database.url(), load, overload, SPAN, seed=1)
    seen, real, simulated = measured.seen, measured.real, replayed(measured, None)
    assert len(measured.requests) == len(seen.outcomes) > 0
    assert sum(request.wait is None for request in measured.requests) == seen.end.refused
    # Whoever left before the refusal came has not heard of it.
    assert seen.refused <= seen.end.refused <= seen.refused + seen.gave_up
    assert not seen.failed
    assert real.utilisation > 0.8 < simulated.utilisation
    # On a busy machine holds are longer, of which the simulation hears, and callers late, of which it does not.
    assert 0.5 * real.lost <= simulated.lost <= 2 * real.lost
    assert 0.3 * real.mean <= simulated.mean <= 3 * real.mean
    report = Report("tiny", "Tiny", "Here.")
    compared = Compared(report, SPAN)
    compared.add(measured, by_formula(measured))
    compared.publish()
    whats = ["told 503", "failed otherwise", "overload, formula", "overload, simulation"]
    assert [target.what for target in report.targets] == whats


@pytest.mark.slow
def test_what_services_behind_a_pooler_wait_and_hold_is_what_their_pools_count_as_held() -> None:
    with EmbeddedPostgres(max_connections=60) as server, load_processes(2) as load:
        both = behind_pgbouncer(server, load, SPAN)
    for measured in both:
        seen = measured.seen
        assert seen.failed == seen.end.refused == 0
        assert len(measured.requests) == len(seen.outcomes)
        spent = sum((one.wait or 0.0) + (one.hold or 0.0) for one in measured.requests if seen.counts(one.asked))
        # Whoever holds a connection when the count begins or ends is in one of the two figures only.
        assert spent == pytest.approx(seen.told.holds.total, rel=0.5)
        assert all(one.hold is not None and one.hold >= one.planned for one in measured.requests)
