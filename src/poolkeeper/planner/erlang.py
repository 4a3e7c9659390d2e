"""Erlang's formulas: how often all servers are busy, for Poisson arrivals. The load is arrival rate times mean hold.

A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges", Post Office Electrical Engineers' Journal 10 (1917), 189-197.
"""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.planner.numbers import count, positive


def erlang_b(servers: int, load: float) -> float:
    """The share of arrivals that find all servers busy where nobody waits (M/G/c/c, any distribution of holds).

    One step per server; B(n) = load B(n-1) / (n + load B(n-1)) adds and divides positive numbers only, so nothing is
    lost to rounding or overflow, also with a million servers. Raises `BadNumber`.
    """
    count(servers=servers)
    positive(load=load)
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked *= load
        blocked /= number + blocked
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """The share of arrivals that must wait where everybody waits (M/M/c); 1 from the load on that servers can carry.

    Raises `BadNumber`.
    """
    return waiting_share(servers, load, erlang_b(servers, load))


def waiting_share(servers: int, load: float, blocked: float) -> float:
    """Erlang C of a known Erlang B."""
    if load >= servers:
        return 1.0
    return servers * blocked / (servers - load * (1 - blocked))


def waiting_shares(load: float) -> Iterator[tuple[int, float]]:
    """Numbers of servers, from 1 up, each with its Erlang C: all of them cost what the last one does."""
    blocked, number = 1.0, 0
    while True:
        number += 1
        blocked *= load
        blocked /= number + blocked
        yield number, waiting_share(number, load, blocked)
