"""The servers of the system, such as Debian's packages, do what the embedded ones do.

Skipped, loudly, where they are not installed: packages `postgresql`, and `valkey-server` or
`redis-server`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from tests.fixtures_database import FAST, open_dir

from optiinfra.adapters.redis_probe import probe as probe_redis
from optiinfra.database.migrate import require_schema
from optiinfra.database.probe import probe as probe_postgres
from optiinfra.database.verification.verifying import verify
from optiinfra.domain.errors import StoreAwayError
from optiinfra.embedded.owner.valkey import PROGRAMS, Valkey
from optiinfra.embedded.postgres import running

__all__ = ["open_dir"]
POSTGRES_DIRS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SERVERS = [found for found in map(shutil.which, PROGRAMS) if found]
pytestmark = [pytest.mark.system_servers, pytest.mark.timeout(300)]


@pytest.mark.skipif(not POSTGRES_DIRS, reason="no PostgreSQL of the system")
def test_postgresql(open_dir: Path) -> None:
    for bin_dir in POSTGRES_DIRS:
        home = open_dir / bin_dir.parent.name
        with running(home, bin_dir=bin_dir, settings=FAST) as url:
            require_schema(url)
            assert probe_postgres(url).split(".")[0] == bin_dir.parent.name
            assert list(verify(url)) == []


@pytest.mark.skipif(not SERVERS, reason="no Valkey or Redis of the system")
def test_valkey_or_redis(tmp_path: Path) -> None:
    for program in SERVERS:
        server = Valkey(Path(program), tmp_path / Path(program).name, password="a word")  # noqa: S106
        server.start()
        try:
            version = probe_redis(server.url)
            said = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=True
            )
            assert version.split()[1] in said.stdout
            server.ask("SET", "kept", "1")
            process = server._process
            assert process is not None
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            with pytest.raises(StoreAwayError):
                probe_redis(server.url)
            assert server.ensure()
            assert server.ask("EXISTS", "kept") == ":1"
        finally:
            server.stop()
