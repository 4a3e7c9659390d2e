"""Who gets a connection, and when: decisions only. No clock, no dice, no I/O; time and chance are arguments."""

from poolkeeper.policy.admission import Admission, Refusal, Terms
from poolkeeper.policy.deadlines import Deadlines
from poolkeeper.policy.lag import Lag, PositionLog
from poolkeeper.policy.outage import Outage
from poolkeeper.policy.primacy import Primacy
from poolkeeper.policy.queue import Actions, Limits, Queue, Verdict
from poolkeeper.policy.retries import Budget, backoff
from poolkeeper.policy.routing import Bounds, Candidate, choose, has_replayed, standing_of, worth_waiting

__all__ = [
    "Actions",
    "Admission",
    "Bounds",
    "Budget",
    "Candidate",
    "Deadlines",
    "Lag",
    "Limits",
    "Outage",
    "PositionLog",
    "Primacy",
    "Queue",
    "Refusal",
    "Terms",
    "Verdict",
    "backoff",
    "choose",
    "has_replayed",
    "standing_of",
    "worth_waiting",
]
