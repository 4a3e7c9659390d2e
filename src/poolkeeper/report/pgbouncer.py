"""The files of a PgBouncer for a plan: its configuration, a list of users to fill in, and what services are told."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from poolkeeper.planner.pgbouncer import PoolerPlan, Share, Tenant, staffed

INI, USERS = "pgbouncer.ini", "userlist.txt"
# In the place of what only the operator knows.
PASSWORD = "PASSWORD"  # noqa: S105 - in the place of one
_HOST = "PGBOUNCER"
_LINE = 116


@dataclass(frozen=True, slots=True)
class Site:
    """Where things are: the server and its database, the port of PgBouncer, and the folder of its files."""

    host: str
    port: int
    database: str
    folder: PurePath
    listen_port: int = 6432


def files(plan: PoolerPlan, site: Site, settings: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """The files by name. `settings` are the variables of each service (DATABASE_POOL_SIZE ...).

    No file holds a secret: passwords have to be filled in.
    """
    found = {INI: _ini(plan, site), USERS: _users(plan)}
    for tenant in plan.tenants:
        found[f"{tenant.service}.env"] = _environment(tenant, plan, site, settings.get(tenant.service, {}))
    return found


def _ini(plan: PoolerPlan, site: Site) -> str:
    lines = [*_comment("Written by poolkeeper plan. PgBouncer knows comments on lines of their own only."), ""]
    lines += ["[databases]", *_comment(_sum_of(plan))]
    for tenant in plan.tenants:
        share = plan.shares[tenant.service]
        lines += ["", *_comment(_why(tenant, share, plan.processes)), _database(tenant, share, plan.processes, site)]
    lines += ["", "[pgbouncer]"]
    for name, value, why in _settings(plan, site):
        lines += [*_comment(why), f"{name} = {value}".rstrip(), ""]
    lines += [
        *_comment(
            "From PgBouncer 1.21 on, which keeps track of prepared statements, this line may be put to use, and "
            "prepared statements switched on in the services; an older one does not start with it. Without it they "
            "are off: see DATABASE_PROVIDER in the services' files."
        ),
        ";max_prepared_statements = 200",
    ]
    return "\n".join(lines) + "\n"


def _sum_of(plan: PoolerPlan) -> str:
    each = " + ".join(f"{plan.shares[tenant.service].most}" for tenant in plan.tenants)
    each = f"{each} = " if len(plan.tenants) > 1 else ""
    side_by_side = f" times {plan.processes} PgBouncers = {plan.connections}" if plan.processes > 1 else ""
    return (
        f"One name for each service, so that none takes the connections of another. All limits add up to "
        f"{each}{plan.of_one_process}{side_by_side}, within the {plan.budget} that the server has for them."
    )


def _why(tenant: Tenant, share: Share, processes: int) -> str:
    load, burst = tenant.load / processes, tenant.burst_load / processes
    wanted, wanted_in_burst = staffed(load), staffed(burst)
    cut = f", of which the budget allows {share.pool_size}" if share.pool_size < wanted else ""
    reserve = f"a burst wants {wanted_in_burst}"
    if share.most < wanted_in_burst:
        reserve += f", of which the budget allows {share.most}"
    return (
        f"{tenant.service}: {load:.3g} transactions under way at peak; {load:.3g} + 2 x sqrt({load:.3g}) = {wanted} "
        f"connections, so that about 3 in 100 wait (Halfin and Whitt 1981){cut}. Reserve: {reserve}. min_pool_size "
        "keeps open what the peak uses in the mean; max_db_connections holds also where several roles connect."
    )


def _database(tenant: Tenant, share: Share, processes: int, site: Site) -> str:
    values = {
        "host": _quoted(site.host),
        "port": site.port,
        "dbname": _quoted(site.database),
        "pool_size": share.pool_size,
        "min_pool_size": min(share.pool_size, math.ceil(tenant.load / processes)),
        "reserve_pool": share.reserve,
        "max_db_connections": share.most,
    }
    return f"{tenant.service} = {' '.join(f'{name}={value}' for name, value in values.items())}"


def _settings(plan: PoolerPlan, site: Site) -> Iterator[tuple[str, object, str]]:
    users = ", ".join(dict.fromkeys(tenant.user for tenant in plan.tenants))
    left = max(1, plan.budget // plan.processes - plan.of_one_process)
    yield "listen_addr", "*", "Services run on other hosts; 127.0.0.1 where all of them run on this one."
    yield "listen_port", site.listen_port, "6432 is the custom."
    yield "unix_socket_dir", "", "TCP only."
    yield "auth_type", "scram-sha-256", "Passwords never cross the network."
    yield "auth_file", site.folder / USERS, "Change it when the file is moved."
    yield "stats_users", users, "They may ask for the queue (SHOW POOLS), as poolkeeper does to explain it."
    yield (
        "pool_mode",
        "transaction",
        "A server connection goes to the next client after each transaction: many clients, few connections.",
    )
    yield "default_pool_size", left, "For a database that is added above without numbers: what is left of the budget."
    yield "max_db_connections", left, "The same bound where such a database has several roles."
    yield (
        "reserve_pool_timeout",
        1,
        "A client that has waited for 1 s may use the reserve; the default of 5 s is longer than callers wait.",
    )
    yield (
        "max_client_conn",
        plan.clients + max(10, plan.clients // 10),
        f"{plan.clients} clients at most, all processes of a rolling deploy together, and 10 % for people. The limit "
        f"on open files (ulimit -n) has to be above it plus {plan.of_one_process}.",
    )
    yield from _timeouts(plan)
    yield (
        "ignore_startup_parameters",
        "extra_float_digits",
        "JDBC sends it. Not statement_timeout and its like: dropped without a word; ALTER ROLE sets them.",
    )


def _timeouts(plan: PoolerPlan) -> Iterator[tuple[str, object, str]]:
    yield (
        "query_wait_timeout",
        plan.query_wait,
        "What waits longer cannot be answered before its caller gives up: the caller's timeout less a slow hold. The "
        "default is 120 s. PgBouncer cuts that client's connection.",
    )
    yield (
        "server_idle_timeout",
        600,
        "The default: limits add up, so that an idle connection takes nothing from another service.",
    )
    yield "server_lifetime", 3600, "The default: a server process gives its memory back once an hour."
    yield "server_connect_timeout", 5, "Longest wait for a connect and login; the default is 15 s."
    yield "server_login_retry", 1, "The default refuses clients for 15 s after one failed connect, as in a restart."
    yield (
        "idle_transaction_timeout",
        plan.idle_transaction,
        "A client that forgets its transaction keeps a connection from others; 10 times a slow hold, at least 60 s.",
    )


def _users(plan: PoolerPlan) -> str:
    users = dict.fromkeys(tenant.user for tenant in plan.tenants)
    told = _comment(
        "Fill in each role's password, or better its verifier: SELECT rolpassword FROM pg_authid WHERE rolname = ... "
        "Keep this file readable for PgBouncer only, and out of the repository."
    )
    return "\n".join([*told, *(f'"{_doubled(user)}" "{PASSWORD}"' for user in users)]) + "\n"


def _environment(tenant: Tenant, plan: PoolerPlan, site: Site, settings: Mapping[str, object]) -> str:
    share = plan.shares[tenant.service]
    lines = [
        f"# {tenant.service}, behind PgBouncer: its processes share {plan.processes * share.most} server connections.",
        f"DATABASE_URL=postgresql+asyncpg://{tenant.user}:{PASSWORD}@{_HOST}:{site.listen_port}/{tenant.service}",
        "# Prepared statements off, and nothing sent at connect that PgBouncer refuses.",
        "DATABASE_PROVIDER=pgbouncer-transaction",
        *(f"{name}={value}" for name, value in settings.items()),
        "# Not through PgBouncer: once on the server, what the service's sessions begin with.",
        f"#   ALTER ROLE {_identifier(tenant.user)} SET statement_timeout = '30s';",
        "# Migrations, LISTEN and session advisory locks: past PgBouncer, by the server's own address.",
    ]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    lines, line = list[str](), ";"
    for word in text.split():
        if len(line) + 1 + len(word) > _LINE:
            lines.append(line)
            line = ";"
        line += f" {word}"
    return [*lines, line]


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w.:/-]+", value):
        return value
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def _doubled(value: str) -> str:
    return value.replace('"', '""')


def _identifier(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f'"{_doubled(name)}"'
