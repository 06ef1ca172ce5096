"""The outbox of the event bus: events published with the transaction of what they tell of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from optiinfra.ports.event_bus import Envelope, check_batch

CHANNEL: Final = "optiinfra_events"  # notified when something was published; wakes, says nothing
ROWS: Final = """
    SELECT event_id, customer_id, event_type, data, occurred_at
    FROM ROWS FROM (json_to_recordset(CAST(:batch AS json)) AS (
        event_id uuid, customer_id uuid, event_type text, data jsonb, occurred_at timestamptz
    )) WITH ORDINALITY AS n (event_id, customer_id, event_type, data, occurred_at, number)
    ORDER BY number"""
_APPEND: Final = text(
    f"INSERT INTO event_outbox (event_id, customer_id, event_type, data, occurred_at) {ROWS}"
)
_NOTIFY: Final = text("SELECT pg_notify(:channel, '')")


class EventOutbox:
    """What a transaction publishes: it is on the bus when, and only if, that commits."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, envelopes: Sequence[Envelope]) -> None:
        """Publish at most MAX_BATCH events. Raises InputError for one that cannot be."""
        check_batch(len(envelopes), what="events")
        if not envelopes:
            return
        self._session.execute(_APPEND, {"batch": pack(envelopes)})
        notify(self._session)


def pack(envelopes: Sequence[Envelope]) -> str:
    """The parameter of ROWS. One text for the batch: arrays cost the driver three times as much."""
    return f"[{','.join(_to_json(envelope) for envelope in envelopes)}]"


def notify(session: Session) -> None:
    """Wake who waits, once the transaction commits."""
    session.execute(_NOTIFY, {"channel": CHANNEL})


def _to_json(envelope: Envelope) -> str:
    """A row of the outbox; of all that is in it, only the document can need escapes."""
    document = envelope.encode()  # checks the name as well
    customer = "null" if envelope.customer_id is None else f'"{envelope.customer_id}"'
    return (
        f'{{"event_id":"{envelope.id}","customer_id":{customer},"data":{document},'
        f'"event_type":"{envelope.event.get_name()}",'
        f'"occurred_at":"{envelope.occurred_at.isoformat()}"}}'
    )
