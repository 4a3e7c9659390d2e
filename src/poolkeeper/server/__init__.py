"""What the database server itself says about its sessions."""

from poolkeeper.server.looks import look
from poolkeeper.server.pgbouncer import console_of
from poolkeeper.server.sampler import Sampler, Unpooled

__all__ = ["Sampler", "Unpooled", "console_of", "look"]
