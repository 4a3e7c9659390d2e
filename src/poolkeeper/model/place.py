"""Places in the logs that replicas follow: what one host has to have, so that it shows what another one wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

# PostgreSQL has one log, and it needs no name.
_WAL = ""
_NAMED = re.compile(r"([0-9a-z]+):([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody has come: for each log the number up to which they have everything.

    PostgreSQL's write-ahead log is counted in bytes (`of_wal`). MariaDB has a log for each replication domain and MySQL
    one for each server that wrote, both counted in transactions. `str()` and `parse` carry it to another process, in
    characters that cookies and headers may have.
    """

    logs: Mapping[str, int]

    @classmethod
    def of_wal(cls, position: int) -> Self:
        """A byte of PostgreSQL's write-ahead log."""
        return cls({_WAL: position})

    def covers(self, other: Place) -> bool:
        """Whether everything is here that is there."""
        return all(self.logs.get(log, -1) >= number for log, number in other.logs.items())

    def joined(self, other: Place) -> Place:
        """What covers both."""
        most = {log: max(number, self.logs.get(log, number)) for log, number in other.logs.items()}
        return Place({**self.logs, **most})

    def bytes_beyond(self, other: Place) -> int | None:
        """How many bytes of the log are here and not there; None where it is not counted in bytes."""
        if _WAL not in self.logs or _WAL not in other.logs:
            return None
        return max(0, self.logs[_WAL] - other.logs[_WAL])

    def __str__(self) -> str:
        if _WAL in self.logs:
            return format(self.logs[_WAL], "x")
        return "+".join(f"{log}:{number:x}" for log, number in sorted(self.logs.items()))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reverse of `str()`. Raises `ValueError`."""
        if ":" not in text:
            return cls.of_wal(int(text, 16))
        found = [_NAMED.fullmatch(part) for part in text.split("+")]
        logs = {match[1]: int(match[2], 16) for match in found if match}
        if len(logs) < len(found):
            raise ValueError("not a place in a log")
        return cls(logs)
