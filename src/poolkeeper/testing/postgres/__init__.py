"""A real PostgreSQL to run tests, demos and drills on."""

from poolkeeper.testing.postgres.embedded import EmbeddedPostgres
from poolkeeper.testing.postgres.errors import EmbeddedPostgresError
from poolkeeper.testing.postgres.replica import Replica
from poolkeeper.testing.postgres.server import Backend

__all__ = ["Backend", "EmbeddedPostgres", "EmbeddedPostgresError", "Replica"]
