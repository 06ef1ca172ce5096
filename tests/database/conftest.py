"""Fixtures of the database tests."""

from __future__ import annotations

from tests.fixtures_database import (
    database,
    empty_url,
    fresh_url,
    make_database,
    migrated_url,
    postgres_url,
    session,
)

__all__ = [
    "database",
    "empty_url",
    "fresh_url",
    "make_database",
    "migrated_url",
    "postgres_url",
    "session",
]
