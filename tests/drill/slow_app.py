"""An ASGI app with known answers: /sleep/MS answers after MS milliseconds, /block/MS does it with the whole service."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    status, body = await answer(scope["path"].strip("/").split("/"), await whole_body(receive))
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    for chunk in [body[start : start + 50_000] for start in range(0, len(body), 50_000)] or [b""]:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if os.environ.get("APP_REFUSES"):
            await send({"type": "lifespan.startup.failed", "message": "no good day to start"})
            return
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def answer(path: list[str], body: bytes) -> tuple[int, bytes]:
    match path:
        case ["sleep", milliseconds]:
            await asyncio.sleep(int(milliseconds) / 1000)
        case ["block", milliseconds]:
            time.sleep(int(milliseconds) / 1000)  # noqa: ASYNC251 - the whole service is meant to stall
        case ["status", status]:
            return int(status), b""
        case ["bytes", count]:
            return 200, b"x" * int(count)
        case ["die"]:
            os._exit(3)
        case ["pid"]:
            return 200, str(os.getpid()).encode()
        case _:
            pass
    return 200, body


async def whole_body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body
