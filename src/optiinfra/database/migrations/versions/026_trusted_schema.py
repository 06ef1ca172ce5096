"""Trusted schema: nobody but its owner makes objects in `public`.

Functions that act with their owner's rights look names up there. PostgreSQL 15 closes it in new
databases; one that was made by an older server, or upgraded from one, has it open to everybody. The
way back does not open it again.
"""

from alembic import op
from sqlalchemy import text

from optiinfra.domain.errors import DatabaseError

revision = "026_trusted_schema"
down_revision = "025_capability_splits"
branch_labels = None
depends_on = None

STATEMENT = "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
IS_OPEN = text("""
    SELECT EXISTS (
        SELECT FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
        WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE')""")


def upgrade() -> None:
    connection = op.get_bind()
    if connection.execute(IS_OPEN).scalar_one():
        op.execute(STATEMENT)  # only a warning where somebody else owns the schema
    if connection.execute(IS_OPEN).scalar_one():
        raise DatabaseError(
            "Everybody may create objects in schema public, and this role may not forbid it.",
            remedy=f"Let an administrator run: {STATEMENT}. Then run the upgrade again.",
        )


def downgrade() -> None:
    pass
