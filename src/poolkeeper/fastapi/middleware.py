"""Makes the running request known to whoever asks for a connection."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from poolkeeper.observe import current_scope


class RequestScopeMiddleware:
    """Pure ASGI: it neither buffers a body nor runs the app in another task, as BaseHTTPMiddleware would."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        token = current_scope.set(scope)
        try:
            await self.app(scope, receive, send)
        finally:
            current_scope.reset(token)
