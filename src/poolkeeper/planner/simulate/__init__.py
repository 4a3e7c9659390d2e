"""A fleet, its load and its mishaps, simulated event by event with the policy that KeeperPool runs."""

from poolkeeper.planner.simulate.arrivals import Arrivals, Bursts, Poisson, Trace
from poolkeeper.planner.simulate.holds import Bimodal, Constant, Exponential, Holds, Lognormal, Measured
from poolkeeper.planner.simulate.results import Counts, Moments, OfEndpoint, Simulated, Spread
from poolkeeper.planner.simulate.run import simulate
from poolkeeper.planner.simulate.scenario import (
    Clients,
    Database,
    Deploy,
    Endpoint,
    Fleet,
    KeeperPolicy,
    Pooler,
    Restart,
    Scale,
    Scenario,
    StockPolicy,
)

__all__ = [
    "Arrivals",
    "Bimodal",
    "Bursts",
    "Clients",
    "Constant",
    "Counts",
    "Database",
    "Deploy",
    "Endpoint",
    "Exponential",
    "Fleet",
    "Holds",
    "KeeperPolicy",
    "Lognormal",
    "Measured",
    "Moments",
    "OfEndpoint",
    "Poisson",
    "Pooler",
    "Restart",
    "Scale",
    "Scenario",
    "Simulated",
    "Spread",
    "StockPolicy",
    "Trace",
    "simulate",
]
