"""Sensitive values at rest: encrypted, and bound to the place where they lie.

AES-256-GCM with a random nonce; table, row and key are authenticated with the value, so that a
value that is moved to another row cannot be read there. Each value names the key that sealed it;
the keys themselves come from outside and are in no dump.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from optiinfra.domain.errors import KeyMissingError

KEY_BYTES = 32
NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Sealer:
    """Keys by id, and the id of the one that new values are sealed with."""

    keys: Mapping[str, bytes] = field(repr=False)
    active: str

    def __post_init__(self) -> None:
        if self.active not in self.keys:
            message = f"there is no key {self.active!r} to seal with"
            raise ValueError(message)
        if any(len(key) != KEY_BYTES for key in self.keys.values()):
            message = f"a key has {KEY_BYTES} bytes"
            raise ValueError(message)

    def seal(self, value: str, *, place: str) -> str:
        """The value encrypted with the active key, as text; `place` is where it will lie."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self.keys[self.active]).encrypt(nonce, value.encode(), place.encode())
        return base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, place: str, key_id: str | None) -> str:
        """The value again; KeyMissingError where its key is not there or it was tampered with."""
        key = self.keys.get(key_id or "")
        if key is None:
            raise KeyMissingError(
                f"{place} is encrypted with the key {key_id!r}, which is not there.",
                remedy="Configure that key; a backup does not hold it.",
            )
        try:
            raw = base64.b64decode(sealed, validate=True)
            opened = AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise KeyMissingError(
                f"{place} cannot be decrypted: it was changed or moved, or the key is another.",
                remedy="Restore the value, or set it again.",
            ) from error
        return opened.decode()
