"""What a rotation of keys did, for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optiinfra.database.key_rotation import Rotation


def describe(done: Rotation, path: Path) -> list[str]:
    """Lines: what cannot be read, what was sealed and is left, and which keys are not needed."""
    kind = "New" if done.is_new else "Active"
    lines = [
        *done.unreadable,
        (
            f"{kind} key {done.active} in {path}: sealed {done.num_sealed:,} values again,"
            f" {done.num_left:,} are left."
        ),
    ]
    if done.unused:
        lines.append(f"Only old backups need {', '.join(done.unused)}; keep them as long as those.")
    return lines
