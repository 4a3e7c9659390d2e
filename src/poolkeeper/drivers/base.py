"""What every driver can be asked for, and what it is told about the connections it opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import URL, Engine


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How connections are to be opened, in one language for all drivers. All times are seconds.

    `connect_timeout` bounds the whole connect: name, TCP, TLS, handshake and authentication, over all addresses.
    `statement_timeout` makes the server end a longer statement; None leaves the server's own setting.
    `tcp_keepalive` is the idle time before the first probe; None leaves the driver's and the kernel's own.
    `prepared_statements` is False where the next statement may reach another server connection (a transaction pooler).
    `startup_parameters` is False where a pooler refuses them; `application_name`, which poolers track, is still sent.
    `driver_arguments` are the user's own: they win, and are merged where one argument holds many server settings.
    """

    application_name: str = "poolkeeper"
    connect_timeout: float = 5.0
    statement_timeout: float | None = None
    tcp_keepalive: float | None = None
    prepared_statements: bool = True
    startup_parameters: bool = True
    driver_arguments: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


class Driver(Protocol):
    """One database driver, asyncio or blocking. A `driver_connection` is `PoolProxiedConnection.driver_connection`."""

    @property
    def is_async(self) -> bool: ...

    @property
    def serialises_commands(self) -> bool:
        """Whether a second task's command waits for the first one's answer, instead of breaking into it."""
        ...

    def connect_args(self, options: ConnectOptions) -> dict[str, Any]:
        """What `create_engine` or `create_async_engine` takes as `connect_args`.

        Arguments that the URL's query already gives are left to it.
        """
        ...

    def attach(self, engine: Engine, options: ConnectOptions) -> None:
        """Do what a blocking driver cannot be told in `connect_args`; call it once, right after `create_engine`.

        An asyncio driver needs nothing here.
        """
        ...

    def socket_of(self, driver_connection: Any) -> int | None:
        """The file descriptor of the connection's socket, which stays the driver's; None without one or when closed."""
        ...

    def is_closed(self, driver_connection: Any) -> bool:
        """Whether the driver itself knows that this connection is gone. No I/O."""
        ...

    def abort(self, driver_connection: Any) -> None:
        """Cut the connection now; whoever awaits an answer on it gets a disconnect error.

        Never blocks, never raises, may be called twice. An asyncio driver's connection is aborted on the thread of its
        event loop, a blocking driver's from any thread.
        """
        ...

    def abandon(self, driver_connection: Any, *, keep_session: bool) -> None:
        """Let go of a connection whose event loop is gone, without it.

        `keep_session` is True in a forked child: the parent's session goes on, so nothing may be sent, now or by a
        finaliser later. Otherwise the server's session ends. Never blocks, never raises.
        """
        ...

    def is_in_transaction(self, driver_connection: Any) -> bool:
        """Whether the end of a transaction has anything to send. No I/O; True where that cannot be told."""
        ...

    def backend_of(self, driver_connection: Any) -> int | None:
        """The server's number of this session, as its list of sessions shows it. No I/O; None where there is none.

        Behind a pooler it is the pooler's own.
        """
        ...

    def transaction_is_open(self, driver_connection: Any) -> bool | None:
        """Whether a transaction is open as far as the server has told. No I/O; None where it tells nothing."""
        ...

    def refuses_writes(self, driver_connection: Any) -> bool | None:
        """Whether the server has told that it takes no writes. No I/O; None where it tells nothing.

        PostgreSQL reports `in_hot_standby` and `default_transaction_read_only` since version 14.
        """
        ...

    def idle_cut_of(self, driver_connection: Any) -> float | None:
        """After how many seconds without a command the server ends this session, as it told when it was opened.

        No I/O; None where it tells nothing. MySQL's `wait_timeout` is that, of which each session has its own.
        """
        ...


def own_arguments(url: URL, options: ConnectOptions, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Our arguments without those that the URL gives, then the user's, which win."""
    return {key: value for key, value in ours.items() if key not in url.query} | dict(options.driver_arguments)


def takes_no_writes(in_hot_standby: object, default_transaction_read_only: object) -> bool | None:
    """What PostgreSQL's reported parameters say; None where they are not reported."""
    if "on" in (in_hot_standby, default_transaction_read_only):
        return True
    return False if in_hot_standby == "off" else None


def hosts_of(url: URL) -> int:
    """How many hosts a PostgreSQL URL names, in either of SQLAlchemy's ways."""
    hosts = url.query.get("host", ())
    return max(1, len(hosts.split(",") if isinstance(hosts, str) else hosts))


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, at least 1: servers take 0 for "no limit"."""
    return max(1, round(seconds * 1000))
