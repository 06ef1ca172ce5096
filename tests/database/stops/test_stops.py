"""Every revision may be stopped before each of its statements and run again to the same end.

By default one database a revision is stopped again and again, each time further on, before the
first and the last statement of each kind. With OPTIINFRA_TEST_EVERY_STOP set, every statement is
stopped at, each in a database of its own, which takes minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count

import pytest
from tests.database.at_revision import Templates
from tests.database.made_elsewhere import LAST
from tests.database.stops.stopping import StoppedError, find_ends_of_kinds, watching
from tests.database.test_migrations import dump

from optiinfra.database import migrate
from optiinfra.database.engine import make_engine

REVISIONS = migrate.list_revisions()
VERSIONS = migrate.MIGRATIONS / "versions"
# The others are one transaction each, which PostgreSQL undoes.
IN_STEPS = [
    revision
    for revision in REVISIONS
    if "autocommit()" in (VERSIONS / f"{revision}.py").read_text(encoding="utf-8")
]
EVERY_STOP = "OPTIINFRA_TEST_EVERY_STOP"
MAX_STOPS = 500  # a revision has fewer statements
TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
      AND relkind IN ('r', 'p') ORDER BY 1"""
FINDINGS = """
    SELECT revision, table_name, row_id::text, rule, action FROM migration_findings
    ORDER BY 1, 2, 3, 4"""


def describe(url: str) -> tuple[str, dict[str, int], list[tuple[str, ...]]]:
    """The schema, how many rows each table has, and what was mended."""
    with make_engine(url, is_pooled=False).connect() as connection:
        tables = connection.exec_driver_sql(TABLES).scalars().all()
        counts = {
            table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()  # noqa: S608
            for table in tables
        }
        is_there = "migration_findings" in tables
        found = connection.exec_driver_sql(FINDINGS).all() if is_there else []
    return dump(url), counts, [tuple(row) for row in found]


def list_statements(url: str, revision: str) -> list[str]:
    with watching() as watch:
        migrate.upgrade(url, revision)
    return watch.passed


def stop(url: str, revision: str, is_chosen: Callable[[str], bool]) -> str | None:
    """The statement before which the upgrade was stopped; None when it came to its end."""
    try:
        with watching(is_chosen):
            migrate.upgrade(url, revision)
    except StoppedError as stopped:
        return str(stopped)
    return None


def choose_number(number: int) -> Callable[[str], bool]:
    seen = count()
    return lambda _: next(seen) == number


def test_the_revisions_in_steps_are_these() -> None:
    assert {"012_tenants", "013_checks", "018_lean_indexes", "019_partitions"} <= set(IN_STEPS)


@pytest.mark.timeout(600)  # a busy machine
@pytest.mark.parametrize("revision", IN_STEPS)
def test_a_revision_that_was_stopped_is_run_again(
    elsewhere: Templates, make_database: Callable[..., str], revision: str
) -> None:
    before = elsewhere.get_name(REVISIONS[REVISIONS.index(revision) - 1])
    assert before >= f"elsewhere_{LAST}"
    undisturbed = make_database(before)
    statements = list_statements(undisturbed, revision)
    expected = describe(undisturbed)
    if os.environ.get(EVERY_STOP):
        for number in range(len(statements)):
            url = make_database(before)
            stopped = stop(url, revision, choose_number(number))
            assert stopped is not None
            migrate.upgrade(url, revision)
            assert describe(url) == expected, stopped
        return
    chosen = find_ends_of_kinds(statements)
    url = make_database(before)
    for _ in range(MAX_STOPS):
        stopped = stop(url, revision, chosen.__contains__)
        if stopped is None:
            break
        chosen.remove(stopped)
    assert describe(url) == expected
