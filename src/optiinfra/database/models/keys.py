"""API keys: what is kept of them, and which ones are too weak."""

from __future__ import annotations

import hashlib
import math
import re

KEY_PREFIX_LENGTH = 8
STRONG_BITS = 122  # of a random UUID
MIN_DIFFERENT = 8  # characters
ALPHABETS = (
    (r"[0-9]*", math.log2(10)),
    (r"[0-9a-f]*|[0-9A-F]*", 4.0),
    (r"[0-9a-z]*|[0-9A-Z]*", math.log2(36)),
    (r"[0-9A-Za-z_-]*", 6.0),
    (r"(?s:.*)", math.log2(94)),
)


def compute_key_digest(key: str) -> str:
    """Hex SHA-256; a slow hash would add nothing to the 256 random bits of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_key_weak(key: str) -> bool:
    """Whether a key has fewer than 122 bits by its length and alphabet, as revision 011 counts."""
    bits = next(bits for alphabet, bits in ALPHABETS if re.fullmatch(alphabet, key))
    return len(key) * bits < STRONG_BITS or len(set(key)) < MIN_DIFFERENT
