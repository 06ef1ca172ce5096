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


def write_report(
    path: Path, analysis: Analysis, ids: Mapping[str, UUID], *, now: datetime
) -> ReportFile:
    """Write to a file beside `path` and move it there, so that a reader never sees half a page.

    Raises InputError where the folder cannot be written.
    """
    page = render_report(analysis, generated_at=now, recommendation_ids=ids).encode()
    path = path.absolute()
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(page)
            os.fchmod(file.fileno(), 0o644)
        try:
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"the report cannot be written: {error.strerror}.",
            remedy="Choose another path with --report.",
            file=str(path),
        ) from error
    return ReportFile(path, len(page), hashlib.sha256(page).hexdigest())
