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
assert os.wait()[1] == 0
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
"""

_USES_AN_OLD_ONE = _USES.replace("assert session()", "time.sleep(1.2)\n    assert session()")

_DISPOSES = """
if os.fork() == 0:
    engine.dispose()
    assert dict(watch.closed) == {"abandoned": 1}
    del raw
    gc.collect()
    sys.exit(0)
"""

_SQLITE = """
if os.fork() == 0:
    assert session() == 7
    assert asks(raw) == 7, "closed"
    sys.exit(0)
"""


def run(script: str, url: str, identity: str) -> None:
    command = [sys.executable, "-W", "error", "-c", _PRELUDE + script + _EPILOGUE, url, identity]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.stderr) == ("parent asked\n", "")


@pytest.mark.parametrize("script", [_USES, _USES_AN_OLD_ONE, _DISPOSES], ids=["uses", "uses-an-old-one", "disposes"])
@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_the_parents_session_lives_on(driver: str, script: str, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("fresh_database" if driver == "psycopg" else "fresh_mariadb")
    run(script, database.url(driver), "SELECT pg_backend_pid()" if driver == "psycopg" else "SELECT connection_id()")


def test_a_file_stays_open(tmp_path: Path) -> None:
    run(_SQLITE, f"sqlite:///{tmp_path}/notes.db", "SELECT 7")
