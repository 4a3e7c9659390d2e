"""Reads one address of a service."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from poolkeeper.cli.looks import LookFailed

TIMEOUT = 10.0  # seconds
_LARGEST = 32 * 1024 * 1024
_REFUSED = 401, 403


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_request: Any, **_more: Any) -> None:
        # A header that lets us in is not for anybody else.
        return None


class HttpSource:
    """An http or https address that is read now and then.

    `headers` are sent along; so are a user name and password in the URL, and `url` is without them. Proxies of the
    environment are not used: what is read here is for callers on the same machine.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LookFailed("the URL has to begin with http:// or https://, and to name a host")
        self.url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
        self._headers = {**credentials(url), **headers}
        self._opener: OpenerDirector = build_opener(ProxyHandler({}), _NoRedirects)

    def read(self, accept: str) -> bytes:
        """The body, of at most 32 MB. Raises `LookFailed`."""
        request = Request(self.url, headers={"Accept": accept, **self._headers})  # noqa: S310 - checked
        try:
            with self._opener.open(request, timeout=TIMEOUT) as response:
                body: bytes = response.read(_LARGEST + 1)
        except HTTPError as error:
            with error:
                advice = _said_by(error) if error.code in _REFUSED else ""
            raise LookFailed(f"{self.url} answers {error.code} {error.reason}{advice}") from None
        except (OSError, HTTPException) as error:
            raise LookFailed(f"{self.url} cannot be reached: {getattr(error, 'reason', error)}") from None
        if len(body) > _LARGEST:
            raise LookFailed(f"{self.url} answers with more than {_LARGEST // 1024 // 1024} MB")
        return body


def printable(text: str) -> str:
    """The same without characters that do something to a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def credentials(url: str) -> dict[str, str]:
    """The header that says the user name and password of a URL; none without."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    given = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {b64encode(given.encode()).decode()}"}


def headers_of(given: Iterable[str]) -> dict[str, str]:
    """Headers from lines such as 'Authorization: ...'. Raises `LookFailed`, which does not repeat them."""
    lines = [line.partition(":") for line in given]
    if any(not found or not name.strip() for name, found, _ in lines):
        raise LookFailed("a header is written 'Name: value'")
    return {name.strip(): value.strip() for name, _, value in lines}


def _said_by(error: HTTPError) -> str:
    """What the service says about a refusal, its first line."""
    said = printable(error.read(1000).decode("utf-8", "replace").partition("\n")[0])
    return f": {said}" if said else ""
