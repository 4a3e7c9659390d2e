"""Several databases of one service, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from typing import Self, TypeVar

from poolkeeper.database.cleanup import to_completion
from poolkeeper.database.database import Database

T = TypeVar("T")


class Databases(Mapping[str, Database]):
    """`Databases(orders=Database(...), legacy=Database(...))`: a read-only mapping that starts and closes them all.

    Each is called by its name here in errors, logs, metrics and on the page.
    """

    def __init__(self, **databases: Database) -> None:
        self._databases = databases
        for name, database in databases.items():
            database.name = name

    def __getitem__(self, name: str) -> Database:
        try:
            return self._databases[name]
        except KeyError:
            raise KeyError(f"no database named {name!r}; there are {', '.join(self._databases)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._databases)

    def __len__(self) -> int:
        return len(self._databases)

    async def start(self) -> None:
        """Start every database, all at the same time; failures are raised together as an ExceptionGroup.

        One that cannot be reached is no failure: see `Database.start`. After a failure, or when this is cancelled, all
        of them are closed again.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for name, database in self.items():
                    group.create_task(_noted(name, database.start()))
        except BaseException:
            # There is no work yet that anybody should wait for.
            await to_completion(self._close(deadline=0))
            raise

    def begin_shutdown(self) -> None:
        """Turn the readiness of every database."""
        for database in self.values():
            database.begin_shutdown()

    async def close(self, deadline: float | None = None) -> bool:
        """Close every database at the same time, each within `deadline` seconds (its own `drain_timeout` unless given).

        One that fails to close keeps none of the others from closing; all failures are raised together as an
        ExceptionGroup at the end. Returns whether all work ended by itself.
        """
        results = await self._close(deadline)
        failures = [result for result in results if isinstance(result, Exception)]
        if failures:
            raise ExceptionGroup("databases that could not be closed", failures)
        return all(results)

    async def _close(self, deadline: float | None) -> list[bool | BaseException]:
        closing = (_noted(name, database.close(deadline)) for name, database in self.items())
        return await asyncio.gather(*closing, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Databases {', '.join(self) or 'none'}>"


async def _noted(name: str, work: Awaitable[T]) -> T:
    """What fails says of which database."""
    try:
        return await work
    except Exception as error:
        error.add_note(f"database {name!r}")
        raise
