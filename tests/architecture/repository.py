"""The repository's own files, found without git: a tarball is checked like a clone."""

from __future__ import annotations

import ast
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "optiinfra"


@cache
def list_files() -> tuple[Path, ...]:
    """Every file that git would track, as absolute paths in order."""
    patterns = [
        line.strip().rstrip("/")
        for line in (ROOT / ".gitignore").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]

    def walk(folder: Path) -> list[Path]:
        found: list[Path] = []
        for path in sorted(folder.iterdir()):
            if path.name == ".git" or any(fnmatch(path.name, pattern) for pattern in patterns):
                continue
            found.extend(walk(path) if path.is_dir() and not path.is_symlink() else [path])
        return found

    return tuple(walk(ROOT))


@cache
def list_texts() -> dict[Path, str]:
    """Text of every tracked text file, by its path from the root."""
    texts: dict[Path, str] = {}
    for path in list_files():
        content = path.read_bytes()
        if b"\0" not in content:
            texts[path.relative_to(ROOT)] = content.decode()
    return texts


@cache
def list_modules(folder: str = "src/optiinfra") -> dict[Path, ast.Module]:
    """Syntax tree of every Python module under `folder`, by its path from the root."""
    return {
        path: ast.parse(text)
        for path, text in list_texts().items()
        if path.suffix == ".py" and path.is_relative_to(folder)
    }
