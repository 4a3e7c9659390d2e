"""What the database server itself says about its sessions."""

from poolkeeper.server.hosts import look_at_host
from poolkeeper.server.kept import KeptConnection
from poolkeeper.server.looks import look
from poolkeeper.server.pgbouncer import console_of
from poolkeeper.server.pooler_mode import PoolMode, look_at_mode
from poolkeeper.server.problems import problem_of
from poolkeeper.server.sampler import Sampler, Unpooled

__all__ = [
    "KeptConnection",
    "PoolMode",
    "Sampler",
    "Unpooled",
    "console_of",
    "look",
    "look_at_host",
    "look_at_mode",
    "problem_of",
]
