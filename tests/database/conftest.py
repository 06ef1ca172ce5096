"""Fixtures of the database tests."""

from __future__ import annotations

from tests.database.at_revision import make_at, make_template
from tests.fixtures_database import (
    checked_session,
    database,
    empty_url,
    fresh_url,
    make_database,
    migrated_url,
    postgres_url,
    session,
)

__all__ = [
    "checked_session",
    "database",
    "empty_url",
    "fresh_url",
    "make_at",
    "make_database",
    "make_template",
    "migrated_url",
    "postgres_url",
    "session",
]
