"""The server waits for the service to read a large result."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.words import statement
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.CLIENT_WRITE)
    if group is None:
        return
    yield group.finding(
        "huge-result",
        f"{group.counted} of {group.place} fetch more than is read: the server waits to send"
        f" (Client/ClientWrite): {statement(group.statement)}",
        "the time goes into moving and decoding rows, and all of them are kept in memory",
        "Ask for less (LIMIT, fewer columns, keyset pages), or stream with session.stream()",
        Confidence.CERTAIN,
        unseen=("how many rows", *case.blind()),
        statement=group.statement,
    )
