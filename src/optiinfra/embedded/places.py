"""Where the embedded PostgreSQL keeps its things.

data_dir/               ours
    control.lock        held while the server is started or stopped
    users.lock          shared by all that use it; the last one out stops it
    server.lock         inherited by the server: free means that no process of it lives
    location            only where the server's user may not enter data_dir: names `base`
base/                   data_dir, or a private directory elsewhere
    socket_dir          only where base is too long for a socket's path: names its directory
    postgresql-*/       only where the server's user may not run the programs in place
    server/             the server user's own: cluster/{data,password}, run/, server.log
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from optiinfra.domain.errors import DatabaseError
from optiinfra.embedded.account import Account, find_account

# For root whose data directory is closed to others, as /root is. They last over a restart.
FALLBACK_PARENTS = (Path("/var/lib/optiinfra"), Path("/var/tmp"))  # noqa: S108 - mkdtemp below
SHORT_PARENTS = (Path("/tmp"), Path("/run"))  # noqa: S108 - mkdtemp below
# sun_path holds 104 characters on macOS and 108 on Linux, "/.s.PGSQL.5432" and its lock included.
MAX_SOCKET_DIR = 80


@dataclass(frozen=True, slots=True)
class Places:
    """The paths of one embedded server, and the user that it runs as."""

    data_dir: Path
    base: Path
    account: Account

    @property
    def control_lock(self) -> Path:
        """Held while the server is started or stopped."""
        return self.data_dir / "control.lock"

    @property
    def users_lock(self) -> Path:
        """Shared by all that use the server."""
        return self.data_dir / "users.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server's own processes."""
        return self.data_dir / "server.lock"

    @property
    def server_dir(self) -> Path:
        """Everything that the server's user writes."""
        return self.base / "server"

    @property
    def cluster(self) -> Path:
        """The data and the password that goes with it."""
        return self.server_dir / "cluster"

    @property
    def log(self) -> Path:
        """What the server says since it was last started."""
        return self.server_dir / "server.log"

    def get_password(self) -> str:
        """The password of the server's one role."""
        return (self.cluster / "password").read_text(encoding="ascii").strip()

    def get_major(self) -> int | None:
        """The major version of PostgreSQL that made the data; None where there is none yet."""
        file = self.cluster / "data" / "PG_VERSION"
        return int(file.read_text(encoding="ascii")) if file.exists() else None

    def get_socket_dir(self) -> Path:
        """The directory of the server's socket, made where it is missing."""
        note = self.base / "socket_dir"
        chosen = self.server_dir / "run"
        if len(str(chosen).encode()) > MAX_SOCKET_DIR:
            noted = Path(note.read_text(encoding="utf-8")) if note.exists() else None
            if noted is not None and noted.is_dir() and not noted.is_symlink():
                return noted
            chosen = Path(tempfile.mkdtemp(prefix="optiinfra-", dir=_get_short_parent()))
            self.account.own(chosen)
            note.write_text(str(chosen), encoding="utf-8")
        elif not chosen.exists():
            chosen.mkdir(mode=0o700)
            self.account.own(chosen)
        return chosen


def find_places(data_dir: Path) -> Places:
    """The places of a data directory, made where missing. Call it with the control lock held.

    Only what we make is given to the server's user; nothing else changes its owner or its mode.
    """
    note = data_dir / "location"
    base = Path(note.read_text(encoding="utf-8")) if note.exists() else data_dir
    if not base.is_dir():
        raise DatabaseError(
            f"The embedded PostgreSQL of {data_dir} lies in {base}, which is gone.",
            remedy=f"Bring {base} back, or delete {note} to start with an empty database.",
        )
    account = find_account(base / "server")
    if not account.can_enter(base):
        base = _make_fallback(account, data_dir=data_dir)
        note.write_text(str(base), encoding="utf-8")
    places = Places(data_dir=data_dir, base=base, account=account)
    places.server_dir.mkdir(mode=0o700, exist_ok=True)
    if (
        places.server_dir.stat().st_uid != account.uid
    ):  # made just now, or by one who was killed here
        account.own(places.server_dir)
    return places


def _make_fallback(account: Account, *, data_dir: Path) -> Path:
    for parent in FALLBACK_PARENTS:
        try:
            if not parent.exists():
                parent.mkdir(parents=True)
                parent.chmod(0o755)
            base = Path(tempfile.mkdtemp(prefix="postgres-", dir=parent))
            base.chmod(0o711)
        except OSError:
            continue
        if account.can_enter(base):
            return base
        base.rmdir()
    raise DatabaseError(
        f"PostgreSQL refuses to run as root, and user id {account.uid}, which it would run as, may"
        f" not enter {data_dir} nor a directory in {' or '.join(map(str, FALLBACK_PARENTS))}.",
        remedy="Set XDG_DATA_HOME to a directory that every user may enter, run as another user, or"
        " name a server in OPTIINFRA_DATABASE_URL.",
    )


def _get_short_parent() -> Path:
    return next(
        (parent for parent in SHORT_PARENTS if parent.is_dir()), Path(tempfile.gettempdir())
    )
