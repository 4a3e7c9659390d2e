"""What the database server itself says about its sessions."""

from poolkeeper.server.looks import look
from poolkeeper.server.sampler import Sampler

__all__ = ["Sampler", "look"]
