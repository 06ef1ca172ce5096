"""What a process that was killed within an insert leaves: a block known by its token, but not kept.

ClickHouse writes a block's token to the table's deduplication log before it puts the block's part
in its place. Killed in between, the next attempt with that token would be taken for a repetition,
and the block would be missing in the raw table or in one of its rollups. So before a directory of
chDB is opened, such entries are taken out of the ends of the logs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

NUM_LOOKED_AT: Final = 64  # entries at the end of a log: far more than inserts at once
_ADDED: Final = "1"  # the first field of an entry; what was dropped has 2
_PART: Final = re.compile(r"(.+)_(\d+)_(\d+)_\d+(?:_\d+)?")
_LOG: Final = re.compile(r"deduplication_log_(\d+)\.txt")


def forget_torn_inserts(directory: Path) -> int:
    """Drop entries of blocks that are not there; how many. No process may have it open."""
    return sum(_mend(table) for table in sorted(directory.glob("data/*/*")) if table.is_dir())


def _mend(table: Path) -> int:
    found = [(_LOG.fullmatch(path.name), path) for path in table.glob("deduplication_logs/*")]
    logs = sorted((int(match.group(1)), path) for match, path in found if match is not None)
    logs = [(number, path) for number, path in logs if path.stat().st_size]
    if not logs:
        return 0
    path = logs[-1][1]
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    parts = [match.groups() for name in table.iterdir() if (match := _PART.fullmatch(name.name))]
    dropped = {line.split("\t")[-1] for line in lines if not line.startswith(f"{_ADDED}\t")}
    first = max(0, len(lines) - NUM_LOOKED_AT)
    kept = [
        line
        for place, line in enumerate(lines)
        if place < first or line.split("\t")[-1] in dropped or not _is_torn(line, parts)
    ]
    if len(kept) < len(lines):
        mended = path.with_suffix(".mended")
        with mended.open("w", encoding="utf-8") as file:
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())
        mended.replace(path)
    return len(lines) - len(kept)


def _is_torn(line: str, parts: list[tuple[str, ...]]) -> bool:
    """Whether an entry was not written whole, or its part is neither there nor merged."""
    fields = line.rstrip("\n").split("\t")
    if not line.endswith("\n") or len(fields) != 3:  # noqa: PLR2004
        return True
    match = _PART.fullmatch(fields[1])
    if match is None:
        return False  # of a form that is not known here
    partition, number = match.group(1), int(match.group(2))
    return not any(of == partition and int(low) <= number <= int(high) for of, low, high in parts)
