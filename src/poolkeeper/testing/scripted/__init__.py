"""A scripted database: every delay, failure and death of a connection at the word of a test."""

from poolkeeper.testing.scripted.clock import VirtualTimeLoop
from poolkeeper.testing.scripted.connection import ScriptedConnection
from poolkeeper.testing.scripted.database import ScriptedDatabase
from poolkeeper.testing.scripted.script import Script

__all__ = ["Script", "ScriptedConnection", "ScriptedDatabase", "VirtualTimeLoop"]
