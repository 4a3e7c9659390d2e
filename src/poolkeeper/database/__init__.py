"""Databases as a service uses them: sessions, numbers, shutdown."""

from poolkeeper.database.database import Database, State
from poolkeeper.database.databases import Databases
from poolkeeper.database.replicas import Replica

__all__ = ["Database", "Databases", "Replica", "State"]
