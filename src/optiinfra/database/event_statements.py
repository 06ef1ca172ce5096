"""The statements of the event bus.

Whoever looks for events first moves what has committed from the outbox to the log, under a lock
that is held until that is committed itself. So numbers come into sight in their order: a
transaction that commits late gets a later number, however early it began. Who publishes and does
nothing else in the transaction writes to the log at once where the lock is free, behind what was in
the outbox: that saves writing and deleting each event once more.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from optiinfra.database.repositories.event_outbox import ROWS

NUMBERING: Final = 7_263_018_244_115_903  # the turn of who moves events to the log
MAX_MOVED: Final = 5000

IS_ANYTHING_NEW: Final = text("SELECT EXISTS (SELECT FROM event_outbox)")
TAKE_TURN: Final = text("SELECT pg_advisory_xact_lock(:turn)")
MOVE: Final = text("""
    WITH moved AS (
        DELETE FROM event_outbox
        WHERE id IN (SELECT id FROM event_outbox ORDER BY id LIMIT :limit) RETURNING *
    )
    INSERT INTO event_log (event_id, customer_id, event_type, data, occurred_at, published_at)
    SELECT event_id, customer_id, event_type, data, occurred_at, published_at
    FROM moved ORDER BY id
    ON CONFLICT (event_id) DO NOTHING""")
TRY_TURN: Final = text("""
    SELECT pg_try_advisory_xact_lock(:turn) AS is_mine,
           EXISTS (SELECT FROM event_outbox) AS is_anything_new""")
APPEND: Final = text(f"""
    INSERT INTO event_log (event_id, customer_id, event_type, data, occurred_at, published_at)
    SELECT *, clock_timestamp() FROM ({ROWS}) AS given
    ON CONFLICT (event_id) DO NOTHING""")
LAST: Final = text("SELECT coalesce(max(position), 0) FROM event_log")
# Events come as one JSON text: rows would cost the driver twice as much.
_EVENTS: Final = """coalesce(json_agg(json_build_array(
    position, event_id, customer_id, event_type, data, occurred_at, attempts
) ORDER BY position), '[]')::text"""
READ: Final = text(f"""
    SELECT {_EVENTS} FROM (
        SELECT *, 0 AS attempts FROM event_log WHERE position > :after
        ORDER BY position LIMIT :limit) following""")

CREATE_GROUP: Final = text("""
    INSERT INTO event_groups (name, position) VALUES (:name, :position)
    ON CONFLICT (name) DO NOTHING""")
REMOVE_CLAIMS: Final = text("DELETE FROM event_claims WHERE group_id = :group")
REMOVE_GROUP: Final = text("DELETE FROM event_groups WHERE id = :group")
LOCK_GROUP: Final = text("SELECT id, position FROM event_groups WHERE name = :name FOR UPDATE")
FIND_GROUP: Final = text("SELECT id, position FROM event_groups WHERE name = :name")
MOVE_GROUP: Final = text("UPDATE event_groups SET position = :position WHERE id = :group")

# Acknowledging takes no turn of the group: rows that go meanwhile are passed over.
LOOK: Final = text("""
    SELECT EXISTS (SELECT FROM event_outbox) AS is_anything_new, EXISTS (
        SELECT FROM event_claims WHERE group_id = :group AND dead_at IS NULL
          AND claimed_at <= clock_timestamp() - make_interval(secs => :redeliver_after_s)
    ) AS is_anything_overdue, EXISTS (
        SELECT FROM event_claims WHERE group_id = :group AND position > :position
    ) AS is_any_claimed""")
OVERDUE: Final = text("""
    SELECT position, attempts FROM event_claims
    WHERE group_id = :group AND dead_at IS NULL
      AND claimed_at <= clock_timestamp() - make_interval(secs => :redeliver_after_s)
    ORDER BY claimed_at, position LIMIT :limit FOR UPDATE SKIP LOCKED""")
BURY: Final = text("""
    UPDATE event_claims SET dead_at = clock_timestamp()
    WHERE group_id = :group AND position = ANY (:positions)""")
CLAIM_AGAIN: Final = text(f"""
    WITH claimed AS (
        UPDATE event_claims
        SET consumer = :consumer, attempts = attempts + 1, claimed_at = clock_timestamp()
        WHERE group_id = :group AND position = ANY (:positions) RETURNING position, attempts
    )
    SELECT {_EVENTS} FROM claimed LEFT JOIN event_log USING (position)""")
_CLAIM: Final = f"""
    WITH following AS (
        SELECT *, 1 AS attempts FROM event_log WHERE position > :position
        ORDER BY position LIMIT :limit
    ), claimed AS (
        INSERT INTO event_claims (group_id, position, consumer, attempts, claimed_at)
        SELECT :group, position, :consumer, 1, clock_timestamp() FROM following
        {{again}}
    ), moved AS (
        UPDATE event_groups SET position = (SELECT max(position) FROM following)
        WHERE id = :group AND EXISTS (SELECT FROM following)
    )
    SELECT {_EVENTS} FROM following"""
CLAIM_NEXT: Final = text(_CLAIM.format(again=""))
# Behind a group that was rewound lie dead claims. To look for them row by row takes a quarter more.
CLAIM_NEXT_AGAIN: Final = text(
    _CLAIM.format(
        again="""ON CONFLICT (group_id, position) DO UPDATE
        SET consumer = excluded.consumer, attempts = 1, claimed_at = excluded.claimed_at,
            dead_at = NULL"""
    )
)
# Lost in a crash of the server, an acknowledgement means a redelivery: it need not wait for the
# disk. A claim must: positions that were handed out may not be given to other events.
NEED_NOT_WAIT: Final = text("SET LOCAL synchronous_commit = off")
ACKNOWLEDGE: Final = text("""
    DELETE FROM event_claims WHERE position = ANY (:positions) AND dead_at IS NULL
      AND group_id = (SELECT id FROM event_groups WHERE name = :name)""")
FORGET_BEHIND: Final = text("""
    DELETE FROM event_claims WHERE group_id = :group AND position > :position
      AND dead_at IS NULL""")
FORGET: Final = text("""
    DELETE FROM event_claims WHERE group_id = :group AND position = ANY (:positions)""")

DEAD: Final = text(f"""
    SELECT {_EVENTS} FROM (
        SELECT * FROM event_claims JOIN event_log USING (position)
        WHERE group_id = :group AND dead_at IS NOT NULL ORDER BY position LIMIT :limit) dead""")
DROP_DEAD: Final = text("""
    DELETE FROM event_claims WHERE position = ANY (:positions) AND dead_at IS NOT NULL
      AND group_id = (SELECT id FROM event_groups WHERE name = :name)""")
COUNT: Final = text("""
    SELECT (SELECT count(*) FROM event_log WHERE position > :position)
           + (SELECT count(*) FROM event_outbox),
           count(*) FILTER (WHERE dead_at IS NULL), count(dead_at)
    FROM event_claims JOIN event_log USING (position) WHERE group_id = :group""")
# Claims of events that a purge took with their customer hold nothing back.
PRUNE: Final = text("""
    DELETE FROM event_log WHERE position IN (
        SELECT position FROM event_log
        WHERE published_at < :before
          AND position <= coalesce((SELECT min(position) FROM event_groups), position)
          AND NOT EXISTS (SELECT FROM event_claims c WHERE c.position = event_log.position)
        ORDER BY position LIMIT :limit)""")
