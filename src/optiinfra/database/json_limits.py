"""JSON that may be stored: what PostgreSQL takes, of bounded size and depth.

The size is counted piece by piece and given up on as soon as it is too large: a document is never
encoded only to find that out.
"""

from __future__ import annotations

import math
from json.encoder import encode_basestring_ascii
from typing import Final, TypeAlias

from optiinfra.database.refusals import Fault

MAX_JSON_BYTES: Final = 1_048_576  # as json.dumps() encodes it, which is what is sent
MAX_DEPTH: Final = 100
MAX_INTEGER_BITS: Final = 4096
TOO_LARGE: Final = f"is larger than {MAX_JSON_BYTES} bytes of JSON"
_Path: TypeAlias = tuple["_Path", str | int] | None  # from the document to a value, innermost first


class _RefusedError(Exception):
    """Raised and caught in here."""

    def __init__(self, why: str, value: object, path: _Path = None) -> None:
        super().__init__(why)
        self.fault = Fault(f"at {_format(path)} {why}" if path else why, value)


def find_document_fault(document: object) -> Fault | None:
    """What keeps a column from taking the document, or None: it takes objects and lists."""
    if not isinstance(document, dict | list | tuple):
        return Fault("is no JSON object or list", document)
    return find_json_fault(document)


def find_json_fault(value: object) -> Fault | None:
    """What keeps any value from being stored as JSON, or None."""
    try:
        _walk(value)
    except _RefusedError as refused:
        return refused.fault
    return None


def _walk(document: object) -> None:
    left = MAX_JSON_BYTES
    pending: list[tuple[object, _Path, int]] = [(document, None, 0)]
    while pending:
        value, path, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise _RefusedError(f"is nested more than {MAX_DEPTH} deep", document)
        left -= _measure(value, left, path)
        if left < 0:
            raise _RefusedError(TOO_LARGE, document)
        if isinstance(value, dict):
            pending.extend((item, (path, key), depth + 1) for key, item in value.items())
        elif isinstance(value, list | tuple):
            pending.extend((item, (path, i), depth + 1) for i, item in enumerate(value))


def _measure(value: object, left: int, path: _Path) -> int:  # noqa: PLR0911 - a line a type
    """The bytes of the value itself, without those of its items."""
    match value:
        case None | True:
            return 4
        case False:
            return 5
        case str():
            return _measure_text(value, left, path)
        case int():
            if value.bit_length() > MAX_INTEGER_BITS:
                raise _RefusedError("is too large a number", value, path)
            return len(int.__repr__(value))
        case float():
            if not math.isfinite(value):
                raise _RefusedError("is not finite", value, path)
            return len(float.__repr__(value))
        case dict():
            return max(2, 2 * len(value)) + _measure_keys(value, left, path)
        case list() | tuple():
            return max(2, 2 * len(value))  # brackets, and a comma and a space between items
        case _:
            raise _RefusedError("is no JSON", value, path)


def _measure_keys(value: dict[object, object], left: int, path: _Path) -> int:
    size = 0
    for key in value:
        if not isinstance(key, str):
            raise _RefusedError("is a key that is no text", key, path)
        size += _measure_text(key, left - size, path) + 2
    return size


def _measure_text(text: str, left: int, path: _Path) -> int:
    if len(text) > left:  # each character is a byte or more
        return left + 1
    if "\0" in text:
        raise _RefusedError("holds a NUL byte", text, path)
    if not text.isascii() and has_lone_surrogate(text):
        raise _RefusedError("holds half a surrogate pair", text, path)
    return len(encode_basestring_ascii(text))


def has_lone_surrogate(text: str) -> bool:
    """Whether the text cannot be encoded, such as one that was cut within a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _format(path: _Path) -> str:
    parts: list[str] = []
    while path is not None:
        path, key = path
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key[:40]}")
    return "$" + "".join(reversed(parts))[:200]
