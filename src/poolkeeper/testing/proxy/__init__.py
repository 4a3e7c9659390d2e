"""A network that can be broken on purpose."""

from poolkeeper.testing.proxy.fault_proxy import FaultProxy
from poolkeeper.testing.proxy.traffic import Traffic

__all__ = ["FaultProxy", "Traffic"]
