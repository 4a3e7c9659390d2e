"""Run a scenario."""

from __future__ import annotations

from poolkeeper.planner.numbers import count
from poolkeeper.planner.simulate.results import Simulated
from poolkeeper.planner.simulate.scenario import Scenario
from poolkeeper.planner.simulate.world import World


def simulate(scenario: Scenario, seed: int = 1) -> Simulated:
    """What becomes of every request of a scenario; the same for the same seed.

    It takes 5 us per request on one core, 11 us with 10,000 processes (bench/results/simulation.md). Requests that are
    under way when `duration` is over are seen to their end. Raises `BadNumber` for a seed below 0.
    """
    count(0, seed=seed)
    return World(scenario, seed).run()
