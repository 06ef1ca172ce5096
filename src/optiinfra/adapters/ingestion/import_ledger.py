"""Which steps of a source were imported, so that none is imported twice and none left out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from optiinfra.domain.errors import InputError

Steps = tuple[int, int]  # the first and the last


@dataclass(frozen=True, slots=True)
class ImportIdentity:
    """What makes two imports the same; written into the ledger for who looks at it."""

    source: str  # an address without credentials
    customer_id: str
    matchers: str
    step_ms: int

    @property
    def key(self) -> str:
        """A name for files and tokens."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


class ImportLedger:
    """A file of one import, replaced as a whole at every change.

    A page is begun before its rows are appended and done afterwards. One that was begun only has to
    be imported again under the same tokens, so that what was kept of it counts once.
    """

    def __init__(self, directory: Path, identity: ImportIdentity) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = directory / f"{identity.key}.json"
        self._identity = identity
        self._done: list[Steps] = []
        self.begun: Steps | None = None
        if self._path.exists():
            self._read()

    def list_missing(self, first: int, last: int) -> Iterator[Steps]:
        """The runs of steps from first to last that are not done, in order."""
        for begin, end in self._done:
            if end < first:
                continue
            if begin > last:
                break
            if begin > first:
                yield first, begin - 1
            first = end + 1
        if first <= last:
            yield first, last

    def begin(self, steps: Steps) -> None:
        """That the rows of these steps are appended from now on."""
        self.begun = steps
        self._write()

    def end(self) -> None:
        """That all rows of the steps that were begun are kept."""
        assert self.begun is not None  # noqa: S101 - the caller began them
        merged: list[Steps] = []
        for begin, end in sorted([*self._done, self.begun]):
            if merged and begin <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        self._done, self.begun = merged, None
        self._write()

    def _read(self) -> None:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            self._done = [(int(first), int(last)) for first, last in content["done"]]
            begun = content["begun"]
            self.begun = None if begun is None else (int(begun[0]), int(begun[1]))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(
                "This ledger of an import cannot be read.",
                remedy="Restore it; without it steps that were imported would be imported again.",
                file=str(self._path),
            ) from error

    def _write(self) -> None:
        content = asdict(self._identity) | {"done": self._done, "begun": self.begun}
        partial = self._path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
