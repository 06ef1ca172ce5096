"""The event bus in Redis or Valkey: one stream, its groups, and a hash of dead events a group."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from optiinfra.adapters import redis_bus_scripts as scripts
from optiinfra.adapters.redis_client import connect, get_name, translated
from optiinfra.domain.errors import NotFoundError, StoreError
from optiinfra.kit.time import require_utc
from optiinfra.ports.event_bus import (
    ALONE_AFTER,
    END,
    MAX_ATTEMPTS,
    START,
    Delivery,
    Envelope,
    GroupState,
    check_batch,
    check_claim,
    check_limit,
    check_name,
    decode,
    make_position_error,
)

BLOCK_S: Final = 1.0  # how long it waits before it looks for what is overdue
_NO_GROUP: Final = ("NOGROUP", "no such key", "requires the key to exist")
_POSITION: Final = re.compile(r"(\d{1,20})-(\d{1,20})")


class RedisEventBus:
    """See EventBus. Positions are ids of the stream; threads may share it.

    What is acknowledged to a publisher is as safe as the server's `appendfsync` makes it.
    """

    def __init__(self, url: str) -> None:
        self._name = get_name(url)
        self._client = connect(url)
        self._scripts = {
            name: self._client.register_script(getattr(scripts, name))
            for name in ("PUBLISH", "CLAIM", "READ", "REWIND", "DESCRIBE", "PRUNE")
        }

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """See EventBus; an id is known again for a minute at least."""
        check_batch(len(envelopes), what="events")
        if envelopes:
            # One text for the batch: the client takes longer for arguments than for all else.
            batch = json.dumps([_make_entry(envelope) for envelope in envelopes])
            self._run("PUBLISH", [scripts.SEEN_S, batch])

    def create_group(self, name: str, *, after: str = END) -> bool:
        """See EventBus."""
        check_name(name, what="group")
        position = {START: "0", END: "$"}.get(after) or _check_position(after)
        return self._command(
            "XGROUP", "CREATE", scripts.STREAM, name, position, "MKSTREAM", refused="BUSYGROUP"
        )

    def remove_group(self, name: str) -> bool:
        """See EventBus."""
        with translated(self._name):
            self._client.delete(_get_dead_key(name))
            if not self._client.exists(scripts.STREAM):
                return False
            return bool(self._client.xgroup_destroy(scripts.STREAM, name))

    def claim(
        self,
        group: str,
        consumer: str,
        *,
        limit: int = 100,
        redeliver_after_s: float = 60.0,
        wait_s: float = 0.0,
    ) -> list[Delivery]:
        """See EventBus."""
        check_claim(group, consumer, limit=limit, wait_s=wait_s)
        idle_ms = max(0, round(redeliver_after_s * 1000))
        values = [group, consumer, limit, idle_ms, MAX_ATTEMPTS, ALONE_AFTER]
        end = time.monotonic() + wait_s
        while True:
            last, text = self._run("CLAIM", values, group=group)
            found = json.loads(text)
            left = end - time.monotonic()
            if found or left <= 0:
                return _make_deliveries(found)
            with translated(self._name):
                block_ms = max(1, round(min(left, BLOCK_S) * 1000))
                self._client.xread({scripts.STREAM: last}, count=1, block=block_ms)

    def acknowledge(self, group: str, positions: Sequence[str]) -> int:
        """See EventBus."""
        check_batch(len(positions), what="positions")
        ids = sorted({_check_position(position) for position in positions})
        with translated(self._name):
            return int(self._client.xack(scripts.STREAM, group, *ids)) if ids else 0

    def read(self, *, after: str = START, limit: int = 100) -> list[Delivery]:
        """See EventBus."""
        check_limit(limit)
        if after == END:
            return []
        first = "-" if after == START else f"({_check_position(after)}"
        return _make_deliveries(json.loads(self._run("READ", [first, limit])))

    def rewind(self, group: str, *, after: str) -> None:
        """See EventBus."""
        position = {START: "0", END: "$"}.get(after) or _check_position(after)
        first = "-" if after == START else f"({position}"
        self._run("REWIND", [group, position, first], group=group)

    def list_dead(self, group: str, *, limit: int = 100) -> list[Delivery]:
        """See EventBus."""
        check_limit(limit)
        self.describe_group(group)
        with translated(self._name):
            found: Any = self._client.hgetall(_get_dead_key(group))
        ordered = sorted(found, key=_get_order)[:limit]
        return _make_deliveries([[id_, *json.loads(found[id_])] for id_ in ordered])

    def drop_dead(self, group: str, positions: Sequence[str]) -> int:
        """See EventBus."""
        check_batch(len(positions), what="positions")
        ids = sorted({_check_position(position) for position in positions})
        with translated(self._name):
            return int(self._client.hdel(_get_dead_key(group), *ids)) if ids else 0

    def describe_group(self, group: str) -> GroupState:
        """See EventBus."""
        found = self._run("DESCRIBE", [group], group=group)
        if not found:
            raise _make_missing(group)
        return GroupState(group, *(int(number) for number in found))

    def prune(self, *, before: datetime) -> int:
        """See EventBus."""
        floor_ms = max(0, round(require_utc(before).timestamp() * 1000))
        return int(self._run("PRUNE", [f"{floor_ms}-0"]))

    def close(self) -> None:
        """See EventBus."""
        self._client.close()

    def _run(self, name: str, values: Sequence[Any], *, group: str = "") -> Any:
        """What the script returns. NotFoundError where the group is not there."""
        keys = [scripts.STREAM, _get_dead_key(group)] if group else [scripts.STREAM]
        try:
            with translated(self._name):
                return self._scripts[name](keys=keys, args=list(values))
        except StoreError as error:
            if group and any(words in error.problem for words in _NO_GROUP):
                raise _make_missing(group) from error
            raise

    def _command(self, *words: str, refused: str) -> bool:
        """False where the server refuses with that word, since it is so already."""
        try:
            with translated(self._name):
                self._client.execute_command(*words)  # type: ignore[no-untyped-call]
        except StoreError as error:
            if refused in error.problem:
                return False
            raise
        return True


def _get_dead_key(group: str) -> str:
    return f"{scripts.STREAM}:dead:{group}"


def _check_position(text: str) -> str:
    if _POSITION.fullmatch(text) is None:
        raise make_position_error(text)
    return text


def _get_order(position: str) -> tuple[int, int]:
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number)


def _make_missing(group: str) -> NotFoundError:
    return NotFoundError(f"The event bus has no group {group!r}.", remedy="Create the group first.")


def _make_entry(envelope: Envelope) -> list[str]:
    customer = "" if envelope.customer_id is None else str(envelope.customer_id)
    name, at = envelope.event.get_name(), envelope.occurred_at.isoformat()
    return [str(envelope.id), customer, name, envelope.encode(), at]


def _make_deliveries(entries: Sequence[Sequence[Any]]) -> list[Delivery]:
    """Of positions, attempts and fields. Documents are read together, which takes half the time."""
    fields = [dict(zip(flat[::2], flat[1::2], strict=True)) for _, _, flat in entries]
    documents = json.loads(f"[{','.join(each['data'] for each in fields)}]")
    return [
        Delivery(
            position=position,
            envelope=decode(
                event_id=UUID(each["id"]),
                customer_id=UUID(each["customer"]) if each["customer"] else None,
                occurred_at=datetime.fromisoformat(each["at"]).astimezone(UTC),
                name=each["name"],
                data=document,
            ),
            attempt=int(attempt),
        )
        for (position, attempt, _), each, document in zip(entries, fields, documents, strict=True)
    ]
