"""Fixtures of the database tests."""

from __future__ import annotations

from tests.database.at_revision import elsewhere, make_at, templates
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
    "elsewhere",
    "empty_url",
    "fresh_url",
    "make_at",
    "make_database",
    "migrated_url",
    "postgres_url",
    "session",
    "templates",
]
