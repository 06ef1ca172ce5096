"""Alembic's environment and the one linear history of revisions."""
