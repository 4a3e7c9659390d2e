"""A few questions to a service, all at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from poolkeeper.drill.client import HttpClient, Response

# Seconds for each answer.
_TIMEOUT = 2.0


def ask_at_once(address: str, path: str, times: int) -> list[Response | None]:
    """What it answers, as often as asked for; None where it does not answer within 2 s."""
    return asyncio.run(_ask_all(address, path, times))


def as_json(response: Response | None) -> dict[str, Any] | None:
    """What it says; None where it says nothing, or nothing in JSON."""
    try:
        said: dict[str, Any] | None = None if response is None else json.loads(response.body)
    except ValueError:
        return None
    return said


async def _ask_all(address: str, path: str, times: int) -> list[Response | None]:
    parts = urlsplit(address)

    async def ask(client: HttpClient) -> Response | None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await client.request("GET", path)
        except (OSError, TimeoutError):
            return None

    async with HttpClient(parts.hostname or "", parts.port or 80) as client:
        return await asyncio.gather(*(ask(client) for _ in range(times)))
