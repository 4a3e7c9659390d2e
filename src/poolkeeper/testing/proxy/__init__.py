"""A network that can be broken on purpose."""

from poolkeeper.testing.proxy.fault_proxy import FaultProxy
from poolkeeper.testing.proxy.traffic import Traffic
from poolkeeper.testing.proxy.witness import Witness

__all__ = ["FaultProxy", "Traffic", "Witness"]
