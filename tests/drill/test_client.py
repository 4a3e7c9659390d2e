from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from poolkeeper.drill import HttpClient, ResponseCutOff, Service

pytestmark = pytest.mark.anyio


def client_of(service: Service, **options: float) -> HttpClient:
    address = urlsplit(service.address)
    assert address.hostname
    assert address.port
    return HttpClient(address.hostname, address.port, **options)  # type: ignore[arg-type]


async def test_a_body_is_sent_and_received(slow_service: Service) -> None:
    async with client_of(slow_service) as client:
        assert (await client.request("POST", "/echo", b'{"a": 1}')).body == b'{"a": 1}'
        assert (await client.request("GET", "/status/204")).status == 204
        assert (await client.request("GET", "/status/503")).status == 503


async def test_a_long_body_is_read_to_its_end_and_kept_in_part(slow_service: Service) -> None:
    async with client_of(slow_service, spread=1) as client:
        assert len((await client.request("GET", "/bytes/1000000")).body) == 65_536
        assert (await client.request("POST", "/echo", b"next")).body == b"next"


async def test_connections_are_kept_alive_and_used_in_turn(slow_service: Service) -> None:
    async with client_of(slow_service, spread=3) as client:
        for _ in range(12):
            await client.request("GET", "/sleep/0")
        assert len(client._open) == 3


async def test_as_many_connections_are_opened_as_callers_ask_for(slow_service: Service) -> None:
    async with client_of(slow_service, spread=1) as client:
        await asyncio.gather(*(client.request("GET", "/sleep/200") for _ in range(20)))
        assert len(client._open) == 20


async def test_a_cancelled_request_does_not_answer_the_next_one(slow_service: Service) -> None:
    async with client_of(slow_service, spread=1) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.request("POST", "/sleep/100", b"first"), 0.02)
        assert (await client.request("POST", "/sleep/150", b"second")).body == b"second"


async def test_a_connection_that_idled_too_long_is_not_used_again(slow_service: Service) -> None:
    async with client_of(slow_service, spread=1, max_idle=0.0) as client:
        await client.request("GET", "/sleep/0")
        (first,) = client._open
        await client.request("GET", "/sleep/0")
        assert first not in client._open


async def test_an_answer_that_breaks_off_is_an_error_that_says_if_it_had_begun() -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if b"GET /begin" in request:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(break_off, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with HttpClient(host, port) as client:
            with pytest.raises(ResponseCutOff) as begun:
                await client.request("GET", "/begin")
            with pytest.raises(ResponseCutOff) as silent:
                await client.request("GET", "/silent")
    assert (begun.value.started, silent.value.started) == (True, False)


async def test_a_response_tells_if_it_says_when_to_come_back() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for header in ("retry-After: 1\r\n", ""):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 503 Full\r\n{header}Content-Length: 0\r\n\r\n".encode())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with HttpClient(host, port, spread=1) as client:
            assert [(await client.request("GET", "/")).retry_after for _ in range(2)] == [True, False]
