"""As whom the server runs: PostgreSQL refuses root, so root has another user run it."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optiinfra.domain.errors import DatabaseError

# Accounts for the server when we are root, the first that exists; nobody exists everywhere.
PREFERRED_USERS = ("optiinfra", "postgres", "nobody")
COMMAND_TIMEOUT_S = 120.0
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, and whether we have to change to it."""

    uid: int
    gid: int
    is_other: bool

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        directory: Path,
        text: str = "",
        inherited: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this user in `directory`, `text` on its input; output and errors joined.

        The environment is made anew: a foreign HOME, PGDATA or locale would reach the server.
        """
        environment = {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(directory)}
        environment |= {key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ}
        return subprocess.run(  # noqa: S603 - programs that we found, arguments that we wrote
            [str(part) for part in arguments],
            cwd=directory,
            env=environment,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=COMMAND_TIMEOUT_S,
            umask=0o077,
            pass_fds=inherited,
            user=self.uid if self.is_other else None,
            group=self.gid if self.is_other else None,
            extra_groups=() if self.is_other else None,
        )

    def can_enter(self, directory: Path) -> bool:
        """Whether this user may go there, found by going there."""
        if not self.is_other:
            return True
        script = 'cd "$1"'
        done = self.run(["/bin/sh", "-c", script, "sh", directory], directory=Path("/"))
        return done.returncode == 0

    def can_execute(self, program: Path) -> bool:
        """Whether this user may run a program, found by asking it for its version."""
        try:
            return self.run([program, "--version"], directory=Path("/")).returncode == 0
        except PermissionError:
            return False

    def own(self, directory: Path) -> None:
        """Give a directory that we made to this user."""
        if self.is_other:
            os.chown(directory, self.uid, self.gid, follow_symlinks=False)


def find_account(server_dir: Path) -> Account:
    """The owner of what is there already; else ourselves; else, for root, an unprivileged user."""
    uid = os.geteuid()
    owner = server_dir.stat().st_uid if server_dir.exists() else uid
    if uid != 0:
        if owner != uid:
            raise DatabaseError(
                f"The embedded PostgreSQL in {server_dir} belongs to user id {owner}, not {uid}.",
                remedy="Run as that user, choose another data directory with XDG_DATA_HOME, or name"
                " a server in OPTIINFRA_DATABASE_URL.",
            )
        return _describe(uid, is_other=False)
    if owner != 0:
        return _describe(owner, is_other=True)
    for name in PREFERRED_USERS:
        try:
            return _describe(pwd.getpwnam(name).pw_uid, is_other=True)
        except KeyError:
            continue
    raise DatabaseError(
        "PostgreSQL refuses to run as root, and none of the users"
        f" {', '.join(PREFERRED_USERS)} exists to run it instead.",
        remedy="Add one of them, run as another user, or name a server in OPTIINFRA_DATABASE_URL.",
    )


def _describe(uid: int, *, is_other: bool) -> Account:
    try:
        return Account(uid=uid, gid=pwd.getpwuid(uid).pw_gid, is_other=is_other)
    except KeyError:
        raise DatabaseError(
            f"User id {uid} has no name on this machine, which PostgreSQL asks for.",
            remedy="Add it to /etc/passwd, run as another user, or name a server in"
            " OPTIINFRA_DATABASE_URL.",
        ) from None
