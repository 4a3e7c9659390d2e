"""The error of a workload that cannot be."""

from __future__ import annotations

from poolkeeper.model import Refused


class WorkloadRefused(Refused):
    """Nothing can be planned for such a workload; `findings` holds every problem at once.

    Each has as its `subject` where it is: `services.orders.hold`, `server.max_connections`.
    """

    one = "1 value of the workload is refused"
    many = "values of the workload are refused"
