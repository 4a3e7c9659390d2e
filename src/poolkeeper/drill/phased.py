"""The load of a drill: phases of one rate each, requests whose work can be found again, and every outcome kept."""

from __future__ import annotations

import itertools
import json
import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from poolkeeper.drill.client import Response
from poolkeeper.drill.load import Load, Recorder, steady
from poolkeeper.drill.traffic import Call

Kind = Literal["read", "transfer", "slow", "abandoned", "order", "customer", "audit", "look"]

# The first rows of the reference service.
CUSTOMERS, PRODUCTS = 100, 50
# A caller who leaves does so after this long (seconds): the statement is under way, and far from its end.
_LEAVES_AFTER = 0.03
# So many transfers are remembered, to look at.
_LATE = 200


class Outcome(NamedTuple):
    """One request. Seconds from the start of the load; `error` is None for an answer as expected.

    `number` is that of a transfer, for finding it in the books; a look at one asks whether it is there. `retry_after`
    says that a refusal tells when to come back.
    """

    route: str
    due: float
    seconds: float
    status: int | None = None
    error: str | None = None
    retry_after: bool = False
    number: int | None = None

    @property
    def end(self) -> float:
        return self.due + self.seconds

    @property
    def kind(self) -> Literal["ok", "refused", "failed", "left"]:
        """Refused is a 503 that says when to come back; left is a caller who was meant to go away."""
        if self.error is None:
            return "ok"
        if self.route == "abandoned" and self.error == "timeout":
            return "left"
        return "refused" if self.status == 503 and self.retry_after else "failed"


class Outcomes(Recorder):
    """Keeps every outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Outcome] = []

    def add(self, call: Call, intended: float, latency: float, response: Response | None, error: str | None) -> None:
        super().add(call, intended, latency, response, error)
        status, retry_after = (response.status, response.retry_after) if response else (None, False)
        self.kept.append(Outcome(call.route, intended, latency, status, error, retry_after, call.number))


@dataclass(frozen=True, slots=True)
class PhasedLoad:
    """`phases` of (requests per second, seconds), one after the other; `mix` gives each kind of request its share.

    A request fails after `timeout` seconds. `hold` is how long (seconds) a transfer, a slow read or a read that its
    caller abandons keeps its connection busy on the server. The same seed makes the same sequence.
    """

    phases: tuple[tuple[float, float], ...]
    mix: Mapping[Kind, int]
    timeout: float = 3.0
    hold: float = 0.0
    seed: int = 1

    @property
    def seconds(self) -> float:
        """How long the sending takes."""
        return sum(seconds for _, seconds in self.phases)

    def load(self, address: str) -> Load:
        load = Load(address, PhasedTraffic(self.mix, self.hold, self.seed), self.arrivals(), timeout=self.timeout)
        load.recorder = Outcomes()
        return load

    def arrivals(self) -> Iterator[float]:
        return arrivals(self.phases)


def arrivals(phases: Iterable[tuple[float, float]]) -> Iterator[float]:
    """When the requests leave of phases of (requests per second, seconds), one after the other."""
    begins = 0.0
    for rate, seconds in phases:
        yield from (begins + moment for moment in steady(rate, seconds))
        begins += seconds


class PhasedTraffic:
    """Requests to the reference service with the drill's own routes. Each transfer has a number of its own, from 1."""

    def __init__(self, mix: Mapping[Kind, int], hold: float, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - a load, not a secret
        self._numbers = itertools.count(1)
        self._hold = hold
        self._done: deque[int] = deque(maxlen=_LATE)
        self._kinds, self._shares = list(mix), list(mix.values())

    def next(self) -> Call:
        kind = self._dice.choices(self._kinds, self._shares)[0]
        match kind:
            case "read":
                return Call(kind, "GET", f"/products/{self._dice.randint(1, PRODUCTS)}")
            case "transfer":
                return self._transfer()
            case "slow":
                return Call(kind, "GET", f"/drill/slow?seconds={self._hold}")
            case "abandoned":
                return Call(kind, "GET", f"/drill/slow?seconds={self._hold}", patience=_LEAVES_AFTER)
            case "order":
                return self._order()
            case "customer":
                return Call(kind, "GET", f"/customers/{self._dice.randint(1, CUSTOMERS)}")
            case "audit":
                return Call(kind, "GET", "/audit")
            case "look":
                return self._look()

    def answered(self, call: Call, response: Response) -> None:  # noqa: ARG002 - the traffic's signature
        """A transfer that was done can be looked at."""
        if call.route == "transfer" and call.number is not None:
            self._done.append(call.number)

    def _look(self) -> Call:
        """At a transfer of late, whose caller was told that it is done; where there is none yet, a transfer."""
        if not self._done:
            return self._transfer()
        number = self._dice.choice(self._done)
        return Call("look", "GET", f"/drill/transfers/{number}", expected=frozenset({204, 404}), number=number)

    def _transfer(self) -> Call:
        number = next(self._numbers)
        payer, payee = self._dice.sample(range(1, CUSTOMERS + 1), 2)
        amount = self._dice.randint(1, 5_000)
        wanted = {"number": number, "payer": payer, "payee": payee, "amount": amount, "hold": self._hold}
        return Call("transfer", "POST", "/drill/transfers", json.dumps(wanted).encode(), number=number)

    def _order(self) -> Call:
        """Of all products in turn, so that callers do not wait for each other's rows."""
        which = next(self._numbers)
        line = {"product_id": which % PRODUCTS + 1, "quantity": 1}
        wanted = {"customer_id": which % CUSTOMERS + 1, "lines": [line]}
        return Call("order", "POST", "/orders", json.dumps(wanted).encode())
