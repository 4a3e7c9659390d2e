"""What a pooler shares a server connection between: told by which connections its clients get."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from sqlalchemy import Connection

from poolkeeper.server.kept import KeptConnection
from poolkeeper.server.sampler import Unpooled

# Which of the two clients asks. Not in strict turns: with two server connections in rotation each would meet its own
# again. Measured with PgBouncer 1.18 beside 0 to 8 other clients, with 1 to 20 server connections, and with
# server_round_robin: of 2,880 times that connections were shared, the 15th question was the latest that told.
_TURNS = "0110010110100110" * 2
# PgBouncer's answer to a BEGIN that it refuses.
_NO_TRANSACTIONS = "statement pooling mode"


class PoolMode(StrEnum):
    """How long a client of a pooler keeps a server connection."""

    SESSION = "session"
    TRANSACTION = "transaction"
    STATEMENT = "statement"


async def look_at_mode(unpooled: Callable[[], Unpooled], *, patience: float, timeout: float) -> PoolMode:
    """The mode of the pooler that `unpooled` leads to, within `timeout` seconds, and `patience` for each answer.

    Two new clients ask for the number of their server process in turns. Where both get the same, or one gets two, the
    server connections are shared while the clients are there; where each keeps its own they are not. Nothing is set or
    left behind on the server. In session mode the look takes two of its connections for as long as it lasts, and where
    only one is free, that one for `patience`. `unpooled` must not prepare statements. Raises `TimeoutError` and what
    the driver raises: then nothing is known.
    """
    clients = KeptConnection(unpooled, patience), KeptConnection(unpooled, patience)
    try:
        async with asyncio.timeout(timeout):
            is_shared = await _is_shared(clients)
            await clients[0].ask(_transaction)
    except Exception as error:
        if _NO_TRANSACTIONS in str(error):
            return PoolMode.STATEMENT
        raise
    finally:
        for client in clients:
            with suppress(Exception):
                await client.close()
    return PoolMode.TRANSACTION if is_shared else PoolMode.SESSION


async def _is_shared(clients: tuple[KeptConnection, KeptConnection]) -> bool:
    seen = set[int](), set[int]()
    for turn in map(int, _TURNS):
        seen[turn].add(await clients[turn].ask(_process))
        if len(seen[turn]) > 1 or seen[0] & seen[1]:
            return True
    return False


def _process(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def _transaction(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN READ ONLY")
    connection.exec_driver_sql("ROLLBACK")
