"""PostgreSQL's own client programs, told where to connect without a password on a command line."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Self

from optiinfra.database.address import parse_url
from optiinfra.database.driver import make_plain_url
from optiinfra.domain.errors import DatabaseError

_MESSAGE_LINES: Final = 4


class Program:
    """A running pg_dump, pg_restore or psql; as a context it does not outlive the block."""

    def __init__(
        self,
        bin_dir: Path,
        arguments: list[str],
        *,
        errors: IO[bytes],
        url: str | None = None,
        has_input: bool = False,
    ) -> None:
        self.name = arguments[0]
        self._errors = errors
        environment = {key: value for key, value in os.environ.items() if key != "PGPASSWORD"}
        environment |= {"LC_ALL": "C", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "optiinfra"}
        address: list[str] = []
        if url is not None:
            parsed = parse_url(url)
            environment |= {"PGPASSWORD": parsed.password} if parsed.password else {}
            address = [f"--dbname={make_plain_url(parsed)}"]
        try:
            self.process = subprocess.Popen(  # noqa: S603 - a program that we found
                [bin_dir / self.name, *arguments[1:], *address],
                stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
            )
        except OSError as error:
            raise DatabaseError(
                f"PostgreSQL's program {self.name} cannot be run: {error.strerror}.",
                remedy="Install PostgreSQL's client programs beside the server's, or name their"
                " directory in OPTIINFRA_POSTGRES_BIN_DIR.",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self.process.wait()

    @property
    def input(self) -> IO[bytes]:
        """What the program reads."""
        assert self.process.stdin is not None, "started without input"  # noqa: S101
        return self.process.stdin

    @property
    def output(self) -> IO[bytes]:
        """What the program writes."""
        assert self.process.stdout is not None, "always a pipe"  # noqa: S101
        return self.process.stdout

    def finish(self) -> None:
        """Wait for the end of the program. Raises DatabaseError with its words when it failed."""
        if self.process.wait() != 0:
            raise self.make_error()

    def make_error(self) -> DatabaseError:
        """What the program said last, as our error."""
        self._errors.flush()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        # psql names the line of a script that nobody sees; a COPY error quotes a row's values.
        said = [
            re.sub(r"^psql:<stdin>:\d+: ", "", line)
            for line in lines
            if line.strip() and not line.startswith(("CONTEXT:", "DETAIL:"))
        ]
        words = " / ".join(said[-_MESSAGE_LINES:]) or f"exit code {self.process.returncode}"
        return DatabaseError(
            f"PostgreSQL's {self.name} failed: {words.rstrip('.')}.",
            remedy="Put right what it names; nothing was changed.",
        )
