"""poolkeeper in a FastAPI app."""

from poolkeeper.fastapi.health import HealthPaths
from poolkeeper.fastapi.keeper import Keeper
from poolkeeper.fastapi.keepers import Keepers
from poolkeeper.fastapi.read_your_writes import ReadYourWrites

__all__ = ["HealthPaths", "Keeper", "Keepers", "ReadYourWrites"]
