"""What is foretold of a pool and what is measured there can be compared."""

from __future__ import annotations

import asyncio
from importlib import import_module

import pytest
from bench.plan_measured import CAPACITY, Figures, Workload
from bench.report import Report
from tests.servers import FreshDatabase

from poolkeeper.planner import simulate as sim


def test_small_differences_do_not_count_and_others_are_shares_of_what_was_measured() -> None:
    real = Figures(0.5, 0.010, 0.100, 0.0)
    assert Figures(0.505, 0.011, 0.101, 0.005).off(real) == 0
    assert Figures(0.5, 0.010, 0.120, 0.0).off(real) == pytest.approx(0.2)
    assert Figures(0.5, 0.010, 0.100, 0.5).off(real) == pytest.approx(50)


@pytest.mark.slow
def test_the_simulation_of_the_same_requests_agrees(
    monkeypatch: pytest.MonkeyPatch, fresh_database: FreshDatabase
) -> None:
    for module in ("bench.plan_measured", "bench.plan_accuracy"):
        for name, value in (("SECONDS", 2.0), ("WARM_UP", 0.5)):
            monkeypatch.setattr(import_module(module), name, value)
    accuracy, measure = import_module("bench.plan_accuracy"), import_module("bench.plan_measured")
    overload = Workload("overload", sim.Poisson(1.5 * CAPACITY), sim.Exponential(0.04))
    measured = asyncio.run(measure.direct(fresh_database.url(), overload, seed=1))
    real, simulated = measured.figures(), accuracy.replayed(measured, None)
    assert real.utilisation > 0.9 < simulated.utilisation
    # On a busy machine holds are longer, of which the simulation hears, and callers late, of which it does not.
    assert 0.5 * real.lost <= simulated.lost <= 2 * real.lost
    assert 0.3 * real.mean <= simulated.mean <= 3 * real.mean
    compared = accuracy.Compared(Report("tiny", "Tiny", "Here."))
    compared.add(measured, accuracy.by_formula(measured))
    compared.publish()
    assert [target.what for target in compared._report.targets] == ["overload, formula", "overload, simulation"]
