"""Which request the running code belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from poolkeeper.model import Phase

# The ASGI scope itself, not a copy: the router writes the matched route into it after it was set here.
current_scope: ContextVar[Mapping[str, Any] | None] = ContextVar("poolkeeper_scope", default=None)

# Where in the scope it is noted how far the response is.
PHASE = "poolkeeper.phase"


def route_of(scope: Mapping[str, Any] | None) -> str | None:
    """The request's method and path template ("GET /orders/{order_id}"), or None outside requests.

    The template, never the path: it names no customer and has few values. A request that no route matched yet is
    "GET ?".
    """
    if scope is None:
        return None
    route = scope.get("route")
    path = getattr(route, "path", None)
    template = f"{scope.get('root_path', '')}{path}" if path else "?"
    return f"{scope.get('method', 'WS')} {template}"


def phase_of(scope: Mapping[str, Any] | None) -> Phase | None:
    """How far the request is; None outside requests."""
    return None if scope is None else scope.get(PHASE)
