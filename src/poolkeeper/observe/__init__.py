"""What is going on in a pool, and on whose behalf."""

from poolkeeper.observe.checkouts import Checkout, Checkouts
from poolkeeper.observe.request import current_scope, route_of

__all__ = ["Checkout", "Checkouts", "current_scope", "route_of"]
