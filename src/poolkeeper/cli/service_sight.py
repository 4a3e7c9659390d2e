"""A running service, seen through the data of its page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from poolkeeper.cli.http import HttpSource, credentials, printable
from poolkeeper.cli.looks import NOTHING_FOUND, Look, LookFailed
from poolkeeper.diagnosis import in_full
from poolkeeper.model import Confidence, Finding, Holder, PoolSnapshot, Severity

_PAGE = "/poolkeeper"
_DATA = "/data"


class ServiceSight:
    """Reads the page's data at `url`, the service's own address or that of its page.

    `headers` are sent along, for a page that asks who wants to see it. So are a user name and password in the URL.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._source = HttpSource(data_url(url), {**credentials(url), **headers})
        self._url = self._source.url

    def look(self) -> Look:
        data = self._fetch()
        workers = data.get("workers")
        if not isinstance(workers, list) or not workers:
            raise LookFailed(f"{self._url} answers with something else than the data of poolkeeper's page")
        try:
            return _look(data, [_Worker(_mapping(worker)) for worker in cast("list[object]", workers)])
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise LookFailed(f"{self._url} answers with what this release does not know: {error}") from None

    def close(self) -> None:
        """Nothing is kept open."""

    def _fetch(self) -> dict[str, object]:
        body = self._source.read("application/json")
        try:
            return dict(_mapping(_harmless(json.loads(body))))
        except (ValueError, TypeError):
            raise LookFailed(f"{self._url} answers with something else than JSON: is the page installed?") from None


class _Worker:
    """One process of the service."""

    def __init__(self, view: Mapping[str, object]) -> None:
        self.pid = view.get("pid")
        pool = _mapping(view["pool"])
        # Holders beyond the page's limit are counted, not listed.
        self.more = int(cast("int", view.get("more_holders", 0)))
        self.snapshot = PoolSnapshot(
            name=str(pool["name"]),
            capacity=_whole(pool["capacity"]),
            in_use=_whole(pool["in_use"]) or 0,
            idle=_whole(pool["idle"]) or 0,
            waiting=_whole(pool["waiting"]) or 0,
            connecting=_whole(pool.get("connecting")) or 0,
            oldest_waiter=_number(pool.get("oldest_waiter")),
            holders=tuple(_holder(_mapping(holder)) for holder in _list(view["holders"])),
            unknown=frozenset(str(name) for name in _list(view.get("unknown", []))),
        )
        found = view["findings"]
        self.findings = None if found is None else tuple(_finding(_mapping(finding)) for finding in _list(found))

    def paragraphs(self, *, alone: bool) -> list[str]:
        told = [] if alone else [f"worker {self.pid}"]
        told += in_full(self.snapshot, self.findings or ()).split("\n\n")
        if self.more:
            told.append(f"and {self.more} more holders")
        if self.findings is None:
            told.append("The diagnosis itself failed; the service's log says why.")
        return told if self.findings or self.findings is None else [*told, NOTHING_FOUND]


def data_url(url: str) -> str:
    """Where the data of the page is, for the address of a service, of its page, or of the data.

    The page of one of several databases is below the one of all.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise LookFailed("the URL names no host")
    path = parts.path.rstrip("/")
    if not path.endswith(_DATA):
        path += _DATA if f"{_PAGE}/" in f"{path}/" else _PAGE + _DATA
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, parts.query, ""))


def _look(data: Mapping[str, object], workers: Sequence[_Worker]) -> Look:
    alone = len(workers) == 1
    paragraphs = [paragraph for worker in workers for paragraph in worker.paragraphs(alone=alone)]
    findings = tuple(finding for worker in workers for finding in worker.findings or ())
    return Look(tuple(paragraphs), findings, data)


def _harmless(value: object) -> object:
    """The same without characters that do something to a terminal."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_harmless(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {str(_harmless(key)): _harmless(item) for key, item in cast("dict[str, object]", value).items()}
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("a list or a value where an object is expected")
    return cast("dict[str, Any]", value)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("an object or a value where a list is expected")
    return cast("list[object]", value)


def _whole(value: object) -> int | None:
    return None if (number := _number(value)) is None else int(number)


def _number(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("something else where a number is expected")
    return value


_OF_HOLDER = frozenset(item.name for item in fields(Holder))


def _holder(given: Mapping[str, Any]) -> Holder:
    known: dict[str, Any] = {"route": None, **{name: given[name] for name in given.keys() & _OF_HOLDER}}
    for name in ("seconds", "state_seconds"):
        known[name] = _number(known.get(name))
    known["awaiting"] = tuple(str(part) for part in _list(known.get("awaiting", [])))
    return Holder(**known)


def _finding(given: Mapping[str, Any]) -> Finding:
    texts = {name: str(given.get(name, "")) for name in ("code", "subject", "seen", "why", "fix", "source")}
    sure = given.get("confidence")
    return Finding(
        severity=Severity(given["severity"]),
        confidence=None if sure is None else Confidence(sure),
        figures=_mapping(given.get("figures", {})),
        unseen=tuple(str(part) for part in _list(given.get("unseen", []))),
        **texts,
    )
