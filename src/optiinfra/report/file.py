"""The report as a file that is whole or not there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import UUID

from optiinfra.domain.analysis import Analysis
from optiinfra.domain.errors import InputError
from optiinfra.report.page import render_report


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A written report: its size and SHA-256 in hex."""

    path: Path
    size_bytes: int
    sha256: str


def check_report_path(path: Path) -> None:
    """Raise InputError where no report can be written, before anything is computed for it."""
    path = path.absolute()
    if path.is_dir():
        raise _make_error(path, "it is a folder", remedy="Name a file in it with --report.")
    if not path.parent.is_dir():
        raise _make_error(
            path, "its folder does not exist", remedy="Create it, or choose another with --report."
        )
    place = path if path.exists() and not path.is_file() else path.parent
    if not os.access(place, os.W_OK):
        raise _make_error(path, "no permission", remedy="Choose another path with --report.")


def write_report(
    path: Path, analysis: Analysis, ids: Mapping[str, UUID], *, now: datetime
) -> ReportFile:
    """Write to a file beside `path` and move it there, so that a reader never sees half a page.

    A link is followed, and what is no ordinary file (`/dev/null`, a pipe) is written to, never
    replaced. Raises InputError where it cannot be written.
    """
    page = render_report(analysis, generated_at=now, recommendation_ids=ids).encode()
    path = path.absolute()
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(page)
        else:
            _replace(path.resolve(), page)
    except OSError as error:
        raise _make_error(
            path, error.strerror or str(error), remedy="Choose another path with --report."
        ) from error
    return ReportFile(path, len(page), hashlib.sha256(page).hexdigest())


def _replace(path: Path, page: bytes) -> None:
    """Move the whole page to `path`; nothing is left behind where that fails."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(page)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _make_error(path: Path, problem: str, *, remedy: str) -> InputError:
    return InputError(
        f"the report cannot be written: {problem}.", remedy=remedy, file=str(path), field="--report"
    )
