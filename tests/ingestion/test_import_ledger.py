"""A ledger of imports: what is missing, whatever was done before and wherever it was cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optiinfra.adapters.ingestion.import_ledger import ImportIdentity, ImportLedger
from optiinfra.domain.errors import InputError

IDENTITY = ImportIdentity("http://prom", "c", "", 15_000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=8))
def test_what_is_missing_is_what_was_not_done(tmp_path: Path, runs: list[tuple[int, int]]) -> None:
    for path in tmp_path.glob("*.json"):
        path.unlink()
    done: set[int] = set()
    for first, size in runs:
        ledger = ImportLedger(tmp_path, IDENTITY)
        ledger.begin((first, first + size))
        ledger.end()
        done |= set(range(first, first + size + 1))
    ledger = ImportLedger(tmp_path, IDENTITY)
    missing = list(ledger.list_missing(5, 35))
    assert {n for first, last in missing for n in range(first, last + 1)} == (
        set(range(5, 36)) - done
    )
    assert all(first <= last for first, last in missing)
    assert missing == sorted(missing)


def test_what_was_begun_is_found_by_the_next(tmp_path: Path) -> None:
    ImportLedger(tmp_path, IDENTITY).begin((3, 7))
    ledger = ImportLedger(tmp_path, IDENTITY)
    assert ledger.begun == (3, 7)
    assert list(ledger.list_missing(0, 9)) == [(0, 9)]
    ledger.end()
    ledger = ImportLedger(tmp_path, IDENTITY)
    assert ledger.begun is None
    assert list(ledger.list_missing(0, 9)) == [(0, 2), (8, 9)]


def test_another_import_has_a_ledger_of_its_own(tmp_path: Path) -> None:
    ledger = ImportLedger(tmp_path, IDENTITY)
    ledger.begin((0, 9))
    ledger.end()
    for other in (
        ImportIdentity("http://other", "c", "", 15_000),
        ImportIdentity("http://prom", "d", "", 15_000),
        ImportIdentity("http://prom", "c", 'job="x"', 15_000),
        ImportIdentity("http://prom", "c", "", 30_000),
    ):
        assert list(ImportLedger(tmp_path, other).list_missing(0, 9)) == [(0, 9)]


@pytest.mark.parametrize("text", ["", "{}", '{"done": [[1]], "begun": null}', '{"done": 1}'])
def test_a_ledger_that_was_damaged_is_not_taken_for_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{IDENTITY.key}.json").write_text(text)
    with pytest.raises(InputError, match="cannot be read"):
        ImportLedger(tmp_path, IDENTITY)
