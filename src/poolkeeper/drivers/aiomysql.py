"""aiomysql: MySQL and MariaDB, asyncio."""

from __future__ import annotations

from typing import Any, ClassVar

from poolkeeper.drivers.mysql_asyncio import MysqlAsyncio


class Aiomysql(MysqlAsyncio):
    """The driver `mysql+aiomysql` (and `mariadb+aiomysql`)."""

    module: ClassVar[str] = "aiomysql"
    errors_module: ClassVar[str] = "pymysql.err"

    def is_closed(self, driver_connection: Any) -> bool:
        # The server's end-of-file leaves the transport half open.
        return MysqlAsyncio.is_closed(self, driver_connection) or bool(driver_connection._reader.at_eof())

    async def _connected(self, module: Any, args: Any, kwargs: Any) -> Any:
        # Its own connect() drops a connection that is cancelled in the TLS handshake without closing it.
        connection = module.Connection(*args, **kwargs)
        try:
            await connection._connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _transport(self, driver_connection: Any) -> Any:
        writer = driver_connection._writer
        return None if writer is None else writer.transport
