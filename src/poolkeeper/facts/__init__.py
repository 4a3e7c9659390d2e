"""What databases, poolers and drivers do, as data: each fact has a value, a source and a date."""

from poolkeeper.facts.fact import Fact
from poolkeeper.facts.provider import Pooler, Provider
from poolkeeper.facts.providers import PROVIDERS, detect

__all__ = ["PROVIDERS", "Fact", "Pooler", "Provider", "detect"]
