"""aiomysql: MySQL and MariaDB, asyncio."""

from __future__ import annotations

from typing import Any, ClassVar

from poolkeeper.drivers.mysql_asyncio import MysqlAsyncio


class Aiomysql(MysqlAsyncio):
    """The driver `mysql+aiomysql` (and `mariadb+aiomysql`)."""

    module: ClassVar[str] = "aiomysql"
    errors_module: ClassVar[str] = "pymysql.err"

    def _transport(self, driver_connection: Any) -> Any:
        writer = driver_connection._writer
        return None if writer is None else writer.transport
