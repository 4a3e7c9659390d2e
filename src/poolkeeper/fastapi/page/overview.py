"""The page of a service with several databases: a section for each, with the way to its own page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.params import Depends as DependsParameter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute

from poolkeeper.database import Database, Databases, State
from poolkeeper.fastapi.page.page import answering, guarded_routes

# Seconds between two looks of a browser that has it open.
_EVERY = 5
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="{every}">
<title>{count} databases · poolkeeper</title>
<link rel="icon" href="icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page.css">
</head>
<body>
<header><h1><span class="brand">poolkeeper</span> {count} databases</h1></header>
<main>
{sections}
</main>
</body>
</html>
"""
_SECTION = """<section aria-labelledby="{name}" class="card status">
<h2 id="{name}"><a href="{name}/">{name}</a></h2>
<p class="sentence {level}">{sentence}</p>
<p class="quiet">{numbers}</p>
{findings}</section>"""


class Overview:
    """A section for each of these databases, whose own pages are below it, each under its name.

    It may be seen by whom `Page` lets through. It says what is known and asks no database for anything.
    """

    def __init__(
        self, databases: Databases, *, dependency: Callable[..., Any] | DependsParameter | None = None
    ) -> None:
        self._databases, self._dependency = databases, dependency

    def routes(self, path: str, app: FastAPI) -> list[BaseRoute]:
        """What to put in front of the app's routes, and behind those of the pages."""
        answers = {
            "": self._answer,
            "page.css": answering("page.css", "text/css"),
            "icon.svg": answering("icon.svg", "image/svg+xml"),
        }
        return guarded_routes(path, app, answers, self._dependency)

    async def _answer(self, request: Request) -> Response:  # noqa: ARG002 - FastAPI finds out by the type
        sections = "\n".join(_section(name, database) for name, database in self._databases.items())
        return HTMLResponse(_PAGE.format(every=_EVERY, count=len(self._databases), sections=sections))


def _section(name: str, database: Database) -> str:
    level, sentence = _judged(database)
    pool = database.snapshot()
    limit = "no limit" if pool.capacity is None else pool.capacity
    return _SECTION.format(
        name=escape(name),
        level=level,
        sentence=escape(sentence),
        numbers=f"{pool.in_use} in use, {pool.idle} idle, {pool.waiting} waiting of {limit}",
        findings="".join(_findings(database)),
    )


def _judged(database: Database) -> tuple[str, str]:
    if database.state is not State.READY:
        return "warn", f"Not ready: {database.state}."
    if (failure := database.connectivity.failure) is not None:
        return "bad", f"No connection can be opened ({failure.reason})."
    if database.snapshot().saturated:
        return "bad", "Its connections are all in use, and callers wait."
    return "good", "Ready."


def _findings(database: Database) -> Iterator[str]:
    findings = database.explaining.findings()
    if findings:
        items = "".join(f"<li>{escape(finding.code)}</li>" for finding in findings)
        yield f"<ul>{items}</ul>\n"
