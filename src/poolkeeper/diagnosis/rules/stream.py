"""A connection is kept while the response is being sent."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.STREAMING)
    if group is None:
        return
    yield group.finding(
        "held-while-streaming",
        f"{group.counted} kept by {group.place} while its response is being sent",
        "the client decides how long that takes: a slow one, or an event stream, keeps the connection for as long",
        "Read first and close the session, then stream; or open one for each part inside the stream",
        Confidence.CERTAIN,
        statement=group.statement,
        awaiting=group.awaited,
    )
