"""Whether every connection of a pool is where the pool believes it is."""

from __future__ import annotations

from sqlalchemy.pool import Pool, QueuePool

from poolkeeper.pool import KeeperPool


def assert_conserved(pool: Pool, open_on_server: int | None = None) -> None:
    """Raise an AssertionError with all the numbers unless no connection was lost and nobody was forgotten.

    Call it when nothing is going on. A `KeeperPool` must have as many connections as it opened and did not close,
    nobody waiting and none being opened. `open_on_server` is what the other side counts (`len(database.connections)`,
    rows of `pg_stat_activity`); it must be what the pool, a `QueuePool` too, has idle and in use. Detached connections
    do not count as the pool's.
    """
    kept, problems = _kept(pool)
    if open_on_server is not None and open_on_server != kept:
        problems.append(f"the server has {open_on_server} connections open, the pool {kept}")
    if problems:
        raise AssertionError("; ".join([*problems, repr(pool), pool.status()]))


def _kept(pool: Pool) -> tuple[int, list[str]]:
    if not isinstance(pool, KeeperPool):
        if not isinstance(pool, QueuePool):
            raise TypeError(f"{pool!r} does not count its connections")
        return pool.checkedin() + pool.checkedout(), []
    counts = pool.counts()
    kept = counts.in_use + counts.idle + counts.checking
    problems: list[str] = []
    if counts.opened != counts.closed_total + kept:
        problems.append(f"opened {counts.opened} and closed {counts.closed_total}, but has {kept}")
    if counts.waiting or counts.connecting:
        problems.append(f"{counts.waiting} wait and {counts.connecting} are being opened")
    if counts.capacity is not None and kept > counts.capacity:
        problems.append(f"{kept} open, but at most {counts.capacity} allowed")
    return kept, problems
