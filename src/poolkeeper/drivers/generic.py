"""A driver that nobody here knows: what it tells about itself is all there is."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from poolkeeper.drivers.base import ConnectOptions
from poolkeeper.drivers.orphans import release


@dataclass(frozen=True, slots=True)
class Generic:
    """Asks a connection for `fileno()`, `closed` or `is_closed()`, `terminate()` or `abort()`, where it has them."""

    is_async: bool = True
    serialises_commands: bool = False

    def connect_args(self, options: ConnectOptions) -> dict[str, Any]:
        """The user's own; what others the driver takes is not known."""
        return dict(options.driver_arguments)

    def attach(self, engine: Engine, options: ConnectOptions) -> None:
        """Nothing is known that could be done."""

    def socket_of(self, driver_connection: Any) -> int | None:
        with contextlib.suppress(Exception):
            descriptor = int(driver_connection.fileno())
            return None if descriptor < 0 else descriptor
        return None

    def is_closed(self, driver_connection: Any) -> bool:
        with contextlib.suppress(Exception):
            if (closed := getattr(driver_connection, "closed", None)) is not None:
                return bool(closed() if callable(closed) else closed)
            return bool(driver_connection.is_closed())
        return False

    def is_in_transaction(self, driver_connection: Any) -> bool:  # noqa: ARG002
        return True

    def backend_of(self, driver_connection: Any) -> int | None:  # noqa: ARG002
        return None

    def transaction_is_open(self, driver_connection: Any) -> bool | None:  # noqa: ARG002
        return None

    def refuses_writes(self, driver_connection: Any) -> bool | None:  # noqa: ARG002
        return None

    def idle_cut_of(self, driver_connection: Any) -> float | None:  # noqa: ARG002
        return None

    def abort(self, driver_connection: Any) -> None:
        for name in ("terminate", "abort"):
            end: Callable[[], object] | None = getattr(driver_connection, name, None)
            if end is not None and not inspect.iscoroutinefunction(end):
                with contextlib.suppress(Exception):
                    end()
                return
        release(self.socket_of(driver_connection), keep_session=False)

    def abandon(self, driver_connection: Any, *, keep_session: bool) -> None:
        release(self.socket_of(driver_connection), keep_session=keep_session)
