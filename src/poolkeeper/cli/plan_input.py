"""What `poolkeeper plan` measures: a running service through its metrics, a server through its own views."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, cast

from poolkeeper.cli.http import HttpSource, credentials, headers_of, printable
from poolkeeper.cli.looks import LookFailed
from poolkeeper.cli.server_sight import ServerSight
from poolkeeper.model import Ceiling, ClientName, ServerFacts
from poolkeeper.planner.measured import Measured, MeasuredPool, measured_between, measured_since_start
from poolkeeper.planner.quantities import duration, in_words, whole
from poolkeeper.planner.scrape import Scrape, ScrapeUnreadable

OVER = 10.0  # seconds between two scrapes
_LONGEST = 3600.0
_ACCEPT = "text/plain;version=0.0.4"
_LARGEST = 32 * 1024 * 1024
# The service part of a session's name where nobody gave one.
_UNNAMED = "poolkeeper"


class Wanted(NamedTuple):
    """What the user asked to measure: a service's metrics (for how long, with which headers), a server."""

    source: str | None
    over: str | None
    headers: Sequence[str]
    url: str | None


class Completed(NamedTuple):
    """A workload's document with what was measured, the flags that still win over it, and what one has to know."""

    document: Mapping[str, object]
    flags: Mapping[str, object]
    notes: tuple[str, ...]


def with_measured(document: Mapping[str, object], wanted: Wanted, flags: Mapping[str, object]) -> Completed:
    """The document, with what is measured in the place of what it says. Raises `LookFailed`, without secrets."""
    if wanted.source is None and (wanted.over is not None or wanted.headers):
        raise LookFailed("--over and --header are about --from, which is missing")
    notes: tuple[str, ...] = ()
    if wanted.source is not None:
        document, flags, notes = _with_services(document, wanted.source, wanted, flags)
    if wanted.url is not None:
        taken = of_server(
            wanted.url, _services(document).keys() | {str(flags[name]) for name in flags.keys() & {"name"}}
        )
        document = {**document, "server": {**_table(document.get("server")), **taken.values}}
        notes += taken.notes
    return Completed(document, flags, notes)


def _with_services(
    document: Mapping[str, object], source: str, wanted: Wanted, flags: Mapping[str, object]
) -> Completed:
    found = measured(source, _seconds(wanted.over), headers_of(wanted.headers))
    known = _services(document)
    pods = {pool.name: _pods(flags, _table(known.get(pool.name))) for pool in found.pools}
    services = dict(known)
    for name, values in found.tables(pods).items():
        said = {key: value for key, value in _table(known.get(name)).items() if key != "hold_p99"}
        # A hold of the user's own has a spread of its own.
        left_out = {"hold_histogram"} if flags.keys() & {"hold", "hold_p99"} else set[str]()
        services[name] = {**said, "pods": pods[name], **{key: values[key] for key in values.keys() - left_out}}
    told = f"measured over {found.seconds:.3g} s, in one pod: {', '.join(map(_told, found.pools))}"
    rest = {name: value for name, value in flags.items() if name != "pods"}
    return Completed({**document, "services": services}, rest, (told, *found.notes))


def _told(pool: MeasuredPool) -> str:
    lost, wait = pool.refused + pool.timed_out, pool.waits.quantile(0.99)
    return (
        f"{pool.name} {pool.calls:.4g} checkouts/s of {in_words(pool.holds.mean or 0.0)}, {pool.mean_in_use:.3g} in use"
        f"{f', p99 wait {in_words(wait)}' if wait else ''}{f', {lost:.3g}/s not served' if lost else ''}"
    )


def _pods(flags: Mapping[str, object], service: Mapping[str, object]) -> int:
    given = flags.get("pods", service.get("pods", 1))
    try:
        pods = whole(given)
    except ValueError:
        pods = 0
    if pods < 1:
        raise LookFailed(f"pods is {given!r}: a whole number of at least 1 is needed")
    return pods


def _seconds(over: str | None) -> float | None:
    if over is None:
        return None
    try:
        seconds = duration(over)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST:
        raise LookFailed(f"--over is {over!r}: a duration with its unit is needed, at most an hour, such as 30s")
    return seconds


def _services(document: Mapping[str, object]) -> dict[str, object]:
    return _table(document.get("services"))


def _table(value: object) -> dict[str, object]:
    # What is no table is told as such when the document is read.
    return dict(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else {}


class Taken(NamedTuple):
    """What a server has, as values of a workload's document, and what one has to know about them."""

    values: Mapping[str, object]
    notes: tuple[str, ...]


def measured(source: str, over: float | None, headers: Mapping[str, str]) -> Measured:
    """What a service does: two scrapes of its metrics, `over` seconds apart (10 unless given), or a saved one.

    Raises `LookFailed`, without secrets.
    """
    try:
        if source.partition("://")[0] in ("http", "https"):
            return _of_service(source, OVER if over is None else over, headers)
        if over is not None:
            raise LookFailed("--over is for a URL: a file is one scrape, and tells the mean since the process started")
        return _of_file(Path(source))
    except ScrapeUnreadable as error:
        raise LookFailed(f"{_shown(source)}: {error}") from None


def _of_service(url: str, over: float, headers: Mapping[str, str]) -> Measured:
    source = HttpSource(url, headers)
    earlier, began = _scrape(source.read(_ACCEPT)), time.monotonic()
    time.sleep(over)
    # Counted between the answers, each of which is of the moment before it.
    later, ended = _scrape(source.read(_ACCEPT)), time.monotonic()
    return measured_between(earlier, later, ended - began)


def _of_file(path: Path) -> Measured:
    try:
        with path.open("rb") as file:
            content, at = file.read(_LARGEST + 1), path.stat().st_mtime
    except OSError as error:
        raise LookFailed(f"{path}: {error.strerror or error}; give a URL, or a file with a scrape") from None
    if len(content) > _LARGEST:
        raise LookFailed(f"{path} has more than {_LARGEST // 1024 // 1024} MB: it is no scrape")
    return measured_since_start(_scrape(content), at)


def _scrape(content: bytes) -> Scrape:
    try:
        return Scrape.read(content.decode())
    except UnicodeDecodeError:
        raise ScrapeUnreadable("it is no text, so it is no scrape of Prometheus") from None


def _shown(source: str) -> str:
    return source.rpartition("@")[2] if credentials(source) else source


def of_server(url: str, services: Collection[str]) -> Taken:
    """What the server of a database URL has for these services. Raises `LookFailed`, without secrets.

    Whatever ceiling leaves them least counts: the server's, that of the role, or that of the database.
    """
    with closing(ServerSight(url)) as sight:
        facts = sight.facts()
    ours = sum(_is_of(session.application, services) for session in facts.sessions)
    name, ceiling = min(_ceilings(facts).items(), key=lambda one: _free(one[1]))
    others = max(0, ceiling.used - ours)
    reserved = facts.reserved if name == _SERVER else 0
    limit = (ceiling.limit or 0) + reserved
    values: dict[str, object] = {"max_connections": limit, "reserved": reserved, "other_clients": others}
    if (cores := _cores(facts)) is not None:
        values["cores"] = cores
    return Taken(values, tuple(_notes(facts, name, limit, reserved, others, ours, cores)))


_SERVER = "max_connections"


def _ceilings(facts: ServerFacts) -> dict[str, Ceiling]:
    if facts.ordinary.limit is None:
        raise LookFailed("only the pooler answers, and not the server; give the server's own URL")
    named = {_SERVER: facts.ordinary, "the limit of the role": facts.role, "the limit of the database": facts.database}
    return {name: ceiling for name, ceiling in named.items() if ceiling.limit is not None}


def _free(ceiling: Ceiling) -> int:
    return (ceiling.limit or 0) - ceiling.used


def _is_of(application: str | None, services: Collection[str]) -> bool:
    name = ClientName.parse(application)
    return name is not None and (name.service == _UNNAMED or name.service in services)


def _cores(facts: ServerFacts) -> int | None:
    """The cores of the server, if it tells them or runs on this machine: then its sessions are processes here."""
    sessions = [session.id for session in facts.sessions] if facts.kind == "postgresql" else []
    return os.cpu_count() if facts.cpus is None and sessions and all(map(_is_postgres, sessions)) else facts.cpus


def _is_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("postgres")
    except OSError:
        return False


def _notes(
    facts: ServerFacts, name: str, limit: int, reserved: int, others: int, ours: int, cores: int | None
) -> list[str]:
    kept = f", {reserved} reserved" if reserved else ""
    told = [
        f"{facts.kind} {facts.version}: {name} {limit}{kept}; {others} connections of others, {ours} of poolkeeper's"
    ]
    owners = Counter(session.application or session.user or "unknown" for session in facts.sessions)
    if owners:
        told.append(
            printable(f"connected now: {', '.join(f'{owner} {count}' for owner, count in owners.most_common(5))}")
        )
    if facts.in_recovery:
        told.append("it is a standby: writes go to another server, with connections of its own")
    if facts.unseen:
        told.append(
            f"of {facts.unseen} sessions only their owners may be seen: GRANT {facts.grant_to_see} to count them"
        )
    if cores is None:
        told.append("it does not tell its cores: give --cores")
    elif facts.cpus is None:
        told.append(f"it runs on this machine, which has {cores} cores")
    return told
