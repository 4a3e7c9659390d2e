"""Which options each driver takes, in a URL's query or in connect_args, SQLAlchemy's own additions included."""

from __future__ import annotations

from datetime import date

from poolkeeper.facts.fact import Fact

_AS_OF = date(2026, 11, 20)


def _options(names: str, source: str) -> Fact[frozenset[str]]:
    return Fact(frozenset(names.split()), source, _AS_OF)


_ASYNCPG = _options(
    """dsn host port user password passfile service servicefile database loop timeout statement_cache_size
    max_cached_statement_lifetime max_cacheable_statement_size command_timeout ssl direct_tls connection_class
    record_class server_settings target_session_attrs krbsrvname gsslib
    prepared_statement_cache_size prepared_statement_name_func async_creator_fn""",
    "signature of asyncpg 0.32 connect(); SQLAlchemy 2.1.9 asyncpg dialect",
)
_PSYCOPG = _options(
    """service servicefile user password passfile channel_binding connect_timeout dbname host hostaddr port
    client_encoding options application_name fallback_application_name keepalives keepalives_idle keepalives_interval
    keepalives_count tcp_user_timeout sslmode sslnegotiation sslcompression sslcert sslkey sslcertmode sslpassword
    sslrootcert sslcrl sslcrldir sslsni requirepeer require_auth min_protocol_version max_protocol_version
    ssl_min_protocol_version ssl_max_protocol_version gssencmode krbsrvname gsslib gssdelegation replication
    target_session_attrs load_balance_hosts scram_client_key scram_server_key oauth_issuer oauth_client_id
    oauth_client_secret oauth_scope sslkeylogfile
    conninfo autocommit prepare_threshold context row_factory cursor_factory async_creator_fn""",
    "libpq 18 connection parameters; signature of psycopg 3.3.9 connect()",
)
_MYSQL_SSL = "ssl ssl_ca ssl_capath ssl_cert ssl_key ssl_cipher ssl_check_hostname ssl_mode"
_PYMYSQL = _options(
    f"""user password passwd host database db unix_socket port charset collation sql_mode read_default_file conv
    use_unicode client_flag cursorclass init_command connect_timeout read_default_group autocommit local_infile
    max_allowed_packet defer_connect auth_plugin_map read_timeout write_timeout bind_address binary_prefix program_name
    server_public_key compress named_pipe ssl_disabled ssl_key_password ssl_verify_cert ssl_verify_identity
    {_MYSQL_SSL}""",
    "signature of PyMySQL 1.2.4 connect(); SQLAlchemy 2.1.9 mysqldb dialect",
)
_AIOMYSQL = _options(
    f"""host user password db port unix_socket charset sql_mode read_default_file conv use_unicode client_flag
    cursorclass init_command connect_timeout read_default_group autocommit echo local_infile loop auth_plugin
    program_name server_public_key async_creator_fn {_MYSQL_SSL}""",
    "signature of aiomysql 0.3.2 connect(); SQLAlchemy 2.1.9 mysqldb dialect",
)
_ASYNCMY = _options(
    f"""user password password_creator host database db unix_socket sock port charset sql_mode read_default_file conv
    use_unicode client_flag cursor_cls init_command connect_timeout read_default_group autocommit local_infile
    max_allowed_packet auth_plugin_map read_timeout binary_prefix program_name server_public_key echo query_callback
    stmt_cache_size async_creator_fn {_MYSQL_SSL}""",
    "signature of asyncmy 0.2.18 Connection(); SQLAlchemy 2.1.9 mysqldb dialect",
)
_SQLITE = """database timeout detect_types isolation_level check_same_thread factory cached_statements uri autocommit
    mode cache immutable nolock psow vfs modeof"""
_PYSQLITE = _options(_SQLITE, "signature of Python's sqlite3.connect(); SQLite documentation, URI filenames")
_AIOSQLITE = _options(
    f"{_SQLITE} iter_chunk_size loop async_creator_fn",
    "signature of aiosqlite 0.22 connect(); SQLite documentation, URI filenames",
)

DRIVER_OPTIONS: dict[str, Fact[frozenset[str]]] = {
    "asyncpg": _ASYNCPG,
    "psycopg": _PSYCOPG,
    "psycopg_async": _PSYCOPG,
    "pymysql": _PYMYSQL,
    "aiomysql": _AIOMYSQL,
    "asyncmy": _ASYNCMY,
    "pysqlite": _PYSQLITE,
    "aiosqlite": _AIOSQLITE,
}

# What people bring along from another driver, and what to write instead.
FOREIGN_OPTIONS: dict[str, dict[str, str]] = {
    "asyncpg": {
        "sslmode": "asyncpg calls it ssl: write ?ssl=require",
        "sslrootcert": "Give an ssl.SSLContext as connect_args={'ssl': context}",
        "channel_binding": "Leave it out: asyncpg has no such option",
        "connect_timeout": "Use the setting connect_timeout",
        "application_name": "Use the setting service",
        "options": "Give connect_args={'server_settings': {...}}",
        "pgbouncer": "Leave it out and name the provider: provider='pgbouncer-transaction'",
    },
    "psycopg": {
        "ssl": "libpq calls it sslmode: write ?sslmode=require",
        "server_settings": "Give connect_args={'options': '-c name=value'}",
        "statement_cache_size": "psycopg calls it prepare_threshold; poolkeeper sets it where a pooler needs it",
        "command_timeout": "Use the setting command_timeout",
        "pgbouncer": "Leave it out and name the provider: provider='pgbouncer-transaction'",
    },
}
FOREIGN_OPTIONS["psycopg_async"] = FOREIGN_OPTIONS["psycopg"]
