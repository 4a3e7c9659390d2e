from __future__ import annotations

import pytest

from poolkeeper.facts import PROVIDERS, detect

RDS = "abc123.eu-west-1.rds.amazonaws.com"

ADDRESSES = [
    ("postgresql", "db", 5432, "postgresql"),
    ("postgresql", "db", None, "postgresql"),
    ("postgresql", "db", 6432, "pgbouncer"),
    ("postgresql", f"shop.{RDS}", 5432, "rds"),
    ("mysql", f"shop.{RDS}", 3306, "rds"),
    ("postgresql", f"shop.cluster-{RDS}", None, "aurora"),
    ("postgresql", f"shop.cluster-ro-{RDS}", None, "aurora"),
    ("postgresql", f"shop.proxy-{RDS}", None, "rds-proxy"),
    ("mysql", f"SHOP.PROXY-{RDS}".upper(), None, "rds-proxy"),
    ("postgresql", "shop.proxy-abc.cn-north-1.rds.amazonaws.com.cn", None, "rds-proxy"),
    ("postgresql", "/cloudsql/p:r:i", None, "cloud-sql"),
    ("mysql", "/cloudsql/p:r:i", None, "cloud-sql"),
    ("postgresql", "shop.postgres.database.azure.com", 5432, "azure"),
    ("postgresql", "shop.postgres.database.azure.com", 6432, "azure-pgbouncer"),
    ("mysql", "shop.mysql.database.azure.com", 3306, "azure"),
    ("postgresql", "aws-0-eu-central-1.pooler.supabase.com", 6543, "supabase-transaction"),
    ("postgresql", "aws-1-eu-central-1.pooler.supabase.com", 5432, "supabase-session"),
    ("postgresql", "db.abcdef.supabase.co", 5432, "supabase"),
    ("postgresql", "db.abcdef.supabase.co", 6543, "supabase-transaction"),
    ("postgresql", "ep-cool-night-123.eu-central-1.aws.neon.tech", None, "neon"),
    ("postgresql", "ep-cool-night-123-pooler.eu-central-1.aws.neon.tech", None, "neon-pooler"),
    ("postgresql", "ep-pooler-night-123.eu-central-1.aws.neon.tech", None, "neon"),
    ("mysql", "aws.connect.psdb.cloud", None, "planetscale-mysql"),
    ("mysql", "aws.private-connect.psdb.cloud", None, "planetscale-mysql"),
    ("postgresql", "eu.pg.psdb.cloud", 5432, "planetscale-postgres"),
    ("postgresql", "eu.pg.psdb.cloud", 6432, "planetscale-pgbouncer"),
    ("postgresql", "pooled.db.prisma.io", 5432, "prisma-pooler"),
    ("postgresql", "x.db.ondigitalocean.com", 25060, "digitalocean"),
    ("postgresql", "x.db.ondigitalocean.com", 25061, "digitalocean-pool"),
    ("mysql", "db", 3306, "mysql"),
    ("mysql", "db", 6432, "mysql"),
    ("mariadb", "db", 3306, "mariadb"),
    ("sqlite", "", None, "sqlite"),
    ("oracle", "db", 6432, "other"),
    # Names that only look alike.
    ("postgresql", "neon.tech.example.com", None, "postgresql"),
    ("postgresql", "myneon.tech", None, "postgresql"),
    ("postgresql", f"shop.{RDS}.example.com", None, "postgresql"),
]


@pytest.mark.parametrize(("dialect", "host", "port", "name"), ADDRESSES)
def test_an_address_tells_its_provider(dialect, host, port, name):
    assert detect(dialect, [(host, port)]).name == name


def test_every_provider_is_recognised_or_has_to_be_named():
    recognised = {name for _, _, _, name in ADDRESSES}
    for name, provider in PROVIDERS.items():
        assert (name in recognised) != ("named only" in provider.recognised_by.value), name


def test_a_special_address_wins_over_a_general_one():
    assert detect("postgresql", [("db", 5432), ("ep-x-pooler.aws.neon.tech", None)]).name == "neon-pooler"


def test_without_an_address_the_dialect_decides():
    assert detect("postgresql", []).name == "postgresql"
