"""What went through the proxy."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counted at the proxy since the last `reset_counters`; `open` is the number of connections open now.

    A turn is a burst of the client after data from the server (or at the beginning): one protocol round trip, however
    many packets it takes.
    """

    accepted: int = 0
    open: int = 0
    turns: int = 0
    bytes_to_server: int = 0
    bytes_to_client: int = 0


class Meter:
    """Counts; only the proxy's thread writes. A snapshot is replaced as a whole, so that any thread may read it."""

    def __init__(self) -> None:
        self.traffic = Traffic()

    def add(
        self, *, accepted: int = 0, opened: int = 0, turns: int = 0, to_server: int = 0, to_client: int = 0
    ) -> None:
        now = self.traffic
        self.traffic = Traffic(
            accepted=now.accepted + accepted,
            open=now.open + opened,
            turns=now.turns + turns,
            bytes_to_server=now.bytes_to_server + to_server,
            bytes_to_client=now.bytes_to_client + to_client,
        )

    def reset(self) -> None:
        self.traffic = replace(Traffic(), open=self.traffic.open)
