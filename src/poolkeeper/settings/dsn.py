"""A database URL: read as SQLAlchemy reads it, shown without its secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from pydantic_core import CoreSchema, core_schema

from poolkeeper.settings.masking import MASK, is_secret_name, masked_text

_USERINFO = re.compile(r"([^:/]*)(?::([^@]*))?@")
_ADDRESS = re.compile(r"(?:\[([^\]/?]+)\]|([^:/?\[\]]*))(?::([0-9]+))?")
_LAST_PORT = 65535
_PORT = 5432

QueryValue = str | tuple[str, ...]


class DsnInvalid(ValueError):  # noqa: N818 - it says what happened
    """A text is not a database URL. The message never repeats the text, which may hold a password."""


@runtime_checkable
class _SQLAlchemyURL(Protocol):
    def render_as_string(self, hide_password: bool = ...) -> str: ...


@runtime_checkable
class _Secret(Protocol):
    def get_secret_value(self) -> str: ...


def _split_scheme(text: str) -> tuple[str, str]:
    if text != text.strip():
        raise DsnInvalid("there is white space before or after the URL")
    scheme, found, rest = text.partition("://")
    if not found or not re.fullmatch(r"\w[\w+]*", scheme):
        raise DsnInvalid("it does not begin with dialect+driver://")
    return scheme, rest


def _split_tail(tail: str) -> tuple[str, str | None, str | None]:
    """Address, database and query of what follows the user name and password."""
    before, found, after = tail.partition("?")
    address, slash, database = before.partition("/")
    return address, database if slash else None, after if found else None


def _split_address(address: str) -> tuple[str | None, int | None]:
    if not address:
        return None, None
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise DsnInvalid(
            "host and port are not host, host:port or [ipv6]:port, nor several of them with commas between"
        )
    port = None if parts[3] is None else int(parts[3])
    if port is not None and not 0 < port <= _LAST_PORT:
        raise DsnInvalid(f"the port is not between 1 and {_LAST_PORT}")
    return parts[1] or parts[2] or None, port


def _hosts_in_query(addresses: str) -> Iterator[str]:
    for one in addresses.split(","):
        host, port = _split_address(one)
        if host is None or ":" in host:
            raise DsnInvalid("of several hosts, each has a name or an IPv4 address, and may have a port")
        yield f"host={host}:{port or _PORT}"


def _read_query(query: str | None) -> Mapping[str, QueryValue]:
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query or ""):
        values.setdefault(name, []).append(value)
    return MappingProxyType({name: found[0] if len(found) == 1 else tuple(found) for name, found in values.items()})


def _host_and_port(text: str, port: int | None) -> tuple[str, int | None]:
    if text.startswith("/"):
        return text, port
    parts = _ADDRESS.fullmatch(text)
    if parts is None:
        return text, port
    return parts[1] or parts[2] or "", port if parts[3] is None else int(parts[3])


class Dsn:
    """A database URL, split as `sqlalchemy.make_url` splits it. `str()` and `repr()` are masked; `secret` is not.

    Several hosts of PostgreSQL may be written in libpq's way too, `h1:5432,h2:5432`; `secret` has them in SQLAlchemy's.
    Raises DsnInvalid where SQLAlchemy would refuse the text too, and where it would quietly read something else than
    was meant: an "@" in a password that is not written %40, white space around the URL, a masked URL.
    """

    __slots__ = ("_secret", "database", "dialect", "driver", "host", "password_given", "port", "query", "username")

    dialect: str
    driver: str | None
    username: str | None
    password_given: bool
    host: str | None
    port: int | None
    database: str | None
    query: Mapping[str, QueryValue]

    def __init__(self, text: str) -> None:
        scheme, rest = _split_scheme(text)
        self.dialect, _, driver = scheme.partition("+")
        self.driver = driver or None
        userinfo = _USERINFO.match(rest)
        username, password = userinfo.groups() if userinfo else (None, None)
        self.username = None if username is None else unquote(username)
        self.password_given = password is not None
        if password == MASK:
            raise DsnInvalid(
                f"the password is {MASK}: this is a masked URL; use url.render_as_string(hide_password=False)"
            )
        tail = rest[userinfo.end() :] if userinfo else rest
        if "@" in tail and self.dialect != "sqlite":
            raise DsnInvalid("there is more than one @: write an @ inside a user name, password or value as %40")
        address, database, query = _split_tail(tail)
        if "," in address and self.dialect == "postgresql":
            # libpq's way to name several hosts; SQLAlchemy has another.
            address, query = "", "&".join([*_hosts_in_query(address), *([query] if query else [])])
            path = "" if database is None else f"/{database}"
            text = f"{scheme}://{userinfo[0] if userinfo else ''}{path}?{query}"
        self._secret = text
        self.host, self.port = _split_address(address)
        self.database = None if database is None else unquote(database)
        self.query = _read_query(query)

    @classmethod
    def parse(cls, value: object) -> Dsn:
        """A Dsn from a text, a Dsn, a SecretStr or an SQLAlchemy URL (with its password)."""
        match value:
            case Dsn():
                return value
            case str():
                return cls(value)
            case _SQLAlchemyURL():
                return cls(value.render_as_string(hide_password=False))
            case _Secret():
                return cls(value.get_secret_value())
            case _:
                raise DsnInvalid(f"a database URL is a text, not {type(value).__name__}")

    @property
    def secret(self) -> str:
        """The whole URL with its password, for the driver only."""
        return self._secret

    @property
    def addresses(self) -> tuple[tuple[str, int | None], ...]:
        """Every host and port named, also those of a multi-host query; a socket's folder or path counts as host."""
        named = [] if self.host is None else [(self.host, self.port)]
        for name in ("host", "unix_socket", "unix_sock"):
            values = self.query.get(name, ())
            for value in (values,) if isinstance(values, str) else values:
                named += [_host_and_port(part, self.port) for part in value.split(",")]
        return tuple(named)

    @property
    def in_memory(self) -> bool:
        """Whether this is an SQLite database that lives in one connection only."""
        if self.dialect != "sqlite":
            return False
        return (
            self.database in (None, "", ":memory:")
            or self.query.get("mode") == "memory"
            or "mode=memory" in (self.database or "")
        )

    def masked(self, scheme: str | None = None) -> str:
        """The URL without its secrets, with another scheme where one is given."""
        text = f"{scheme or self.scheme}://"
        if self.username is not None:
            text += quote(self.username, safe=" +") + (f":{MASK}" if self.password_given else "") + "@"
        if self.host is not None:
            text += f"[{self.host}]" if ":" in self.host else self.host
        text += "" if self.port is None else f":{self.port}"
        text += "" if self.database is None else "/" + masked_text(quote(self.database, safe=" +/:=?&"))
        return text + self._masked_query

    @property
    def scheme(self) -> str:
        """Dialect and driver as the URL names them ("postgresql+asyncpg")."""
        return self.dialect if self.driver is None else f"{self.dialect}+{self.driver}"

    @property
    def _masked_query(self) -> str:
        pairs = [
            (name, MASK if is_secret_name(name) else masked_text(value))
            for name, values in sorted(self.query.items())
            for value in ((values,) if isinstance(values, str) else values)
        ]
        return "?" * bool(pairs) + "&".join(f"{quote_plus(name)}={quote(value, safe='/:,*')}" for name, value in pairs)

    def __str__(self) -> str:
        return self.masked()

    def __repr__(self) -> str:
        return f"<Dsn {self.masked()}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dsn) and other._secret == self._secret

    def __hash__(self) -> int:
        return hash(self._secret)

    def __reduce__(self) -> tuple[type[Dsn], tuple[str]]:
        return type(self), (self._secret,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: Any) -> dict[str, str]:
        return {"type": "string", "format": "uri"}
