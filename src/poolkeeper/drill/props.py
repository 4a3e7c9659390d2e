"""What a scenario needs beside the service and its database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sqlalchemy import make_url

from poolkeeper.drill.crowd import Crowd
from poolkeeper.drill.pooler import Pooler, PoolMode
from poolkeeper.drill.stacks import POOL_MODE, resolver
from poolkeeper.drill.stage import Site
from poolkeeper.testing.ports import LOOPBACK

ROLE = "drill_app"
HOSTS = "hosts"
NAME = f"db{resolver.ZONE}"


@contextmanager
def slow_provider(seconds: float) -> Generator[Mapping[str, str]]:
    """A payment provider that takes so long for every charge, and the variable by which the service finds it."""

    class Provider(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(seconds)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Nothing is logged."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A caller who has left is no error here."""

    with Server(("127.0.0.1", 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield {"ORDERS_PAYMENT_URL": f"http://127.0.0.1:{server.server_port}/charges"}
        finally:
            server.shutdown()
            thread.join()


def role_with(limit: int) -> Callable[[Site], AbstractContextManager[Mapping[str, str]]]:
    """The service is an ordinary role of its own, with a CONNECTION LIMIT; -1 is none. Superusers know no limits."""

    @contextmanager
    def ordinary(site: Site) -> Generator[Mapping[str, str]]:
        server, database = site.server, site.database
        server.execute(f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT {limit}")
        try:
            server.execute(f"GRANT ALL ON SCHEMA public TO {ROLE}", database=database)
            server.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}", database=database)
            url = make_url(site.proxy.url(server.url(database=database))).set(username=ROLE)
            yield {"DATABASE_URL": url.render_as_string(hide_password=False)}
        finally:
            server.start()
            server.terminate_backends(f"usename = '{ROLE}'")
            server.execute(f"DROP OWNED BY {ROLE} CASCADE", database=database)
            server.execute(f"DROP ROLE {ROLE}")

    return ordinary


@contextmanager
def neighbours(site: Site) -> Generator[Mapping[str, str]]:
    """Others, who can take the server's connections; the service is an ordinary role, with none kept for it."""
    with closing(Crowd(site.server)) as site.crowd, role_with(-1)(site) as environment:
        yield environment


@contextmanager
def named_host(site: Site) -> Generator[Mapping[str, str]]:
    """The service knows its server by a name, which is in the file `hosts` in the folder of the site, or is not."""
    hosts = site.folder / HOSTS
    hosts.write_text(f"{site.proxy.host} {NAME}\n")
    url = make_url(site.proxy.url(site.server.url(database=site.database))).set(host=NAME)
    # Other loops ask their own resolver.
    told = {"DATABASE_URL": url.render_as_string(hide_password=False), "UVICORN_LOOP": "asyncio"}
    yield told | {resolver.VARIABLE: str(hosts)}


@contextmanager
def short_idle_sessions(site: Site) -> Generator[Mapping[str, str]]:
    """The server ends every session that is idle for a second, from the service's first connection on."""
    site.server.execute(f"ALTER DATABASE \"{site.database}\" SET idle_session_timeout = '1s'")
    yield {}


def pooler_in(mode: PoolMode, **settings: object) -> Callable[[Site], AbstractContextManager[Mapping[str, str]]]:
    """A PgBouncer in this mode, with these settings of its own, between the proxy and the server."""

    @contextmanager
    def between(site: Site) -> Generator[Mapping[str, str]]:
        with closing(Pooler(site.server, site.folder, mode, {"server_login_retry": 1, **settings})) as site.pooler:
            site.pooler.start()
            site.proxy.lead_to(LOOPBACK, site.pooler.port)
            # PgBouncer refuses who sends such a parameter.
            told = {"DATABASE_PROVIDER": f"pgbouncer-{mode}", "DATABASE_STATEMENT_TIMEOUT": "none"}
            yield told | {POOL_MODE: mode}

    return between


@contextmanager
def follower(site: Site) -> Generator[Mapping[str, str]]:
    """A streaming replica that is waited for by each COMMIT, so that a failover loses nothing.

    Only poolkeeper is told of it: stock pools have one URL.
    """
    server = site.server
    site.replica = server.add_replica()
    try:
        with _system(site, "synchronous_standby_names", "*"):
            yield {"DATABASE_REPLICA_URLS": site.replica.url(database=site.database)}
    finally:
        site.replica.close()


@contextmanager
def asynchronous_follower(site: Site) -> Generator[Mapping[str, str]]:
    """A streaming replica for which nobody waits."""
    with closing(site.server.add_replica()) as site.replica:
        yield {"DATABASE_REPLICA_URLS": site.replica.url(database=site.database)}


@contextmanager
def _system(site: Site, name: str, value: str) -> Generator[None]:
    """A setting of the whole server, for as long as the scenario is played."""
    server = site.server
    server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    server.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        # Nothing that writes would come back before: it has nobody left to wait for.
        server.start()
        server.execute("ALTER SYSTEM RESET ALL")
        server.execute("SELECT pg_reload_conf()")
