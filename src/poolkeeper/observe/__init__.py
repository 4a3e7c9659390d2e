"""What is going on in a pool, and on whose behalf."""

from poolkeeper.observe.checkouts import Checkout, Checkouts
from poolkeeper.observe.loop_lag import LagWatch
from poolkeeper.observe.pools import ObservedPool
from poolkeeper.observe.recorder import Recorder
from poolkeeper.observe.request import PHASE, current_scope, phase_of, route_of
from poolkeeper.observe.watch import Watch, watch

__all__ = [
    "PHASE",
    "Checkout",
    "Checkouts",
    "LagWatch",
    "ObservedPool",
    "Recorder",
    "Watch",
    "current_scope",
    "phase_of",
    "route_of",
    "watch",
]
