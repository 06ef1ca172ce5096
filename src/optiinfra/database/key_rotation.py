"""Another key for sensitive values: made, taken into use, and all values sealed again with it.

Online: values name the key that sealed them, so that readers and writers go on throughout, as long
as every process has the file with both keys. A rotation that was stopped is finished by the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from optiinfra.database import key_file
from optiinfra.database.engine import Database
from optiinfra.database.repositories.configs import FIRST_ID, Configs
from optiinfra.database.repositories.turns import take_turn
from optiinfra.database.sealing import Sealer
from optiinfra.domain.errors import InputError

MAX_PASSES: Final = 3  # over what others were changing in the pass before


@dataclass(frozen=True, slots=True)
class Rotation:
    """The active key, and what became of the values.

    `unreadable` says of each value that no key opens where it lies; `num_left` were being changed
    by others, or are unreadable. `unused` keys seal no value of this database any more.
    """

    active: str
    is_new: bool
    num_sealed: int
    num_left: int
    unreadable: tuple[str, ...]
    unused: tuple[str, ...]


def prepare_key(path: Path, *, now: datetime) -> str:
    """A new key that nothing is sealed with yet, to be given to every process; its id."""
    return key_file.add_key(path, is_active=False, now=now)


def rotate_key(database: Database, path: Path, *, now: datetime) -> Rotation:
    """Go on to the prepared key, or to a new one where all values are under the active one."""
    with database.transaction() as session:
        take_turn(session, "rotate_key")
        sealer, is_new = _choose_key(Configs(session, sealer=key_file.read_keys(path)), path, now)
    num_sealed = 0
    for _ in range(MAX_PASSES):
        sealed, unreadable = _seal_all(database, sealer)
        num_sealed += sealed
        with database.reading() as session:
            configs = Configs(session, sealer=sealer)
            num_left, used = configs.count_outdated(), set(configs.list_used_keys())
        if num_left == len(unreadable):
            break
    unused = tuple(id_ for id_ in sealer.keys if id_ not in used and id_ != sealer.active)
    return Rotation(sealer.active, is_new, num_sealed, num_left, unreadable, unused)


def _choose_key(configs: Configs, path: Path, now: datetime) -> tuple[Sealer, bool]:
    """The key to seal with from now on, and whether it is another than before."""
    sealer = key_file.read_keys(path)
    if sealer is None:
        used = configs.list_used_keys()
        if used:
            raise InputError(
                f"values are sealed with the keys {', '.join(used)}, and there is no such file.",
                remedy="Bring the file of keys from where you keep it; a backup does not hold it.",
                file=str(path),
            )
        key_file.add_key(path, is_active=True, now=now)
    elif key_file.get_newest(sealer) != sealer.active:
        key_file.activate(path, key_file.get_newest(sealer))
    elif configs.count_outdated() == 0:
        key_file.add_key(path, is_active=True, now=now)
    chosen = key_file.read_keys(path)
    assert chosen is not None  # noqa: S101 - it was written just now
    return chosen, sealer is None or chosen.active != sealer.active


def _seal_all(database: Database, sealer: Sealer) -> tuple[int, tuple[str, ...]]:
    num_sealed, unreadable, after = 0, list[str](), FIRST_ID
    while True:
        with database.transaction() as session:
            batch = Configs(session, sealer=sealer).rotate(after=after)
        num_sealed += batch.num_sealed
        unreadable += batch.unreadable
        if batch.last is None:
            return num_sealed, tuple(unreadable)
        after = batch.last
