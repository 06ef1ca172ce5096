"""The event bus: events kept in order, read from any position, handed out once to each group.

Delivery is at least once. A consumer claims events for its group and acknowledges what it has done;
what it did not acknowledge is handed out again after a while, and after MAX_ATTEMPTS it is set
aside as dead. An event that was handed out twice in vain comes alone, so that one that kills its
consumers takes no others with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from optiinfra.domain.bus_events import BusEvent, from_document, to_document
from optiinfra.domain.errors import InputError
from optiinfra.kit.time import require_utc

MAX_BATCH: Final = 1000  # events of one call
MAX_EVENT_BYTES: Final = 65_536  # of its document, in JSON
MAX_NAME_LENGTH: Final = 100  # of an event, a group and a consumer
MAX_ATTEMPTS: Final = 5
ALONE_AFTER: Final = 2  # attempts in company
MAX_WAIT_S: Final = 60.0
START: Final = "start"  # the position before the first event that is kept
END: Final = "end"  # the position behind the last event now
_ENCODER: Final = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), check_circular=True
)
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # a NUL character as JSON writes it
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event with whose it is, and when it happened; `customer_id` None: it is nobody's alone.

    Published twice under one id it is delivered as one event.
    """

    event: BusEvent
    occurred_at: datetime
    customer_id: UUID | None = None
    id: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "occurred_at", require_utc(self.occurred_at))

    def encode(self) -> str:
        """The event's document as JSON text. InputError where it is too large or no JSON."""
        name = self.event.get_name()
        check_name(name, what="event")
        try:
            text = _ENCODER.encode(to_document(self.event))
            num_bytes = len(text.encode())
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"event {name} cannot be written as JSON: {error}.",
                remedy="Give it text, finite numbers, lists and objects only.",
            ) from error
        if "\\u0000" in text and _NUL.search(text):
            raise InputError(f"event {name} holds a NUL character.", remedy="Leave it out.")
        if num_bytes > MAX_EVENT_BYTES:
            raise InputError(
                f"event {name} has {num_bytes} bytes of JSON.",
                remedy=f"At most {MAX_EVENT_BYTES} go over the bus: store the rest, name its id.",
            )
        return text


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event where it lies on the bus; `attempt` counts from 1, and is 0 outside of groups."""

    position: str
    envelope: Envelope
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class GroupState:
    """How far a group has come: events not handed out yet, in work, and set aside as dead."""

    name: str
    num_waiting: int
    num_claimed: int
    num_dead: int


class EventBus(Protocol):
    """Where events go. Raises InputError for what a caller may not ask, and errors of the store."""

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """All of them or, where it raises, none; what returns is kept. Safe to repeat."""

    def create_group(self, name: str, *, after: str = END) -> bool:
        """A group that is handed out what lies behind the position; False: it was there."""

    def remove_group(self, name: str) -> bool:
        """Forget a group and what it has not done; False: it was not there."""

    def claim(
        self,
        group: str,
        consumer: str,
        *,
        limit: int = 100,
        redeliver_after_s: float = 60.0,
        wait_s: float = 0.0,
    ) -> list[Delivery]:
        """Events for this consumer alone, in order; waits for the first one, if asked.

        First come those that another claimed `redeliver_after_s` ago and did not acknowledge.
        """

    def acknowledge(self, group: str, positions: Sequence[str]) -> int:
        """They are done; how many of them had not been acknowledged before."""

    def read(self, *, after: str = START, limit: int = 100) -> list[Delivery]:
        """Events behind a position, in order, for nobody's account."""

    def rewind(self, group: str, *, after: str) -> None:
        """Hand out again to the group everything behind the position, or skip what lies before."""

    def list_dead(self, group: str, *, limit: int = 100) -> list[Delivery]:
        """Events that were handed out MAX_ATTEMPTS times in vain, in order."""

    def drop_dead(self, group: str, positions: Sequence[str]) -> int:
        """Forget dead events; how many there were."""

    def describe_group(self, group: str) -> GroupState:
        """How far it has come. NotFoundError where there is none."""

    def prune(self, *, before: datetime) -> int:
        """Drop events published before then that no group has still to do; how many."""

    def close(self) -> None:
        """Give back all connections."""


def forward(source: EventBus, target: EventBus, *, group: str, consumer: str, limit: int) -> int:
    """Carry events from one bus to another, each under its own id; how many."""
    deliveries = source.claim(group, consumer, limit=limit)
    if deliveries:
        target.publish([delivery.envelope for delivery in deliveries])
        source.acknowledge(group, [delivery.position for delivery in deliveries])
    return len(deliveries)


def decode(
    *,
    event_id: UUID,
    customer_id: UUID | None,
    occurred_at: datetime,
    name: str,
    data: dict[str, Any],
) -> Envelope:
    """An envelope as it was published."""
    event = from_document(name, data)
    return Envelope(event=event, occurred_at=occurred_at, customer_id=customer_id, id=event_id)


def check_name(name: str, *, what: str) -> None:
    """Raise InputError for a name that is empty, too long or made of odd characters."""
    if len(name) > MAX_NAME_LENGTH or _NAME.fullmatch(name) is None:
        raise InputError(
            f"{name[:MAX_NAME_LENGTH]!r} cannot name a {what} of the event bus.",
            remedy=f"Use 1 to {MAX_NAME_LENGTH} letters, digits and _ . : -",
        )


def check_batch(num: int, *, what: str) -> None:
    """Raise InputError where a call has more than MAX_BATCH of something."""
    if num > MAX_BATCH:
        raise InputError(
            f"{num} {what} in one call; at most {MAX_BATCH} are taken.",
            remedy="Make several calls.",
        )


def check_claim(group: str, consumer: str, *, limit: int, wait_s: float) -> None:
    """Raise InputError for a claim that may not be asked."""
    check_name(group, what="group")
    check_name(consumer, what="consumer")
    check_limit(limit)
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise InputError(
            f"a wait of {wait_s} s was asked for.", remedy=f"Wait for 0 to {MAX_WAIT_S:g} s."
        )


def check_limit(limit: int) -> None:
    """Raise InputError for a limit that is not 1 to MAX_BATCH."""
    if not 1 <= limit <= MAX_BATCH:
        raise InputError(
            f"a limit of {limit} events was asked for.", remedy=f"Ask for 1 to {MAX_BATCH}."
        )


def make_position_error(position: str) -> InputError:
    """For a position that this bus never gave."""
    return InputError(
        f"{position[:80]!r} is no position of this event bus.",
        remedy=f"Use the position of an event that came from it, or {START!r} or {END!r}.",
    )
