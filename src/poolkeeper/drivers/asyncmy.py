"""asyncmy: MySQL and MariaDB, asyncio."""

from __future__ import annotations

from typing import Any, ClassVar

from poolkeeper.drivers.mysql_asyncio import MysqlAsyncio


class Asyncmy(MysqlAsyncio):
    """The driver `mysql+asyncmy` (and `mariadb+asyncmy`)."""

    module: ClassVar[str] = "asyncmy"
    errors_module: ClassVar[str] = "asyncmy.errors"

    def _transport(self, driver_connection: Any) -> Any:
        return driver_connection._transport
