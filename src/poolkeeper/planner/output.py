"""The numbers of a plan in the forms in which they are used: settings, environment variables, Python."""

from __future__ import annotations

from collections.abc import Mapping

from poolkeeper.model.names import environment_name
from poolkeeper.planner.plan import ServicePlan
from poolkeeper.planner.workload import DatabaseServer
from poolkeeper.policy.sizing import wait_within


def settings_of(one: ServicePlan, server: DatabaseServer) -> Mapping[str, int | float]:
    """The settings of a `Database`, by name, that make the service as planned.

    `pool_timeout` is left out where it follows from `client_timeout` and `expected_hold` by itself. Behind a pooler the
    server's limits are not the service's own, and are left out too.
    """
    service, sizing = one.service, one.sizing
    found: dict[str, int | float] = {
        "pool_size": sizing.pool_size.value,
        "max_overflow": sizing.max_overflow.value,
        "max_waiting": sizing.max_waiting.value,
        "pool_recycle": sizing.recycle.value,
        "expected_hold": service.hold,
    }
    if service.client_timeout is not None:
        found["client_timeout"] = service.client_timeout
    if service.client_timeout is None or wait_within(service.client_timeout, service.hold) != sizing.pool_timeout.value:
        found["pool_timeout"] = sizing.pool_timeout.value
    if not service.pooler:
        found |= {
            "workers": service.workers,
            "instances": service.most_pods,
            "max_connections": server.max_connections,
            "reserved_connections": server.reserved,
        }
    return found


def environment_of(one: ServicePlan, server: DatabaseServer) -> Mapping[str, str]:
    """The same as environment variables."""
    return {environment_name(name): _written(value) for name, value in settings_of(one, server).items()}


def python_of(one: ServicePlan, server: DatabaseServer) -> str:
    """The same as Python, with the URL from the environment."""
    arguments = "".join(f"    {name}={_written(value)},\n" for name, value in settings_of(one, server).items())
    return f"from poolkeeper import Database\n\ndb = Database.from_env(\n{arguments})\n"


def _written(value: float) -> str:
    return str(value) if isinstance(value, int) else format(value, ".10g")
