"""Claims of the event bus without a foreign key, whose check took a third of each claim.

Claims are made under the lock of their group's row, and removed with it under the same lock.
"""

from optiinfra.database.migrations.operations import execute_all

revision = "038_claims_by_protocol"
down_revision = "037_cache"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute_all(("ALTER TABLE event_claims DROP CONSTRAINT event_claims_group_id_fkey",))


def downgrade() -> None:
    execute_all(
        (
            "DELETE FROM event_claims WHERE group_id NOT IN (SELECT id FROM event_groups)",
            """ALTER TABLE event_claims ADD CONSTRAINT event_claims_group_id_fkey
                FOREIGN KEY (group_id) REFERENCES event_groups (id) ON DELETE CASCADE""",
        )
    )
