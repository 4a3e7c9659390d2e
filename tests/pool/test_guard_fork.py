"""What a forked child does to the connections of its parent's guarded pool: nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PRELUDE = """
import gc, os, sys, time
from sqlalchemy import create_engine, text
from poolkeeper.pool import guard

url, identity = sys.argv[1:]
engine = create_engine(url, pool_size=1, max_overflow=0, pool_recycle=1)
watch = guard(engine)

def session():
    with engine.connect() as connection:
        return connection.execute(text(identity)).scalar_one()

def asks(raw):
    cursor = raw.cursor()
    cursor.execute(identity)
    return cursor.fetchone()[0]

with engine.connect() as connection:
    raw = connection.connection.driver_connection
parent = session()
"""

_EPILOGUE = """
assert asks(raw) == parent
raw.rollback()
engine.dispose()
print("parent asked", flush=True)
"""

_USES = """
if os.fork() == 0:
    assert session() != parent
    assert dict(watch.closed) == {"abandoned": 1}
    engine.dispose()
    del raw
    gc.collect()
    sys.exit(0)
assert os.wait()[1] == 0
"""

_USES_AN_OLD_ONE = _USES.replace("assert session()", "time.sleep(1.2)\n    assert session()")

_DISPOSES = """
if os.fork() == 0:
    engine.dispose()
    assert dict(watch.closed) == {"abandoned": 1}
    del raw
    gc.collect()
    sys.exit(0)
assert os.wait()[1] == 0
"""

_SQLITE = """
if os.fork() == 0:
    assert session() == 7
    assert asks(raw) == 7, "closed"
    sys.exit(0)
assert os.wait()[1] == 0
"""


def run(script: str, url: str, identity: str) -> None:
    command = [sys.executable, "-W", "error", "-c", _PRELUDE + script + _EPILOGUE, url, identity]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.stderr) == ("parent asked\n", "")


_CLOSES = """
import logging
logging.disable()
held = engine.connect()
held.execute(text("CREATE TEMPORARY TABLE notes (a int)"))
held.commit()
held.execute(text("INSERT INTO notes VALUES (7)"))
proxy = held.connection
for way in ("held.close()", "proxy.close()", "held = proxy = None; gc.collect()"):
    if os.fork() == 0:
        exec(way)
        assert dict(watch.closed) == {"abandoned": 1}, (way, watch.closed)
        del raw
        gc.collect()
        sys.exit(0)
    assert os.wait()[1] == 0
assert held.execute(text("SELECT a FROM notes")).scalar_one() == 7
held.close()
del held, proxy
"""

_SCRIPTS = {
    "uses": _USES,
    "uses-an-old-one": _USES_AN_OLD_ONE,
    "disposes": _DISPOSES,
    "closes": _CLOSES,
}
_FIRST = {"uses-an-old-one", "closes"}


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(script, id=name, marks=() if name in _FIRST else pytest.mark.slow)
        for name, script in _SCRIPTS.items()
    ],
)
@pytest.mark.parametrize("driver", ["psycopg", pytest.param("pymysql", marks=pytest.mark.slow)])
def test_the_parents_session_lives_on(driver: str, script: str, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("fresh_database" if driver == "psycopg" else "fresh_mariadb")
    run(script, database.url(driver), "SELECT pg_backend_pid()" if driver == "psycopg" else "SELECT connection_id()")


def test_a_file_stays_open(tmp_path: Path) -> None:
    run(_SQLITE, f"sqlite:///{tmp_path}/notes.db", "SELECT 7")
