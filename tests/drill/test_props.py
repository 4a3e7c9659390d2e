from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

from poolkeeper.drill.props import slow_provider


def test_a_slow_provider_takes_its_time_and_then_says_yes() -> None:
    with slow_provider(0.1) as environment:
        address = urlsplit(environment["ORDERS_PAYMENT_URL"])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        began = time.monotonic()
        connection.request("POST", address.path, b"{}")
        assert connection.getresponse().status == 200
        assert time.monotonic() - began >= 0.1
        connection.close()
