"""Whoever wrote reads it back, also in the next request, from another worker or another host.

What has to be visible travels with the client, signed: nobody can make the service wait for what was never written.
"""

from __future__ import annotations

import base64
import hmac
import math
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Literal

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from poolkeeper.database import Database
from poolkeeper.database.callers import Caller
from poolkeeper.database.routing import Router
from poolkeeper.model import Finding, Position, Severity
from poolkeeper.settings import SettingsRefused

_SIGNATURE_BYTES = 16
_LONGEST = 1000
# A replica that is too far behind leaves the rotation within this time (seconds) after `max_lag`, and then nobody has
# to bring a position any more.
_NOTICED_WITHIN = 10


@dataclass(frozen=True, slots=True)
class ReadYourWrites:
    """How a client carries the position of its last write: in a cookie, or in a header that it sends back.

    `name` is that of the cookie or header. A cookie is `secure` where the request came over HTTPS, unless it is given.
    """

    via: Literal["cookie", "header"] = "cookie"
    name: str = "poolkeeper-position"
    path: str = "/"
    same_site: Literal["lax", "strict", "none"] = "lax"
    secure: bool | None = None


class Signed:
    """Positions as text that only holders of the key can make; for one database."""

    def __init__(self, key: bytes, database: str) -> None:
        self._key = key
        self._about = f"poolkeeper-position\0{database}\0"

    def text(self, position: Position) -> str:
        """The position with its signature, in characters that cookies and headers may have."""
        return f"{position}.{self._signature(str(position))}"

    def read(self, text: str) -> Position | None:
        """The position; None for what nobody signed."""
        plain, _, signature = text.rpartition(".")
        if len(text) > _LONGEST or not hmac.compare_digest(signature.encode(), self._signature(plain).encode()):
            return None
        return Position.parse(plain)

    def _signature(self, plain: str) -> str:
        digest = hmac.digest(self._key, (self._about + plain).encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:_SIGNATURE_BYTES]).rstrip(b"=").decode()


def signed_for(database: Database) -> Signed:
    """For this database, with its `signing_key`. Raises `SettingsRefused` without one."""
    key: SecretStr | None = database.settings.signing_key
    if key is None:
        finding = Finding(
            "signing-key-missing",
            Severity.ERROR,
            "signing_key",
            "clients are to carry positions, and there is no key to sign them",
            "anybody could make every read wait for what was never written",
            "Set DATABASE_SIGNING_KEY to a long random text, the same in every process",
        )
        raise SettingsRefused((finding,))
    return Signed(key.get_secret_value().encode(), database.name)


class ReadYourWritesMiddleware:
    """Takes the position from a request, and gives it to the response of a request that wrote.

    Asking for the position is one round trip to the primary, between COMMIT and the response; work that is committed
    after the response has begun is not in it.
    """

    def __init__(self, app: ASGIApp, router: Router, how: ReadYourWrites, signed: Signed, max_lag: float) -> None:
        self.app = app
        self._router, self._how, self._signed = router, how, signed
        self._max_age = math.ceil(max_lag) + _NOTICED_WITHIN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        caller = Caller(self._brought(Headers(scope=scope)))

        async def giving(message: Message) -> None:
            if message["type"] == "http.response.start" and caller.commits:
                position = await self._router.position_of(caller)
                if position is not None:
                    self._give(MutableHeaders(scope=message), position, scope)
            await send(message)

        with self._router.callers.entered(caller):
            await self.app(scope, receive, giving)

    def _brought(self, headers: Headers) -> Position | None:
        if self._how.via == "header":
            text = headers.get(self._how.name)
            return None if text is None else self._signed.read(text)
        # Other cookies of the same name, of another path say, may be first.
        found = [self._signed.read(text) for text in _cookies(headers, self._how.name)]
        return next((position for position in found if position is not None), None)

    def _give(self, headers: MutableHeaders, position: Position, scope: Scope) -> None:
        text, how = self._signed.text(position), self._how
        if how.via == "header":
            headers[how.name] = text
            return
        cookie: SimpleCookie = SimpleCookie({how.name: text})
        cookie[how.name].update({"path": how.path, "max-age": str(self._max_age), "samesite": how.same_site})
        cookie[how.name]["httponly"] = True
        if scope.get("scheme") == "https" if how.secure is None else how.secure:
            cookie[how.name]["secure"] = True
        headers.append("set-cookie", cookie.output(header="").strip())


def _cookies(headers: Headers, name: str) -> list[str]:
    pairs = (pair.strip().partition("=") for line in headers.getlist("cookie") for pair in line.split(";"))
    return [value.strip('"') for key, _, value in pairs if key == name]
