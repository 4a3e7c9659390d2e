"""connect_timeout bounds the whole connect, whatever a driver's own timeout covers."""

from __future__ import annotations

import threading
import time

import pytest
from tests.drivers.conftest import Opener

from poolkeeper.drivers import ConnectOptions, classify_connect_failure
from poolkeeper.drivers.deadline import within
from poolkeeper.errors import ConnectFailure
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.slow

TIMEOUT = 0.3
OPTIONS = ConnectOptions(connect_timeout=TIMEOUT)


async def costs_the_timeout_and_no_more(connect: Opener, url: str) -> bool:
    """Whether one of several attempts does: a busy machine adds something to others."""
    for _ in range(10):
        started = time.monotonic()
        with pytest.raises(Exception) as refused:
            await connect(url, OPTIONS)
        assert classify_connect_failure(refused.value) is ConnectFailure.TIMEOUT
        took = time.monotonic() - started
        assert took >= TIMEOUT
        if took < 1.5 * TIMEOUT:
            return True
    return False


@pytest.mark.anyio
async def test_a_host_that_accepts_and_never_answers_costs_the_timeout_and_no_more(
    connect: Opener, server_url: str, proxy: FaultProxy
) -> None:
    proxy.accept_and_hang()
    assert await costs_the_timeout_and_no_more(connect, proxy.url(server_url))


@pytest.mark.anyio
async def test_a_server_that_answers_every_step_but_slowly_costs_no_more_either(
    connect: Opener, server_url: str, proxy: FaultProxy
) -> None:
    proxy.latency = TIMEOUT * 0.45
    assert await costs_the_timeout_and_no_more(connect, proxy.url(server_url))


@pytest.mark.anyio
async def test_a_server_that_answers_in_time_is_not_cut_off(
    connect: Opener, server_url: str, proxy: FaultProxy
) -> None:
    proxy.latency = 0.02
    opened = await connect(proxy.url(server_url), ConnectOptions(connect_timeout=10))
    assert await opened.scalar("SELECT 1") == 1


def test_within_returns_what_was_brought_in_time() -> None:
    assert within(10, lambda: "connection", pytest.fail) == "connection"


def test_within_raises_what_the_call_raised() -> None:
    with pytest.raises(ConnectionRefusedError):
        within(10, lambda: (_ for _ in ()).throw(ConnectionRefusedError()), pytest.fail)


def test_a_timeout_of_the_call_itself_is_not_taken_for_ours() -> None:
    own = TimeoutError("the driver's own")
    with pytest.raises(TimeoutError) as raised:
        within(10, lambda: (_ for _ in ()).throw(own), pytest.fail)
    assert raised.value is own


def test_a_connection_that_comes_too_late_is_discarded() -> None:
    late, discarded = threading.Event(), threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, lambda: late.wait(10), lambda _connection: discarded.set())
    assert not discarded.is_set()
    late.set()
    assert discarded.wait(10)
