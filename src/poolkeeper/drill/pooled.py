"""What the scenarios share in which a PgBouncer stands before the server."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.restart import AWAY
from poolkeeper.drill.stage import Stage

# Server connections of a PgBouncer that has fewer than a pool wants, clients that it lets in (its default), and the
# seconds after which it gives a client up that waits for one.
SERVERS = 8
CLIENTS = 100
GIVES_UP = 2.0
SCARCE: Mapping[str, object] = MappingProxyType(
    {"default_pool_size": SERVERS, "max_client_conn": CLIENTS, "query_wait_timeout": f"{GIVES_UP:g}"}
)
# All that come at once, and a stream that needs a quarter of the server connections: each request has one for 0.1 s.
WAVE = 20
_HOLD = 0.1
RATE = SERVERS / _HOLD / 4
_SECONDS = 4.0


def wave_and_stream() -> PhasedLoad:
    """Twenty at once, and then what a quarter of the server connections can serve."""
    wave = (WAVE / 0.05, 0.05)
    phases = (wave, (RATE, _SECONDS - wave[1]))
    return PhasedLoad(phases=phases, mix={"slow": 70, "transfer": 30}, hold=_HOLD)


def without_server(figures: Figures) -> int:
    """How many of the wave find a client connection, and no server connection behind it."""
    return max(0, min(WAVE, figures.slots, CLIENTS) - SERVERS)


def restart_pooler(stage: Stage) -> None:
    """The fault: the pooler is stopped, is away for a second, and is over when it listens again."""
    stage.pooler.stop()
    stage.mark("down")
    stage.wait(AWAY)
    stage.pooler.start()
