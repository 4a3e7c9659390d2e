from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import asyncpg
import pytest
from tests.servers import FreshDatabase, left_after_a_moment

from poolkeeper.drill.connects import Connect, Connects, Listener, most_at_once
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

ADMITTED = b"R\0\0\0\x08\0\0\0\0" + b"S\0\0\0\x0ca\0b\0c\0d\0" + b"Z\0\0\0\x05I"


@pytest.mark.parametrize("greeting", [b"", b"N", b"NN"])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_connect_ends_with_the_server_being_ready_however_its_words_are_cut(greeting: bytes, size: int) -> None:
    listener, said = Listener(), greeting + ADMITTED
    for begin in range(0, len(said), size):
        assert listener.connect.ended is None
        listener.said(said[begin : begin + size])
    assert listener.connect.ended is not None


def test_what_is_said_after_it_changes_nothing() -> None:
    listener = Listener()
    listener.said(ADMITTED)
    ended = listener.connect.ended
    listener.said(b"D\0\0\0\x05x")
    listener.over()
    assert listener.connect.ended == ended


def test_a_refusal_ends_it_too() -> None:
    listener = Listener()
    listener.said(b"E\0\0\0\x05\0")
    assert listener.connect.ended is not None


@pytest.mark.parametrize("answer", [b"S", b"G", b"NS"])
def test_encryption_hides_the_rest(answer: bytes) -> None:
    listener = Listener()
    listener.said(answer)
    assert listener.connect.encrypted
    assert not Listener().connect.encrypted


@pytest.mark.parametrize(
    ("spans", "most"),
    [
        ([], 0),
        ([(0, 1), (1, 2)], 1),
        ([(0, 3), (1, 2), (1, 4), (3, 4)], 3),
        ([(0, None), (5, None), (1, 2)], 2),
    ],
)
def test_at_once_are_those_that_were_under_way_at_the_same_moment(
    spans: list[tuple[float, float | None]], most: int
) -> None:
    assert most_at_once([Connect(*span) for span in spans]) == most


@pytest.fixture
def connects() -> Connects:
    return Connects()


@pytest.fixture
def proxy(postgres: EmbeddedPostgres, connects: Connects) -> Iterator[FaultProxy]:
    with FaultProxy(postgres.host, postgres.port, witness=connects.listen) as proxy:
        yield proxy


def over(connects: Connects) -> int:
    """How many connects are over, a moment later at the latest."""
    left_after_a_moment(lambda: (time.sleep(0.01), [1 for each in connects.since(0, 0) if each.ended is None])[1])
    return sum(each.ended is not None for each in connects.since(0, 0))


@pytest.mark.anyio
async def test_connects_to_a_real_server_are_seen_from_outside(
    proxy: FaultProxy, connects: Connects, fresh_database: FreshDatabase
) -> None:
    began = time.monotonic()
    proxy.latency = 0.02
    dsn = proxy.url(fresh_database.url()).replace("+asyncpg", "")
    clients = await asyncio.gather(*(asyncpg.connect(dsn) for _ in range(3)))
    assert over(connects) == 3
    # They are in, and what they do then is no connect.
    proxy.latency = 0.0
    assert [await client.fetchval("SELECT 1") for client in clients] == [1, 1, 1]
    for client in clients:
        await client.close()
    seen = connects.since(began, began)
    assert most_at_once(seen) == 3
    # There and back again: the question for encryption, and the start.
    assert all(each.began >= 0 and (each.ended or 0) - each.began >= 0.04 for each in seen)
    assert connects.since(time.monotonic(), 0) == ()


def test_one_that_is_never_answered_is_under_way_until_its_client_leaves(proxy: FaultProxy, connects: Connects) -> None:
    proxy.accept_and_hang()
    with socket.create_connection((proxy.host, proxy.port)):
        left_after_a_moment(lambda: (time.sleep(0.01), [] if connects.since(0, 0) else [1])[1])
        assert [each.ended for each in connects.since(0, 0)] == [None]
    assert over(connects) == 1
