"""Semantic versions: told from other text, and put in order."""

from __future__ import annotations

import re
from typing import TypeAlias

# https://semver.org, without build metadata, which has no order.
_NUMBER = r"(?:0|[1-9][0-9]*)"
_PART = r"[0-9A-Za-z-]+"
_SEMVER = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PART}(?:\.{_PART})*))?")
_LEADING_ZERO = re.compile(r"0[0-9]+")
MAX_LENGTH = 255
# Its parts in an order in which a pre-release comes before its release.
Version: TypeAlias = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def is_version(text: str) -> bool:
    """Whether the text is a semantic version."""
    found = _SEMVER.fullmatch(text) if len(text) <= MAX_LENGTH else None
    parts = found[4].split(".") if found and found[4] else []
    return found is not None and not any(_LEADING_ZERO.fullmatch(part) for part in parts)


def parse_version(text: str) -> Version:
    """The version; ValueError where the text is none. 1.0.0-01, which is none, has its place."""
    found = _SEMVER.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if found is None:
        message = f"{text[:MAX_LENGTH]!r} is not a semantic version"
        raise ValueError(message)
    pre_release = found[4].split(".") if found[4] else []
    parts = tuple(
        (False, int(part), "") if part.isdigit() else (True, 0, part) for part in pre_release
    )
    return int(found[1]), int(found[2]), int(found[3]), not pre_release, parts
