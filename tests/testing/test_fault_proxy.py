"""The proxy's faults, seen from a bare socket on each side and from real drivers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import asyncpg
import psycopg
import pymysql
import pytest
from sqlalchemy import make_url

from poolkeeper.testing import FaultProxy

SOON = 5.0
NOT_YET = 0.1


class Echo:
    """A server that sends back what it gets, and whose ends of the connections a test may look at."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.peers: list[socket.socket] = []
        self.endings: list[str] = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self.peers.append(peer)
                self._threads.append(threading.Thread(target=self._answer, args=(peer,), daemon=True))
                self._threads[-1].start()

    def _answer(self, peer: socket.socket) -> None:
        with peer:
            try:
                while data := peer.recv(65536):
                    peer.sendall(data)
                self.endings.append("FIN")
            except OSError as error:
                self.endings.append(type(error).__name__)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with contextlib.closing(Echo()) as server:
        yield server


@pytest.fixture
def proxy(echo) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", echo.port) as proxy:
        yield proxy


@pytest.fixture
def connect(proxy) -> Iterator:
    with contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection((proxy.host, proxy.port), timeout=SOON))

        yield connect


def answer_to(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    received = b""
    while len(received) < len(data):
        received += client.recv(65536)
    return received


def is_silent(client: socket.socket) -> bool:
    client.settimeout(NOT_YET)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(SOON)
    return False


def proxy_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "fault-proxy" in thread.name]


def eventually(condition) -> bool:
    deadline = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_bytes_arrive_whole_and_in_order_both_ways(connect) -> None:
    client = connect()
    data = bytes(range(256)) * 4000
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    received = b""
    while len(received) < len(data):
        received += client.recv(65536)
    sender.join()
    assert received == data


def test_latency_is_paid_each_way_and_keeps_the_order(proxy, connect) -> None:
    client = connect()
    answer_to(client, b"warm")
    proxy.latency = 0.05
    start = time.monotonic()
    for number in range(20):
        client.sendall(b"%02d" % number)
    received = b""
    while len(received) < 40:
        received += client.recv(64)
    elapsed = time.monotonic() - start
    assert received == b"".join(b"%02d" % number for number in range(20))
    assert elapsed >= 0.1, "both ways are delayed"
    assert elapsed < 20 * 0.1, "what is in flight together is delayed together"


def test_lowering_the_latency_does_not_let_later_bytes_overtake(proxy, connect) -> None:
    client = connect()
    proxy.latency = 0.1
    client.sendall(b"first")
    assert is_silent(client)
    proxy.latency = 0.0
    client.sendall(b"second")
    received = b""
    while len(received) < 11:
        received += client.recv(64)
    assert received == b"firstsecond"


def test_a_negative_latency_is_refused(proxy) -> None:
    with pytest.raises(ValueError, match="negative"):
        proxy.latency = -1


def test_dropped_connections_stay_open_and_silent_also_for_new_clients(proxy, connect) -> None:
    old = connect()
    answer_to(old, b"alive")
    proxy.drop()
    new = connect()
    for client in (old, new):
        client.sendall(b"lost" * 100_000)
        assert is_silent(client)
    assert proxy.counters.open == 2


def test_dropping_the_existing_connections_leaves_new_ones_alone(proxy, connect) -> None:
    old = connect()
    answer_to(old, b"alive")
    proxy.drop("existing")
    old.sendall(b"lost")
    assert is_silent(old)
    assert answer_to(connect(), b"hello") == b"hello"


def test_a_closing_client_of_a_dropped_connection_is_not_noticed_by_the_server(proxy, connect, echo) -> None:
    client = connect()
    answer_to(client, b"alive")
    proxy.drop()
    client.close()
    time.sleep(NOT_YET)
    assert echo.endings == []


def test_after_healing_a_connection_that_lost_nothing_speaks_again_and_one_that_lost_bytes_does_not(
    proxy, connect
) -> None:
    quiet, unlucky = connect(), connect()
    for client in (quiet, unlucky):
        answer_to(client, b"alive")
    proxy.drop()
    unlucky.sendall(b"lost")
    assert is_silent(unlucky)
    proxy.heal()
    assert answer_to(quiet, b"hello") == b"hello"
    unlucky.sendall(b"again")
    assert is_silent(unlucky)
    assert answer_to(connect(), b"hello") == b"hello"


def test_reset_reaches_both_sides_as_rst_and_spares_new_connections(proxy, connect, echo) -> None:
    client = connect()
    answer_to(client, b"alive")
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert eventually(lambda: echo.endings == ["ConnectionResetError"])
    assert answer_to(connect(), b"hello") == b"hello"


def test_reset_of_all_meets_new_connections_until_healed(proxy, connect) -> None:
    proxy.reset("all")
    with pytest.raises(ConnectionResetError):
        connect().recv(1)
    proxy.heal()
    assert answer_to(connect(), b"hello") == b"hello"


def test_refusing_refuses_new_connections_and_keeps_old_ones(proxy, connect) -> None:
    old = connect()
    answer_to(old, b"alive")
    proxy.refuse()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            connect()
    assert answer_to(old, b"hello") == b"hello"
    proxy.heal()
    assert answer_to(connect(), b"hello") == b"hello"


def test_accept_and_hang_never_answers_new_connections_and_keeps_old_ones(proxy, connect, echo) -> None:
    old = connect()
    answer_to(old, b"alive")
    proxy.accept_and_hang()
    new = connect()
    new.sendall(b"hello?")
    assert is_silent(new)
    assert answer_to(old, b"hello") == b"hello"
    assert len(echo.peers) == 1


def test_new_connections_are_led_elsewhere_and_old_ones_stay(proxy, connect, echo) -> None:
    old = connect()
    assert answer_to(old, b"before") == b"before"
    with contextlib.closing(Echo()) as other:
        proxy.lead_to("127.0.0.1", other.port)
        assert proxy.target == ("127.0.0.1", other.port)
        new = connect()
        assert answer_to(new, b"new") == b"new"
        assert answer_to(old, b"old") == b"old"
        assert (len(echo.peers), len(other.peers)) == (1, 1)
        # No name has this label: nothing moves.
        with pytest.raises(OSError, match=r"\S"):
            proxy.lead_to("-.invalid", 1)
        assert proxy.target == ("127.0.0.1", other.port)
        new.close()


def test_close_all_sends_fin_and_not_rst_even_with_bytes_under_way(proxy, connect, echo) -> None:
    client = connect()
    answer_to(client, b"alive")
    proxy.latency = 0.05
    client.sendall(b"under way")
    proxy.close_all()
    assert client.recv(1) == b""
    client.close()
    assert eventually(lambda: echo.endings == ["FIN"])
    assert eventually(lambda: proxy.counters.open == 0)


def test_a_client_that_leaves_is_gone_for_the_server_too(proxy, connect, echo) -> None:
    client = connect()
    answer_to(client, b"alive")
    client.close()
    assert eventually(lambda: echo.endings == ["FIN"])
    assert eventually(lambda: proxy.counters.open == 0)


def test_a_server_that_is_down_is_a_reset_for_the_client(connect, echo) -> None:
    echo.close()
    with pytest.raises(ConnectionResetError):
        connect().recv(1)


def test_counters_count_turns_not_packets(proxy, connect) -> None:
    client = connect()
    for _ in range(3):
        answer_to(client, b"12345")
    counted = proxy.counters
    assert (counted.accepted, counted.open, counted.turns) == (1, 1, 3)
    assert (counted.bytes_to_server, counted.bytes_to_client) == (15, 15)
    proxy.reset_counters()
    assert (proxy.counters.accepted, proxy.counters.open, proxy.counters.turns) == (0, 1, 0)


def test_after_close_nobody_listens_no_thread_is_left_and_faults_are_refused(echo) -> None:
    with FaultProxy("127.0.0.1", echo.port) as proxy:
        client = socket.create_connection((proxy.host, proxy.port))
        assert proxy_threads()
    proxy.close()
    assert not proxy_threads()
    with pytest.raises(RuntimeError, match="not running"):
        proxy.drop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))
    client.close()


@pytest.mark.anyio
async def test_an_asyncpg_query_is_one_turn_and_a_blocked_loop_does_not_stop_the_proxy(
    fresh_database, postgres
) -> None:
    with FaultProxy(postgres.host, postgres.port) as proxy:
        url = make_url(proxy.url(fresh_database.url())).set(drivername="postgresql")
        connection = await asyncpg.connect(url.render_as_string(hide_password=False))
        statement = await connection.prepare("SELECT 1")
        proxy.reset_counters()
        for _ in range(5):
            await statement.fetchval()
        assert proxy.counters.turns == 5
        proxy.drop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(statement.fetchval(), NOT_YET)
        connection.terminate()


def test_psycopg_meets_each_fault_as_the_network_would_send_it(fresh_database, postgres) -> None:
    with FaultProxy(postgres.host, postgres.port) as proxy:
        url = make_url(proxy.url(fresh_database.url())).set(drivername="postgresql").render_as_string(False)
        with psycopg.connect(url, autocommit=True) as connection:
            proxy.reset_counters()
            connection.execute("SELECT 1")
            assert proxy.counters.turns == 1
            proxy.reset()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(url)


def test_mariadb_works_through_the_proxy_and_a_query_is_one_turn(fresh_mariadb, mariadb) -> None:
    with FaultProxy("127.0.0.1", mariadb.port) as proxy:
        url = make_url(proxy.url(fresh_mariadb.url("pymysql")))
        client = pymysql.connect(host=url.host, port=url.port, user=url.username, password=url.password)
        proxy.reset_counters()
        client.query("SELECT 1")
        assert proxy.counters.turns == 1
        proxy.close_all()
        with pytest.raises(pymysql.OperationalError):
            client.query("SELECT 1")
        client.close()


class Ear:
    """Keeps what it hears of one connection."""

    def __init__(self) -> None:
        self.heard = b""
        self.ends = 0

    def said(self, data: bytes) -> None:
        self.heard += data

    def over(self) -> None:
        self.ends += 1


def test_a_witness_hears_what_reaches_the_client_and_the_end_of_each_connection(echo) -> None:
    ears: list[Ear] = []

    def ear() -> Ear:
        ears.append(Ear())
        return ears[-1]

    with FaultProxy("127.0.0.1", echo.port, witness=ear) as proxy:
        with socket.create_connection((proxy.host, proxy.port), timeout=SOON) as client:
            assert answer_to(client, b"first") == b"first"
            proxy.drop("existing")
            client.sendall(b"lost")
            with socket.create_connection((proxy.host, proxy.port), timeout=SOON) as another:
                assert answer_to(another, b"second") == b"second"
            assert eventually(lambda: ears[1].ends == 1)
            assert ears[0].ends == 0
        proxy.reset()
        assert eventually(lambda: ears[0].ends == 1)
    assert [ear.heard for ear in ears] == [b"first", b"second"]
