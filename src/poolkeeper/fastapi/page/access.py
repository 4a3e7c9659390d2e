"""Who may see the page."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

# What proxies and content networks add to a request that they pass on.
_FORWARDING = frozenset(
    {
        "forwarded", "via", "client-ip", "true-client-ip", "x-client-ip", "x-cluster-client-ip", "x-real-ip",
        "x-remote-addr", "x-remote-ip", "x-proxyuser-ip", "x-host", "proxy-connection", "cdn-loop", "fastly-client-ip",
        "x-appengine-user-ip", "x-amz-cf-id", "x-amzn-trace-id", "x-arr-log-id", "x-cloud-trace-context",
    }
)  # fmt: skip
_FORWARDING_BEGINNINGS = (
    "x-forwarded", "x-original-", "x-envoy-", "x-azure-", "x-vercel-", "cf-", "fly-", "x-nginx-", "x-traefik-"
)  # fmt: skip
_READING = frozenset({"GET", "HEAD"})
_ADVICE = (
    "poolkeeper shows this page to callers on the same machine only, because nobody has to log in for it. For everyone "
    "else, give the page a dependency that knows who may see it.\n"
)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


class Guard:
    """Lets only readers through to the app, with `local_only` only those on this machine, and adds our headers."""

    def __init__(self, app: ASGIApp, *, local_only: bool) -> None:
        self.app, self._local_only = app, local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await WebSocketClose()(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refused(scope) or self.app
        await answer(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> ASGIApp | None:
        if self._local_only and (reason := not_local(scope)):
            return PlainTextResponse(f"Refused: {reason}.\n\n{_ADVICE}", 403)
        if scope["method"] not in _READING:
            return PlainTextResponse("This page is only read.\n", 405, {"Allow": "GET, HEAD"})
        if is_for_another_site(scope):
            return PlainTextResponse("Refused: another site asks.\n", 403)
        return None


def not_local(scope: Scope) -> str | None:
    """Why the request is not taken for one from this machine; None if it is.

    A proxy on the same machine looks like a local caller unless it says what it is, and what it says may be a lie: so
    any header of a proxy refuses, whatever address it, or the client that a server made of it, names. HTTP/1.0 does
    too, which only proxies still speak. The Host has to be local, or any web site could have a name of its own lead
    here (DNS rebinding).
    """
    client: tuple[str, int] | None = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return "not from this machine"
    if (header := next(_forwarding(scope), None)) is not None:
        return f"it came through a proxy (header {header})"
    if scope.get("http_version") == "1.0":
        return "it came through a proxy (HTTP/1.0)"
    hosts = Headers(scope=scope).getlist("host")
    if len(hosts) != 1 or not is_local_host(hosts[0]):
        return "its Host is not a name of this machine, such as localhost"
    return None


def is_for_another_site(scope: Scope) -> bool:
    """Whether a script of another site asks, which the app's CORS rules might let read the answer."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin is not None and _authority(origin) != headers.get("host", "").lower():
        return True
    follows_a_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not follows_a_link


def is_loopback(address: str) -> bool:
    """Whether this is an address in 127.0.0.0/8, or ::1."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_loopback


def is_local_host(host: str) -> bool:
    """Whether a Host header names this machine, with any port."""
    try:
        parts = urlsplit(f"//{host}")
        name, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if name is None or parts.netloc != host or parts.username is not None:
        return False
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)


def _forwarding(scope: Scope) -> Iterator[str]:
    raw: list[tuple[bytes, Any]] = scope["headers"]
    for key, _ in raw:
        name = key.decode("latin-1").lower().replace("_", "-")
        if name in _FORWARDING or name.startswith(_FORWARDING_BEGINNINGS):
            yield name


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
