"""Multi-step work, kept in the database."""
