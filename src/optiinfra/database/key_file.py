"""The keys of sensitive values in a file of their own, which no backup of the database holds.

JSON: `{"active": "ID", "keys": {"ID": "32 bytes in base64", …}}`, oldest first. It is written whole
under another name and then moved, readable by its owner alone.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from optiinfra.database.sealing import KEY_BYTES, Sealer
from optiinfra.database.whole_file import writing_whole
from optiinfra.domain.errors import InputError

MAX_BYTES = 1_048_576


def read_keys(path: Path) -> Sealer | None:
    """The keys; None where there is no such file. Raises InputError for one that cannot be used."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _refuse(path, "it is too large")
        document = json.loads(path.read_text(encoding="utf-8"))
        keys = {
            str(id_): base64.b64decode(key, validate=True) for id_, key in document["keys"].items()
        }
        return Sealer(keys=keys, active=str(document["active"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refuse(path, str(error.strerror)) from error
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _refuse(path, "it is no file of keys") from error
    except (binascii.Error, ValueError) as error:
        raise _refuse(path, str(error)) from error


def add_key(path: Path, *, is_active: bool, now: datetime) -> str:
    """A new key at the end of the file, which is made where there is none; its id."""
    sealer = read_keys(path)
    keys = {} if sealer is None else dict(sealer.keys)
    id_ = f"{now:%Y-%m-%d}-{secrets.token_hex(4)}"
    keys[id_] = secrets.token_bytes(KEY_BYTES)
    _write(path, keys, active=id_ if is_active or sealer is None else sealer.active)
    return id_


def activate(path: Path, id_: str) -> None:
    """Seal with that key of the file from now on."""
    sealer = read_keys(path)
    if sealer is None or id_ not in sealer.keys:
        raise _refuse(path, f"it holds no key {id_!r}")
    _write(path, dict(sealer.keys), active=id_)


def get_newest(sealer: Sealer) -> str:
    """The key that was added last."""
    return list(sealer.keys)[-1]


def _write(path: Path, keys: dict[str, bytes], *, active: str) -> None:
    document: dict[str, Any] = {
        "active": active,
        "keys": {id_: base64.b64encode(key).decode() for id_, key in keys.items()},
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_whole(path, is_replacing=True) as file:
            file.write(json.dumps(document, indent=2).encode() + b"\n")
    except OSError as error:
        raise _refuse(path, str(error.strerror)) from error


def _refuse(path: Path, why: str) -> InputError:
    return InputError(
        f"the keys cannot be used: {why}.",
        remedy="Restore the file from where you keep it, or name another with OPTIINFRA_KEY_FILE.",
        file=os.fspath(path),
    )
