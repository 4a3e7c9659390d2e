"""PostgreSQL does not run as root; we do, sometimes."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from poolkeeper.testing import EmbeddedPostgres, EmbeddedPostgresError
from poolkeeper.testing.postgres import privileges
from poolkeeper.testing.postgres.privileges import Identity
from poolkeeper.testing.postgres.processes import living_postmaster

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about running as root")


@pytest.fixture
def no_namespaces(monkeypatch) -> None:
    """As in most containers."""
    monkeypatch.setattr(privileges, "_namespace_identity", lambda users: None)


def uid_of_the_server(server: EmbeddedPostgres) -> int:
    return Path(f"/proc/{living_postmaster(server.data)}").stat().st_uid


@as_root
def test_root_may_put_the_server_into_a_folder_of_its_own(tmp_path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with EmbeddedPostgres(private / "pg") as server:
        assert server.query("SELECT 1") == [("1",)]
        server.add_replica()


@as_root
def test_without_namespaces_root_runs_it_as_another_user(no_namespaces) -> None:
    with EmbeddedPostgres(auth="scram-sha-256") as server:
        assert uid_of_the_server(server) != 0
        replica = server.add_replica()
        server.execute("CREATE TABLE t (x int)")
        replica.catch_up()
        server.kill()
        server.start()
        assert server.query("SELECT count(*) FROM t") == [("0",)]
    assert not server.folder.exists()


@as_root
def test_programs_that_the_other_user_cannot_reach_are_copied(no_namespaces, monkeypatch) -> None:
    monkeypatch.setattr(Identity, "can_run", lambda identity, program: False)
    with EmbeddedPostgres() as server:
        copied = server.folder / "programs"
        assert Path(f"/proc/{living_postmaster(server.data)}/exe").resolve().is_relative_to(copied)


@as_root
def test_programs_below_a_private_folder_cannot_be_run_by_the_other_user(tmp_path) -> None:
    program = shutil.copy2("/bin/true", tmp_path / "true")
    tmp_path.chmod(0o700)
    assert Identity().can_run(program)
    assert not Identity(user=pwd.getpwnam("nobody")).can_run(program)


@as_root
def test_a_folder_that_the_other_user_cannot_reach_is_refused_with_advice(no_namespaces, tmp_path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match=r"may not enter .*\. Leave folder= out"):
        EmbeddedPostgres(private / "pg")


def test_an_ordinary_user_runs_it_as_itself() -> None:
    program = """
import os
from pathlib import Path
from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.postgres.processes import living_postmaster
assert os.geteuid() != 0
with EmbeddedPostgres() as server:
    assert server.launcher._identity.prefix == ()
    assert Path(f"/proc/{living_postmaster(server.data)}").stat().st_uid == os.geteuid()
    server.add_replica()
assert not server.folder.exists()
"""
    subprocess.run([*no_root(), sys.executable, "-c", program], check=True, cwd="/")


def no_root() -> list[str]:
    """What to put before a command so that it does not run as root: really nobody, or at least by another name."""
    if os.geteuid() != 0:
        return []
    if Identity(user=pwd.getpwnam("nobody")).can_run(Path(sys.executable)):
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    prefix = list(privileges.unprivileged_identity().prefix)
    return prefix or pytest.skip("nobody may not run this python, and user namespaces are forbidden")
