"""The known providers, one table.

A provider is recognised by the address in a database URL, or named by the user.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from poolkeeper.facts.fact import Fact
from poolkeeper.facts.provider import MYSQL, POSTGRESQL, SQLITE, Pooler, Provider

LOOKED_UP = date(2026, 11, 20)


def looked_up(value: float, source: str) -> Fact[float]:
    return Fact(value, source, LOOKED_UP)


def note(text: str, source: str) -> Fact[str]:
    return Fact(text, source, LOOKED_UP)


def pooler(mode: Pooler, source: str) -> Fact[Pooler]:
    return Fact(mode, source, LOOKED_UP)


PGBOUNCER_PARAMETERS = note(
    "refuses startup parameters other than client_encoding, datestyle, timezone, standard_conforming_strings and "
    "application_name: statement_timeout, search_path, jit and lock_timeout fail the connection",
    "measured with PgBouncer 1.18; PgBouncer documentation, ignore_startup_parameters",
)
PGBOUNCER_ACCEPTS = Fact(
    frozenset(
        {"client_encoding", "datestyle", "timezone", "standard_conforming_strings", "application_name", "intervalstyle"}
    ),
    "measured with PgBouncer 1.18; PgBouncer documentation, track_extra_parameters",
    LOOKED_UP,
)
NEON_SUSPENDS = looked_up(300, "Neon documentation, compute suspends 300 s after the last active query")
TRANSACTION_MODE = note(
    "a connection to the server belongs to a client for one transaction only: no SET, LISTEN, temporary tables, "
    "WITH HOLD cursors or session advisory locks",
    "PgBouncer documentation, SQL feature map for pooling modes",
)


# The first that recognises an address wins: the special ones stand before the general ones.
_TABLE: tuple[Provider, ...] = (
    Provider(
        name="rds-proxy",
        title="Amazon RDS Proxy",
        recognised_by=note(
            "a `.proxy-` label in front of rds.amazonaws.com", "general knowledge of the host names, not verified"
        ),
        dialects=POSTGRESQL | MYSQL,
        hosts=r"\.proxy-[^.]+\.[^.]+\.rds\.amazonaws\.com(\.cn)?$",
        pooler=pooler("transaction", "Amazon RDS Proxy user guide, multiplexing and pinning"),
        idle_cut=looked_up(1800, "Amazon RDS Proxy user guide, IdleClientTimeout default"),
        maximum_age=looked_up(86400, "general knowledge of RDS Proxy's 24 h limit, not verified"),
        constraints=(
            note(
                "pins a client to one connection on SET, PREPARE, DISCARD, DEALLOCATE, temporary objects, cursors, "
                "LISTEN and locks: put session settings into the proxy's initialization query",
                "Amazon RDS Proxy user guide, avoiding pinning",
            ),
            note("keep 30 % of max_connections free for the proxy's own needs", "Amazon RDS Proxy user guide"),
        ),
    ),
    Provider(
        name="aurora",
        title="Amazon Aurora",
        recognised_by=note(
            "a `.cluster-` or `.cluster-ro-` label in front of rds.amazonaws.com",
            "general knowledge of the host names, not verified",
        ),
        dialects=POSTGRESQL | MYSQL,
        hosts=r"\.cluster-(ro-|custom-)?[^.]+\.[^.]+\.rds\.amazonaws\.com(\.cn)?$",
        constraints=(
            note(
                "after a failover the old writer answers writes with SQLSTATE 25006: such a connection must be "
                "discarded",
                "source of fastapi-sqla 4.0.1, which treats 25006 as a disconnect",
            ),
        ),
    ),
    Provider(
        name="rds",
        title="Amazon RDS",
        recognised_by=note("a host under rds.amazonaws.com", "general knowledge of the host names, not verified"),
        dialects=POSTGRESQL | MYSQL,
        hosts=r"\.rds\.amazonaws\.com(\.cn)?$",
        constraints=(
            note(
                "the engine closes no idle connection, but a load balancer, network firewall or NAT gateway on the "
                "path does after 350 s: set pool_recycle below that where there is one",
                "AWS documentation of Network Load Balancer and Network Firewall; NAT gateway second-hand",
            ),
        ),
    ),
    Provider(
        name="cloud-sql",
        title="Google Cloud SQL",
        recognised_by=note(
            "a socket under /cloudsql/; the Auth Proxy on localhost and a bare IP address cannot be told apart from "
            "anything else and have to be named",
            "Google Cloud SQL documentation, connecting from serverless",
        ),
        dialects=POSTGRESQL | MYSQL,
        hosts=r"(^|/)cloudsql/",
        idle_cut=looked_up(600, "Google Cloud VPC documentation on idle connections, quoted second-hand"),
        constraints=(
            note("the Auth Proxy and the connectors do not pool: one to one", "Google Cloud SQL documentation"),
        ),
    ),
    Provider(
        name="azure-pgbouncer",
        title="Azure Database for PostgreSQL, built-in PgBouncer",
        recognised_by=note(
            "port 6432 of a host under postgres.database.azure.com", "Azure documentation, PgBouncer in flexible server"
        ),
        hosts=r"\.postgres\.database\.(azure\.com|chinacloudapi\.cn|usgovcloudapi\.net)$",
        ports=frozenset({6432}),
        pooler=pooler("transaction", "Azure documentation, PgBouncer in flexible server, pool_mode default"),
        idle_cut=looked_up(240, "Azure Load Balancer documentation, idle timeout default"),
        connection_cap=looked_up(10000, "Azure documentation, PgBouncer in flexible server, clients"),
        constraints=(PGBOUNCER_PARAMETERS, TRANSACTION_MODE),
    ),
    Provider(
        name="azure",
        title="Azure Database",
        recognised_by=note(
            "a host under postgres.database.azure.com or mysql.database.azure.com", "Azure documentation, host names"
        ),
        dialects=POSTGRESQL | MYSQL,
        hosts=r"\.(postgres|mysql|mariadb)\.database\.(azure\.com|chinacloudapi\.cn|usgovcloudapi\.net)$",
        idle_cut=looked_up(240, "Azure Load Balancer documentation, idle timeout default"),
        constraints=(
            note(
                "the load balancer drops an idle connection without a word: only TCP keepalive or a bounded check "
                "notices",
                "Azure Load Balancer documentation, TCP reset and idle timeout",
            ),
        ),
    ),
    Provider(
        name="supabase-transaction",
        title="Supabase pooler, transaction mode",
        recognised_by=note(
            "port 6543 of a host under pooler.supabase.com or supabase.co", "Supabase documentation, connection strings"
        ),
        hosts=r"\.(pooler\.supabase\.com|supabase\.co)$",
        ports=frozenset({6543}),
        pooler=pooler("transaction", "Supabase documentation, transaction mode on port 6543"),
        constraints=(
            TRANSACTION_MODE,
            note("named prepared statements fail unless a feature flag is on", "source of Supavisor, default false"),
        ),
    ),
    Provider(
        name="supabase-session",
        title="Supabase pooler, session mode",
        recognised_by=note(
            "a host under pooler.supabase.com on another port than 6543", "Supabase documentation, connection strings"
        ),
        hosts=r"\.pooler\.supabase\.com$",
        pooler=pooler("session", "Supabase documentation, session mode on port 5432"),
    ),
    Provider(
        name="supabase",
        title="Supabase, direct connection",
        recognised_by=note("a host db.REF.supabase.co", "Supabase documentation, connection strings"),
        hosts=r"^db\.[^.]+\.supabase\.co$",
        constraints=(note("IPv6 only without an add-on", "Supabase documentation, IPv4 add-on"),),
    ),
    Provider(
        name="neon-pooler",
        title="Neon, pooled connection",
        recognised_by=note("a first label that ends in -pooler under neon.tech", "Neon documentation, pooling"),
        hosts=r"^[^.]+-pooler\.([^.]+\.)*neon\.(tech|build)$",
        pooler=pooler("transaction", "Neon documentation, connection pooling"),
        idle_cut=NEON_SUSPENDS,
        suspends_after=NEON_SUSPENDS,
        connection_cap=looked_up(10000, "Neon documentation, connection pooling, clients"),
        constraints=(PGBOUNCER_PARAMETERS, TRANSACTION_MODE),
    ),
    Provider(
        name="neon",
        title="Neon, direct connection",
        recognised_by=note("a host under neon.tech", "Neon documentation, connection strings"),
        hosts=r"\.neon\.(tech|build)$",
        idle_cut=NEON_SUSPENDS,
        suspends_after=NEON_SUSPENDS,
        reserved_connections=looked_up(7, "Neon documentation, connections reserved for its own use"),
        constraints=(
            note(
                "max_connections goes with the compute size: 104 at 0.25 CU, 4000 at most",
                "Neon documentation, connection limits",
            ),
        ),
    ),
    Provider(
        name="planetscale-mysql",
        title="PlanetScale for MySQL",
        recognised_by=note(
            "a host under connect.psdb.cloud or private-connect.psdb.cloud", "PlanetScale documentation, 2024-08"
        ),
        dialects=MYSQL,
        hosts=r"\.(private-)?connect\.psdb\.cloud$",
        maximum_age=looked_up(86400, "PlanetScale documentation of 2024-08: may be terminated after 24 h"),
        constraints=(
            note(
                "20 s for a transaction, 900 s for a SELECT, 30 s for other statements, 100,000 rows",
                "PlanetScale documentation of 2024-08, system limits",
            ),
        ),
    ),
    Provider(
        name="planetscale-pgbouncer",
        title="PlanetScale for Postgres, PgBouncer",
        recognised_by=note("port 6432 of a host under pg.psdb.cloud", "second-hand pages; host name not verified"),
        hosts=r"\.pg\.psdb\.cloud$",
        ports=frozenset({6432}),
        pooler=pooler("transaction", "second-hand pages on PlanetScale for Postgres, not verified"),
        constraints=(PGBOUNCER_PARAMETERS, TRANSACTION_MODE),
    ),
    Provider(
        name="planetscale-postgres",
        title="PlanetScale for Postgres",
        recognised_by=note("a host under pg.psdb.cloud", "second-hand pages; host name not verified"),
        hosts=r"\.pg\.psdb\.cloud$",
    ),
    Provider(
        name="prisma-pooler",
        title="Prisma Postgres, pooled connection",
        recognised_by=note("the host pooled.db.prisma.io", "Prisma Postgres documentation"),
        hosts=r"^pooled\.db\.prisma\.io$",
        pooler=pooler("transaction", "Prisma Postgres documentation, connection pooling"),
        idle_cut=looked_up(3600, "Prisma Postgres documentation, pooled idle timeout 60 min"),
        connection_cap=looked_up(50, "Prisma Postgres documentation, pooled connections of the smallest plan"),
        constraints=(TRANSACTION_MODE,),
    ),
    Provider(
        name="digitalocean-pool",
        title="DigitalOcean connection pool",
        recognised_by=note(
            "port 25061 of a host under db.ondigitalocean.com", "general knowledge of the ports, not verified"
        ),
        hosts=r"\.db\.ondigitalocean\.com$",
        ports=frozenset({25061}),
        pooler=pooler("transaction", "general knowledge: the default mode of a new pool, not verified"),
        pooler_sure=False,
        constraints=(PGBOUNCER_PARAMETERS, TRANSACTION_MODE),
    ),
    Provider(
        name="digitalocean",
        title="DigitalOcean managed database",
        recognised_by=note("a host under db.ondigitalocean.com", "general knowledge of the host names, not verified"),
        dialects=POSTGRESQL | MYSQL,
        hosts=r"\.db\.ondigitalocean\.com$",
    ),
    Provider(
        name="heroku",
        title="Heroku Postgres",
        recognised_by=note(
            "named only: its hosts look like any other on Amazon EC2", "second-hand pages on Heroku Postgres"
        ),
        connection_cap=looked_up(20, "second-hand pages: Essential 20 to 40, Standard-0 120, Standard-2 400"),
        constraints=(
            note(
                "DATABASE_URL begins with postgres://, which SQLAlchemy does not accept",
                "measured with SQLAlchemy 2.1.9",
            ),
        ),
    ),
    Provider(
        name="heroku-pooler",
        title="Heroku Postgres, server-side PgBouncer",
        recognised_by=note("named only", "second-hand pages on DATABASE_CONNECTION_POOL_URL"),
        pooler=pooler("transaction", "second-hand pages on Heroku connection pooling"),
        constraints=(PGBOUNCER_PARAMETERS, TRANSACTION_MODE),
    ),
    Provider(
        name="pgbouncer",
        title="PgBouncer, mode not known",
        recognised_by=note("port 6432", "convention: the listen_port that PgBouncer ships with"),
        ports=frozenset({6432}),
        # What works in transaction mode works in session mode too, not the other way round.
        pooler=pooler("transaction", "the safe reading where the mode is not known"),
        pooler_sure=False,
        connection_cap=looked_up(100, "PgBouncer 1.25 source, max_client_conn default"),
        constraints=(PGBOUNCER_PARAMETERS, TRANSACTION_MODE),
    ),
    Provider(
        name="pgbouncer-transaction",
        title="PgBouncer, transaction mode",
        recognised_by=note("named only", "the mode does not show in an address"),
        pooler=pooler("transaction", "named by the user"),
        connection_cap=looked_up(100, "PgBouncer 1.25 source, max_client_conn default"),
        constraints=(PGBOUNCER_PARAMETERS, TRANSACTION_MODE),
    ),
    Provider(
        name="pgbouncer-session",
        title="PgBouncer, session mode",
        recognised_by=note("named only", "the mode does not show in an address"),
        pooler=pooler("session", "named by the user"),
        connection_cap=looked_up(100, "PgBouncer 1.25 source, max_client_conn default"),
        constraints=(PGBOUNCER_PARAMETERS,),
    ),
    Provider(
        name="skysql",
        title="MariaDB SkySQL",
        recognised_by=note("named only", "its host names are not known to us"),
        dialects=MYSQL,
        idle_cut=looked_up(600, "MariaDB SkySQL documentation, wait_timeout of single and replicated topologies"),
    ),
    Provider(
        name="sqlite",
        title="SQLite",
        recognised_by=note("the scheme of the URL", "SQLAlchemy documentation, database URLs"),
        dialects=SQLITE,
        hosts="",
    ),
    Provider(
        name="mariadb",
        title="MariaDB",
        recognised_by=note("the scheme mariadb of the URL", "SQLAlchemy documentation, database URLs"),
        dialects=frozenset({"mariadb"}),
        hosts="",
        idle_cut=looked_up(28800, "MariaDB documentation, wait_timeout default"),
    ),
    Provider(
        name="mysql",
        title="MySQL",
        recognised_by=note("the scheme of the URL", "SQLAlchemy documentation, database URLs"),
        dialects=MYSQL,
        hosts="",
        idle_cut=looked_up(28800, "general knowledge of MySQL's wait_timeout default, not verified"),
    ),
    Provider(
        name="postgresql",
        title="PostgreSQL",
        recognised_by=note("the scheme of the URL", "SQLAlchemy documentation, database URLs"),
        hosts="",
        constraints=(
            note("closes no idle connection by itself", "PostgreSQL documentation, idle_session_timeout default 0"),
        ),
    ),
    Provider(
        name="other",
        title="a database that poolkeeper knows nothing about",
        recognised_by=note("any other scheme", "SQLAlchemy documentation, database URLs"),
        dialects=frozenset(),
    ),
)

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in _TABLE}


def detect(dialect: str, addresses: Iterable[tuple[str, int | None]]) -> Provider:
    """The provider of a database URL's addresses, by the first of them that one is known for.

    `dialect` is SQLAlchemy's name ("postgresql"). The result is "other" where nothing fits.
    """
    places = tuple(addresses) or (("", None),)
    found = (provider for provider in _TABLE for host, port in places if provider.recognises(dialect, host, port))
    return next(found, PROVIDERS["other"])
