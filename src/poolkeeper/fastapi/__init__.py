"""poolkeeper in a FastAPI app."""

from poolkeeper.fastapi.health import HealthPaths
from poolkeeper.fastapi.keeper import Keeper

__all__ = ["HealthPaths", "Keeper"]
