"""What is going on in a pool, and on whose behalf."""

from poolkeeper.observe.checkouts import Checkout, Checkouts
from poolkeeper.observe.history import History, Ticker
from poolkeeper.observe.journal import Journal
from poolkeeper.observe.loop_lag import LagWatch
from poolkeeper.observe.pools import ObservedPool
from poolkeeper.observe.recorder import Recorder
from poolkeeper.observe.request import PHASE, current_scope, phase_of, route_of
from poolkeeper.observe.threads import ThreadWatch
from poolkeeper.observe.watch import Watch, watch

__all__ = [
    "PHASE",
    "Checkout",
    "Checkouts",
    "History",
    "Journal",
    "LagWatch",
    "ObservedPool",
    "Recorder",
    "ThreadWatch",
    "Ticker",
    "Watch",
    "current_scope",
    "phase_of",
    "route_of",
    "watch",
]
