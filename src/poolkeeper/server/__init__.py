"""What the database server itself says about its sessions."""

from poolkeeper.server.hosts import look_at_host
from poolkeeper.server.kept import KeptConnection
from poolkeeper.server.looks import look
from poolkeeper.server.pgbouncer import console_of
from poolkeeper.server.problems import problem_of
from poolkeeper.server.sampler import Sampler, Unpooled

__all__ = ["KeptConnection", "Sampler", "Unpooled", "console_of", "look", "look_at_host", "problem_of"]
