"""Which sessions are of processes that have ended, as far as this host can tell."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace

from poolkeeper.model import ClientName, ServerFacts, ServerSession

# About when this process began. A fork takes it from its parent: it seems older than it is, and others not so old.
_BEGAN = time.monotonic()


def with_generations(facts: ServerFacts, own_address: str | None) -> ServerFacts:
    """The facts, with how long this process has run and with the sessions marked whose processes have ended.

    Only those are looked for whose name has this host in it, and whose client has the same address as we.
    """
    host = socket.gethostname()
    return replace(
        facts,
        process_seconds=time.monotonic() - _BEGAN,
        sessions=tuple(_marked(session, host, own_address) for session in facts.sessions),
    )


def _marked(session: ServerSession, host: str, own_address: str | None) -> ServerSession:
    name = ClientName.parse(session.application)
    if name is None or name.host != host or session.client != own_address or _runs(name.pid):
        return session
    return replace(session, client_ended=True)


def _runs(pid: int) -> bool:
    if os.name != "posix":
        # Signals end processes there.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
