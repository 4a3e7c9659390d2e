"""What the callers of the reference service do, as an endless mix of requests."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from poolkeeper.drill.client import Response

# Shares of the routes, in percent: a shop is read more than it is written.
ORDERS_MIX: Mapping[str, int] = MappingProxyType(
    {
        "list_products": 25,
        "get_product": 20,
        "get_customer": 15,
        "get_order": 10,
        "place_order": 12,
        "cancel_order": 8,
        "transfer": 6,
        "restock": 3,
        "export": 1,
    }
)

_OK = frozenset({200, 201, 204})
# Out of stock, out of money, cancelled already: the service does its work when it says so.
_OK_OR_REFUSED = _OK | {409}


@dataclass(frozen=True, slots=True)
class Call:
    """One request to send. Any status that is not in `expected` counts as an error.

    `number` is what the caller knows the work by, `patience` (seconds) how long this caller waits if not as all do.
    """

    route: str
    method: str
    path: str
    body: bytes = b""
    expected: frozenset[int] = _OK
    number: int | None = None
    patience: float | None = None


class Traffic(Protocol):
    """Where a load takes its requests from."""

    def next(self) -> Call: ...

    def answered(self, call: Call, response: Response) -> None:
        """Told of every expected response, so that later calls can build on it."""


class OrdersTraffic:
    """Requests to the reference service; `mix` gives each route its share. The same seed makes the same sequence.

    Orders that were placed are read and cancelled later, so that money and stock stay in balance over a long run.
    """

    def __init__(
        self, *, mix: Mapping[str, int] = ORDERS_MIX, customers: int = 100, products: int = 50, seed: int = 1
    ) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - a load, not a secret
        self._customers, self._products = customers, products
        self._orders: deque[int] = deque(maxlen=1000)
        makers: dict[str, Callable[[], Call]] = {
            "list_products": lambda: Call("list_products", "GET", f"/products?after={self._dice.randrange(products)}"),
            "get_product": lambda: Call("get_product", "GET", f"/products/{self._product()}"),
            "get_customer": lambda: Call("get_customer", "GET", f"/customers/{self._customer()}"),
            "get_order": self._get_order,
            "place_order": self._place_order,
            "cancel_order": self._cancel_order,
            "transfer": self._transfer,
            "restock": self._restock,
            "export": self._export,
        }
        self._makers = [makers[route] for route in mix]
        self._shares = list(mix.values())

    def next(self) -> Call:
        return self._dice.choices(self._makers, self._shares)[0]()

    def answered(self, call: Call, response: Response) -> None:
        if call.route == "place_order" and response.status == 201:
            self._orders.append(json.loads(response.body)["id"])

    def _customer(self) -> int:
        return self._dice.randint(1, self._customers)

    def _product(self) -> int:
        return self._dice.randint(1, self._products)

    def _place_order(self) -> Call:
        lines = [
            {"product_id": self._product(), "quantity": self._dice.randint(1, 5)}
            for _ in range(self._dice.randint(1, 3))
        ]
        wanted = {"customer_id": self._customer(), "lines": lines}
        return Call("place_order", "POST", "/orders", _json(wanted), _OK_OR_REFUSED)

    def _get_order(self) -> Call:
        if not self._orders:
            return self._place_order()
        return Call("get_order", "GET", f"/orders/{self._dice.choice(self._orders)}")

    def _cancel_order(self) -> Call:
        if not self._orders:
            return self._place_order()
        return Call("cancel_order", "POST", f"/orders/{self._orders.popleft()}/cancel", expected=_OK_OR_REFUSED)

    def _transfer(self) -> Call:
        payer, payee = self._dice.sample(range(1, self._customers + 1), 2)
        wanted = {"from_customer_id": payer, "to_customer_id": payee, "amount": self._dice.randint(1, 5_000)}
        return Call("transfer", "POST", "/transfers", _json(wanted), _OK_OR_REFUSED)

    def _restock(self) -> Call:
        return Call("restock", "POST", f"/products/{self._product()}/restock", _json({"quantity": 10}))

    def _export(self) -> Call:
        after = max(0, self._orders[-1] - 250) if self._orders else 0
        return Call("export", "GET", f"/orders/export?after={after}&limit=200")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
