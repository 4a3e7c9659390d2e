"""A database server, seen through its own views."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from poolkeeper.cli.looks import NOTHING_FOUND, Look, LookFailed
from poolkeeper.database import Database
from poolkeeper.database.explaining import Explanation
from poolkeeper.diagnosis import explain, in_full
from poolkeeper.drivers import sqlstate_of
from poolkeeper.errors import ConnectFailed
from poolkeeper.model import Ceiling, ConnectTrouble, Finding, PoolSnapshot, ServerFacts, ServerSession, Severity
from poolkeeper.settings import DatabaseSettings, DsnInvalid, SettingsRefused
from poolkeeper.settings.masking import masked_text

_MOST_LINES = 20
_STATEMENT_LENGTH = 80
# A wait for a lock this long (seconds) is not the ordinary course of things.
_LONG_BLOCK = 5.0
# What `postgresql://` and the like stand for, the first one that is installed.
_DRIVERS = {
    "postgres": ("postgresql", ("psycopg", "asyncpg")),
    "postgresql": ("postgresql", ("psycopg", "asyncpg")),
    "mysql": ("mysql", ("pymysql", "aiomysql", "asyncmy")),
    "mariadb": ("mariadb", ("pymysql", "aiomysql", "asyncmy")),
}


class ServerSight:
    """Looks at the server of a database URL, over a connection for each look."""

    def __init__(self, url: str | None) -> None:
        given = url or os.environ.get("DATABASE_URL")
        try:
            self._database = Database(DatabaseSettings(None if given is None else with_driver(given)))
        except (SettingsRefused, DsnInvalid) as refused:
            raise LookFailed(str(refused)) from None
        self._runner = asyncio.Runner()

    def look(self) -> Look:
        explanation, facts = self._explained()
        findings = (*explanation.findings, *_findings(facts))
        told = in_full(explanation.snapshot, findings).split("\n\n")[1:] if findings else [NOTHING_FOUND]
        data: dict[str, object] = {"findings": [finding.as_dict() for finding in findings], "server": facts.as_dict()}
        return Look((*_paragraphs(facts), *told), findings, data)

    def facts(self) -> ServerFacts:
        """What the server says. Raises `LookFailed`."""
        return self._explained()[1]

    def close(self) -> None:
        self._runner.close()

    def _explained(self) -> tuple[Explanation, ServerFacts]:
        if self._database.settings.url.dialect == "sqlite":
            raise LookFailed("SQLite has no server to look at; give the address of the service")
        explanation = self._runner.run(self._database.explain())
        if explanation.facts is None:
            raise LookFailed(self._why_not(explanation.problem))
        return explanation, explanation.facts

    def _why_not(self, problem: str | None) -> str:
        """Why there was no answer, with what the diagnosis makes of it."""
        where = f"{self._database.settings.url}: {problem or 'no answer'}"
        failure = self._database.connectivity.failure
        if failure is None:
            return where
        now = PoolSnapshot("", None, 0, 0, 0, connect_trouble=_trouble(failure))
        first = next(iter(explain((now,))), None)
        return where if first is None else f"{where}\n{first.code}: {first.why}. {first.fix}."


def with_driver(url: str) -> str:
    """The URL with a driver that is installed, where it names none."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _DRIVERS:
        return url
    dialect, drivers = _DRIVERS[scheme]
    driver = next((name for name in drivers if find_spec(name) is not None), None)
    return url if driver is None else f"{dialect}+{driver}://{rest}"


def _trouble(failure: ConnectFailed) -> ConnectTrouble:
    message = masked_text(" ".join(str(failure.orig).split()))
    return ConnectTrouble(failure.reason.value, message, sqlstate_of(failure), attempts=1)


def _paragraphs(facts: ServerFacts) -> Iterator[str]:
    standby = ", a standby" if facts.in_recovery else ""
    ceilings = (("connections", facts.ordinary), ("of this role", facts.role), ("of this database", facts.database))
    limits = [f"  {name:<17} {_ceiling(ceiling)}" for name, ceiling in ceilings]
    yield "\n".join((f"{facts.kind} {facts.version}{standby}", *limits))
    if facts.sessions:
        yield "\n".join(("SESSIONS", *_cut(_by_application(facts.sessions))))
    if blocked := _blocked(facts):
        yield "\n".join(("BLOCKED", *_cut([_chain(facts, session) for session in blocked])))
    if facts.unseen:
        yield f"Of {facts.unseen} sessions only their owners may see more; GRANT {facts.grant_to_see} to see them."


def _ceiling(ceiling: Ceiling) -> str:
    return f"{ceiling.used}" if ceiling.limit is None else f"{ceiling.used} of {ceiling.limit}"


def _by_application(sessions: Sequence[ServerSession]) -> list[str]:
    counted: Counter[str] = Counter(_owner(session) for session in sessions)
    width = max(len(name) for name in counted)
    lines: list[str] = []
    for name, count in counted.most_common():
        states = Counter(session.state or "hidden" for session in sessions if _owner(session) == name)
        told = ", ".join(f"{number} {state}" for state, number in states.most_common())
        lines.append(f"  {name:<{width}}  {count:>4}  {told}")
    return lines


def _blocked(facts: ServerFacts) -> list[ServerSession]:
    """Those that wait for others, the longest first."""
    return sorted(
        (session for session in facts.sessions if session.blocked_by), key=lambda one: -(one.state_seconds or 0.0)
    )


def _chain(facts: ServerFacts, session: ServerSession) -> str:
    root = facts.root_of(session)
    by = f"session {session.blocked_by[0]}" if root is None else f"{_named(root)}, {_state(root)}"
    return f"  {_named(session)} for {session.state_seconds or 0.0:.1f} s by {by}: {_statement(session)}"


def _findings(facts: ServerFacts) -> Iterator[Finding]:
    for name, ceiling in (("server", facts.ordinary), ("role", facts.role), ("database", facts.database)):
        if ceiling.is_reached:
            yield Finding(
                f"{name}-limit-reached",
                Severity.ERROR,
                name,
                f"{ceiling.used} of {ceiling.limit} connections are taken",
                "the next connection is refused",
                "Find out above whose they are; add up pool size x workers x replicas of every client",
            )
    long = [session for session in _blocked(facts) if (session.state_seconds or 0.0) >= _LONG_BLOCK]
    if long:
        root = facts.root_of(long[0])
        yield Finding(
            "sessions-blocked",
            Severity.WARNING,
            _named(root) if root else "a session that cannot be seen",
            f"{len(long)} sessions have waited for a lock for {_LONG_BLOCK:g} s or more",
            f"it holds what they wait for, and is {_state(root)}" if root else "somebody holds what they wait for",
            "Let it commit or roll back before it waits for anything else",
        )


def _owner(session: ServerSession) -> str:
    return _plain(session.application or session.user or "unknown")


def _named(session: ServerSession) -> str:
    return f"session {session.id} ({_owner(session)})"


def _state(session: ServerSession) -> str:
    seconds = session.transaction_seconds if session.in_transaction else session.state_seconds
    return f"{session.state or 'hidden'}{'' if seconds is None else f' for {seconds:.1f} s'}"


def _statement(session: ServerSession) -> str:
    return _plain(session.statement or "unknown statement")[:_STATEMENT_LENGTH]


def _plain(text: str) -> str:
    """Without characters that do something to a terminal: every client names itself."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _cut(lines: list[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return lines if more <= 0 else [*lines[:_MOST_LINES], f"  and {more} more"]
