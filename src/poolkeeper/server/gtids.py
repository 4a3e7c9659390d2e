"""Global transaction ids, as MariaDB and MySQL write them, as places in their logs."""

from __future__ import annotations

import re
from collections.abc import Callable

from poolkeeper.model import Place

# Domain, server, and number within the domain.
_MARIADB = re.compile(r"(\d+)-\d+-(\d+)")
# The server that wrote, and intervals of the numbers it gave.
_MYSQL = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})((?::\d+(?:-\d+)?)+)", re.IGNORECASE)
_INTERVAL = re.compile(r":(\d+)(?:-(\d+))?")
# A position has to fit into a header; who has more logs is asked for no place at all.
_MOST_LOGS = 16
# SHOW VARIABLES of MySQL cuts a value off after 1024 characters, without a word.
_LONGEST = 1000


def mariadb_place(gtids: str) -> Place | None:
    """One id for each domain, "0-1-120,7-2-3"; who has it has all with lower numbers. None where there is none."""
    found = [_MARIADB.fullmatch(gtid.strip()) for gtid in gtids.split(",")]
    return _place({match[1]: int(match[2]) for match in found if match}, len(found), gtids)


def mysql_shown(gtids: str) -> Place | None:
    """A set, "3e11fa47-...:1-77:80,...": up to where a server has everything, without what it has beyond a gap."""
    return _mysql(gtids, _without_gap)


def mysql_written(gtids: str) -> Place | None:
    """The same set: up to where a server has written anything."""
    return _mysql(gtids, lambda intervals: max(last for _, last in intervals))


def _mysql(gtids: str, number: Callable[[list[tuple[int, int]]], int]) -> Place | None:
    # Sets with tags (MySQL 8.3) are not understood, and so not compared.
    found = [_MYSQL.fullmatch(part.strip()) for part in gtids.split(",")]
    intervals = {match[1].replace("-", "").lower(): _intervals(match[2]) for match in found if match}
    return _place({server: number(given) for server, given in intervals.items()}, len(found), gtids)


def _intervals(text: str) -> list[tuple[int, int]]:
    return [(int(first), int(last or first)) for first, last in _INTERVAL.findall(text)]


def _without_gap(intervals: list[tuple[int, int]]) -> int:
    first, last = min(intervals)
    return last if first == 1 else 0


def _place(logs: dict[str, int], told: int, gtids: str) -> Place | None:
    return Place(logs) if len(logs) == told <= _MOST_LOGS and len(gtids) < _LONGEST else None
