"""A small text file that a user wrote, read with a limit and clear errors."""

from __future__ import annotations

from pathlib import Path

from optiinfra.domain.errors import InputError

MAX_BYTES = 2**20


def read_text_file(path: Path, *, what: str, max_bytes: int = MAX_BYTES) -> str:
    """The text of a UTF-8 file of at most `max_bytes`; InputError that names the file.

    Only ordinary files are read, and never more than the limit, whatever the file's size says.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(
                f"The {what} is not an ordinary file.", remedy="Give a text file.", file=str(path)
            )
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as error:
        raise InputError(
            f"The {what} cannot be read: {error.strerror or error}.",
            remedy="Check the path and its permissions.",
            file=str(path),
        ) from error
    if len(content) > max_bytes:
        raise InputError(
            f"The {what} is larger than {max_bytes // 1024} KiB.",
            remedy="Check that it is the right file.",
            file=str(path),
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"The {what} is not UTF-8 text: byte {error.start} is 0x{content[error.start]:02x}.",
            remedy="Save it as UTF-8.",
            file=str(path),
            line=content.count(b"\n", 0, error.start) + 1,
        ) from error
    if "\0" in text:
        raise InputError(
            f"The {what} holds a NUL byte, so it is not text.",
            remedy="Check that it is the right file.",
            file=str(path),
            line=text.count("\n", 0, text.index("\0")) + 1,
        )
    return text
