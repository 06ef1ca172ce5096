"""API key digests: the hex SHA-256 of a key instead of the key, and its first characters.

Keys from elsewhere keep working, since who shows one is asked for its digest. A database of ours
held digests of keys that nobody ever saw; they are hashed once more and stay useless. Keys under
122 bits, by their length and alphabet, are marked to be renewed. Old backups still hold old keys.
The way back cannot restore a key: it writes unique placeholders that no key matches.
"""

from alembic import op

from optiinfra.database.migrations.operations import Loss, refuse_losses

revision = "011_api_key_digests"
down_revision = "010_capability_versions"
branch_labels = None
depends_on = None

LOSSES = (Loss("SELECT FROM customers", "every customer's API key"),)


def upgrade() -> None:
    op.execute("""
        ALTER TABLE customers
        ADD COLUMN api_key_prefix varchar(8),
        ADD COLUMN is_api_key_weak boolean NOT NULL DEFAULT false""")
    op.execute(r"""
        UPDATE customers SET
            api_key_prefix = left(api_key, 8),
            is_api_key_weak = length(api_key) * CASE
                WHEN api_key ~ '^[0-9]*$' THEN log(2, 10)
                WHEN api_key ~ '^([0-9a-f]*|[0-9A-F]*)$' THEN 4
                WHEN api_key ~ '^([0-9a-z]*|[0-9A-Z]*)$' THEN log(2, 36)
                WHEN api_key ~ '^[0-9A-Za-z_-]*$' THEN 6
                ELSE log(2, 94) END < 122
                OR (SELECT count(DISTINCT c) < 8 FROM regexp_split_to_table(api_key, '') c),
            api_key = encode(sha256(convert_to(api_key, 'UTF8')), 'hex')""")


def downgrade() -> None:
    refuse_losses(LOSSES)
    op.execute("UPDATE customers SET api_key = 'unusable-' || replace(id::text, '-', '')")
    op.execute("ALTER TABLE customers DROP COLUMN api_key_prefix, DROP COLUMN is_api_key_weak")
