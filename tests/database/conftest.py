"""Fixtures of the database tests."""

from __future__ import annotations

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
    "make_database",
    "migrated_url",
    "postgres_url",
    "session",
]
