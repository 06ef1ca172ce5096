"""Evidence digests: copied from the documents that hold them to the column made for them.

The way back leaves the copies to revision 008, which drops the column; the documents keep theirs.
"""

from alembic import op

revision = "009_evidence_digests"
down_revision = "008_control_columns"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        UPDATE recommendations SET evidence_digest = data ->> 'evidence_digest'
        WHERE evidence_digest IS NULL AND length(data ->> 'evidence_digest') <= 64""")
    for table in ("approvals", "optimizations"):
        op.execute(f"""
            UPDATE {table} c SET evidence_digest = r.evidence_digest FROM recommendations r
            WHERE r.id = c.recommendation_id AND c.evidence_digest IS NULL
              AND r.evidence_digest IS NOT NULL""")


def downgrade() -> None:
    """Nothing to undo: see the head of this file."""
