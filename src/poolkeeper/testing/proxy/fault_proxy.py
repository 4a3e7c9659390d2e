"""A network between a service and its database that can be broken on purpose."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self

from sqlalchemy import make_url

from poolkeeper.testing.ports import LOOPBACK, ReservedPort
from poolkeeper.testing.proxy.link import Address, Link, Weather
from poolkeeper.testing.proxy.loop import LoopThread
from poolkeeper.testing.proxy.traffic import Traffic
from poolkeeper.testing.proxy.witness import Unheard, Witness

Reach = Literal["existing", "all"]
_Welcome = Literal["forward", "hang", "reset", "refuse"]

_BACKLOG = 1024


class FaultProxy:
    """A TCP proxy on a free loopback port in front of `host`:`port`, for PostgreSQL, MySQL or anything else on TCP.

        with FaultProxy(pg.host, pg.port) as proxy:
            engine = create_async_engine(proxy.url(pg.url("asyncpg")))
            proxy.drop()

    It runs in a thread of its own; its methods return at once and may be called from any thread and from async code.
    A fault reaches the connections that exist, or all (those and every new one), until `heal`. `witness` is called for
    each new connection, in the proxy's thread, and what it returns hears of that one.
    """

    def __init__(self, host: str, port: int, *, witness: Callable[[], Witness] = Unheard) -> None:
        self.target = (host, port)
        self._witness = witness
        self._addresses: list[Address] = []
        self._weather = Weather()
        self._welcome: _Welcome = "forward"
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._listener: socket.socket | None = None
        self._reserved = ReservedPort()
        self._thread: LoopThread | None = None

    def __repr__(self) -> str:
        host, port = self.target
        there = f"{LOOPBACK}:{self.port} -> {host}:{port}"
        return f"<FaultProxy {there}, {self.counters.open} open, new connections: {self._welcome}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def host(self) -> str:
        return LOOPBACK

    @property
    def port(self) -> int:
        """The port to connect to; the same for the whole life of the proxy, also while it refuses."""
        return self._reserved.number

    @property
    def counters(self) -> Traffic:
        """What went through since the last `reset_counters`."""
        return self._weather.meter.traffic

    @property
    def latency(self) -> float:
        """Seconds that every byte is delayed, each way; order is kept. May be set at any time, also while in use."""
        return self._weather.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"latency is in seconds and cannot be negative: {seconds!r}")
        self._weather.latency = seconds

    def url(self, base_url: str) -> str:
        """The same SQLAlchemy URL, through this proxy. The password stays in it."""
        return make_url(base_url).set(host=LOOPBACK, port=self.port).render_as_string(hide_password=False)

    def start(self) -> None:
        """Look up the target's address and begin to accept. The context manager does it."""
        self._addresses = _addresses(*self.target)
        self._thread = LoopThread("poolkeeper-fault-proxy")
        self._thread.run(self._set_welcome("forward"))

    def close(self) -> None:
        """Cut every connection off and give the port back. Safe to call twice."""
        if self._thread is not None:
            self._thread.run(self._set_welcome("refuse"))
            self._thread.run(self._end_links(reset=False))
            self._thread.close()
            self._thread = None
        self._reserved.close()

    def drop(self, reach: Reach = "all") -> None:
        """Lose every byte both ways from now on, while the sockets stay open and acknowledge: the network went silent.

        New connections ("all") are accepted and never answered. After `heal` a connection that lost nothing works
        again; one that lost bytes stays silent, as behind a firewall that has forgotten it.
        """
        self._run(self._drop(reach))

    def reset(self, reach: Reach = "existing") -> None:
        """Cut connections off with RST, on both sides. With "all" new connections meet the same until `heal`."""
        self._run(self._reset(reach))

    def refuse(self) -> None:
        """Refuse new connections (ECONNREFUSED). Those that exist live on."""
        self._run(self._set_welcome("refuse"))

    def accept_and_hang(self) -> None:
        """Accept new connections and never answer them. Those that exist live on."""
        self._run(self._set_welcome("hang"))

    def close_all(self) -> None:
        """Send FIN both ways on every connection that exists. New ones are welcome."""
        self._run(self._finish())

    def heal(self) -> None:
        """Undo every fault: new connections go through, no latency, silent ones that lost nothing speak again."""
        self.latency = 0.0
        self._run(self._heal())

    def lead_to(self, host: str, port: int) -> None:
        """Lead new connections there from now on, as a name that was moved does. Those that exist stay where they are.

        Raises OSError where the host cannot be looked up; nothing has moved then.
        """
        self._run(self._lead_to(host, port, _addresses(host, port)))

    def reset_counters(self) -> None:
        """Count from zero again (except `open`)."""
        self._run(self._reset_counters())

    def _run(self, step: Coroutine[Any, Any, None]) -> None:
        if self._thread is None:
            step.close()
            raise RuntimeError("this FaultProxy is not running: use it as a context manager, or call start()")
        self._thread.run(step)

    async def _set_welcome(self, welcome: _Welcome) -> None:
        self._welcome = welcome
        loop = asyncio.get_running_loop()
        if welcome == "refuse" and self._listener is not None:
            loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        elif welcome != "refuse" and self._listener is None:
            self._listener = _listen(self.port)
            # A callback and not a task in sock_accept(): cancelling that can lose a connection already accepted.
            loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:  # the client was gone again
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._begin(Link(client, self._weather, self._witness()))

    def _begin(self, link: Link) -> None:
        self._weather.meter.add(accepted=1, opened=1)
        link.ends_with_reset = self._welcome == "reset"
        task = asyncio.create_task(link.forward(self._addresses) if self._welcome == "forward" else link.hang())
        self._links[link] = task
        task.add_done_callback(lambda _: self._forget(link))
        if link.ends_with_reset:
            task.cancel()

    def _forget(self, link: Link) -> None:
        link.close()
        del self._links[link]
        self._weather.meter.add(opened=-1)

    async def _drop(self, reach: Reach) -> None:
        if reach == "all":
            await self._set_welcome("hang")
        for link in self._links:
            link.is_silent = True

    async def _reset(self, reach: Reach) -> None:
        if reach == "all":
            await self._set_welcome("reset")
        await self._end_links(reset=True)

    async def _finish(self) -> None:
        for link in self._links:
            link.finish()

    async def _end_links(self, *, reset: bool) -> None:
        tasks = list(self._links.values())
        for link, task in self._links.items():
            link.ends_with_reset = link.ends_with_reset or reset
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _heal(self) -> None:
        for link in self._links:
            link.is_silent = link.has_lost
        await self._set_welcome("forward")

    async def _lead_to(self, host: str, port: int, addresses: list[Address]) -> None:
        self.target, self._addresses = (host, port), addresses

    async def _reset_counters(self) -> None:
        self._weather.meter.reset()


def _addresses(host: str, port: int) -> list[Address]:
    return [(family, address) for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
