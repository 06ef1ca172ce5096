"""The words that this program itself writes: every string and every field name of its source.

What a database holds and the source does not have came from somebody else. A list kept by hand
would be forgotten with the next document; the source cannot be. Where it is not installed beside
the compiled modules there are no such words, and everything counts as somebody else's.
"""

from __future__ import annotations

import ast
import mimetypes
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
MAX_LENGTH = 255  # of a key or of a column of words


@cache
def list_own_words() -> frozenset[str]:
    """Strings, names of fields and keyword arguments, and the usual content types."""
    words = set(mimetypes.types_map.values())
    for path in PACKAGE.rglob("*.py"):
        words.update(_list_words(ast.parse(path.read_text(encoding="utf-8"))))
    return frozenset(word for word in words if len(word) <= MAX_LENGTH and word.isprintable())


def _list_words(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(word)):
                yield word
            case ast.AnnAssign(target=ast.Name(id=word)) | ast.keyword(arg=str(word)):
                yield word
