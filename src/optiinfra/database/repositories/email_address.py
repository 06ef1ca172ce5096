"""Who somebody is: an email address."""

from __future__ import annotations

import re

from optiinfra.domain.errors import InputError

MAX_LENGTH = 255
# Enough to catch a name, a typo or an empty field; only a letter sent there proves an address.
_SHAPE = re.compile(r"[^\s@,;<>\"']+@[^\s@,;<>\"'.]+(\.[^\s@,;<>\"'.]+)+")


def parse_email(text: str, *, field: str) -> str:
    """The address in lower case; InputError names `field` where it does not look like one."""
    address = text.strip().lower()
    if len(address) > MAX_LENGTH or not _SHAPE.fullmatch(address):
        raise InputError(
            f"{text!r} does not look like an email address.",
            remedy="Write it like name@example.com.",
            field=field,
        )
    return address
