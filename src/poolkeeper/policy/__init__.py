"""Who gets a connection, and when: decisions only. No clock, no dice, no I/O; time and chance are arguments."""

from poolkeeper.policy.admission import Admission, Refusal, RefusalReason
from poolkeeper.policy.outage import Outage
from poolkeeper.policy.queue import Actions, Limits, Queue, Verdict

__all__ = ["Actions", "Admission", "Limits", "Outage", "Queue", "Refusal", "RefusalReason", "Verdict"]
