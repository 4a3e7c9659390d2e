"""PostgreSQL refuses to run as root. When we are root, its programs are started as somebody else.

Best is a user namespace in which root is called by another name: every file stays reachable, nothing changes owner.
Containers often forbid those; then the programs run as an existing user of the machine, who must be able to reach them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from poolkeeper.testing.postgres.errors import EmbeddedPostgresError

_PREFERRED_USERS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom programs run: behind a command prefix, as another user, or (neither) as ourselves."""

    prefix: tuple[str, ...] = ()
    user: pwd.struct_passwd | None = None

    @property
    def uid(self) -> int | None:
        return self.user.pw_uid if self.user else None

    @property
    def gid(self) -> int | None:
        return self.user.pw_gid if self.user else None

    @property
    def extra_groups(self) -> list[int] | None:
        return [] if self.user else None

    def give(self, path: Path) -> None:
        """Make `path` belong to whom the programs run as."""
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid, follow_symlinks=False)

    def can_run(self, program: Path) -> bool:
        try:
            result = subprocess.run(
                [*self.prefix, program, "--version"],
                user=self.uid,
                group=self.gid,
                extra_groups=self.extra_groups,
                cwd="/",
                capture_output=True,
                check=False,
            )
        except OSError:
            return False
        return result.returncode == 0

    def check_reach(self, folder: Path) -> None:
        """Raise `EmbeddedPostgresError` when the programs cannot get into `folder`."""
        if self.user is None:
            return
        for part in (folder, *folder.parents):
            if not _may_traverse(self.user, part):
                raise EmbeddedPostgresError(
                    f"PostgreSQL does not run as root, so it runs as the user {self.user.pw_name}, who may not enter "
                    f"{part}. Leave folder= out, name a folder that everybody may enter (chmod o+x {part}), "
                    "or do not run as root"
                )


def _may_traverse(user: pwd.struct_passwd, folder: Path) -> bool:
    status = folder.stat()
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & 0o100)
    return bool(status.st_mode & (0o010 if status.st_gid == user.pw_gid else 0o001))


def unprivileged_identity() -> Identity:
    """As whom PostgreSQL can run here."""
    if os.geteuid() != 0:
        return Identity()
    users = _other_users()
    return _namespace_identity(users) or Identity(user=users[0])


def _other_users() -> list[pwd.struct_passwd]:
    by_name = {user.pw_name: user for user in pwd.getpwall() if user.pw_uid != 0}
    users = [by_name[name] for name in _PREFERRED_USERS if name in by_name] or list(by_name.values())
    if not users:
        raise EmbeddedPostgresError("PostgreSQL does not run as root, and this machine has no other user to run it as")
    return users


def _namespace_identity(users: list[pwd.struct_passwd]) -> Identity | None:
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    user = users[0]
    prefix = (unshare, "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "--")
    return Identity(prefix=prefix) if _works(prefix) else None


@cache
def _works(prefix: tuple[str, ...]) -> bool:
    return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
