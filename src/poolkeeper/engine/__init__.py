"""Settings in, engine out: a SQLAlchemy engine that is bounded, cannot lie about a commit and does not hang."""

from poolkeeper.engine.build import build_async_engine, build_sync_engine
from poolkeeper.engine.commands import Commands
from poolkeeper.engine.connects import ConnectObserver
from poolkeeper.engine.destination import Destination
from poolkeeper.engine.lost_answers import commit_was_sent
from poolkeeper.engine.passwords import Password, Passwords

__all__ = [
    "Commands",
    "ConnectObserver",
    "Destination",
    "Password",
    "Passwords",
    "build_async_engine",
    "build_sync_engine",
    "commit_was_sent",
]
