"""What may listen to the connections of a proxy."""

from __future__ import annotations

from typing import Protocol


class Witness(Protocol):
    """Hears of one connection, in the proxy's thread: what the server said, once the client has it, and the end."""

    def said(self, data: bytes, /) -> None: ...

    def over(self) -> None: ...


class Unheard:
    """Listens to nothing."""

    def said(self, _data: bytes) -> None: ...

    def over(self) -> None: ...
