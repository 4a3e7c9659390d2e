"""Mistakes to learn from: with ORDERS_FAULTS=leak,slow-query the service makes these two, and else none.

Each file holds one mistake, made in a route that the shop has, beside the words on what is wrong with it. A route with
a fault takes the place of the right one, which stays where it was, to be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from fastapi import FastAPI

VARIABLE = "ORDERS_FAULTS"

# By the name in ORDERS_FAULTS, the route that gets it.
FAULTS = {
    "blocking-call": "GET /products/{product_id}",
    "external-call": "POST /orders",
    "leak": "GET /customers/{customer_id}",
    "nested-checkout": "GET /audit",
    "open-stream": "GET /orders/export",
    "slow-query": "GET /products",
}


class UnknownFault(ValueError):  # noqa: N818 - says what happened
    """ORDERS_FAULTS names something that is none of the faults."""


def chosen(environment: Mapping[str, str]) -> list[str]:
    """The faults that are switched on, none unless ORDERS_FAULTS is set. Raises `UnknownFault`."""
    given = [name.strip() for name in environment.get(VARIABLE, "").split(",")]
    names = list(dict.fromkeys(name for name in given if name))
    if unknown := [name for name in names if name not in FAULTS]:
        raise UnknownFault(f"{VARIABLE} names no fault of ours: {', '.join(unknown)}. There are: {', '.join(FAULTS)}.")
    return names


def install(app: FastAPI, names: list[str]) -> None:
    """Add the routes with these faults. Call it before the right ones are added: the first route that fits is taken."""
    for name in names:
        # Nothing of a fault is loaded into a service that is not asked to make it.
        app.include_router(import_module(f"orders.faults.{name.replace('-', '_')}").router, include_in_schema=False)
