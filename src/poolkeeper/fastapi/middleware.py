"""Makes the running request known to whoever asks for a connection, and for whom and since when it runs."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from poolkeeper.model import Phase
from poolkeeper.observe import PHASE, current_scope
from poolkeeper.pool import Caller, current_caller

_BEGIN = frozenset({"http.response.start", "websocket.accept"})
_END = frozenset({"websocket.close"})


class RequestScopeMiddleware:
    """Pure ASGI: it neither buffers a body nor runs the app in another task, as BaseHTTPMiddleware would."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        scope[PHASE] = Phase.HANDLING
        caller = Caller()

        async def noting(message: Message) -> None:
            await send(message)
            if (phase := _phase_after(message)) is not None:
                scope[PHASE] = phase
                caller.answered()

        token, whom = current_scope.set(scope), current_caller.set(caller)
        try:
            await self.app(scope, receive, noting)
        finally:
            # What the request has left running has nobody who waits for it.
            caller.answered()
            current_caller.reset(whom)
            current_scope.reset(token)


def _phase_after(message: Message) -> Phase | None:
    kind = message["type"]
    if kind in _BEGIN:
        return Phase.RESPONDING
    is_last = kind == "http.response.body" and not message.get("more_body", False)
    return Phase.RESPONDED if is_last or kind in _END else None
