"""The outcome memory over points: versions that follow each other, and answers as of an instant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, Final, Protocol
from uuid import UUID, uuid5

from optiinfra.adapters.qdrant.points import NEVER_US, Conditions, Found, Point, PointStore
from optiinfra.domain.errors import InputError, StoreError
from optiinfra.domain.memories import Collection, Memory, detail_to_document, read_detail
from optiinfra.domain.situations import read_situation, to_vector
from optiinfra.kit.bm25 import to_sparse
from optiinfra.ports.outcome_memory import FILTERS, MAX_BATCH, Match, Question, rank

_POINTS: Final = UUID("5d0f1a52-6f0e-4c1e-9a57-0d1c7a6b7a11")  # the namespace of their ids
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
MIN_CANDIDATES: Final = 40
_ASKED_MORE: Final = 4  # times as many: enough for an instant after a third of all is known


class QdrantMemory:
    """See OutcomeMemory."""

    def __init__(self, points: PointStore) -> None:
        self._points = points
        for collection in Collection:
            points.ensure(collection)

    def remember(self, memories: Sequence[Memory]) -> None:
        """See OutcomeMemory."""
        if len(memories) > MAX_BATCH:
            raise InputError(
                f"{len(memories)} memories in one call.", remedy=f"Give at most {MAX_BATCH}."
            )
        by_collection = defaultdict(list)
        for memory in memories:
            by_collection[memory.collection].append(memory)
        for collection, some in by_collection.items():
            self._remember(collection, some)

    def recall(self, question: Question) -> list[Match]:
        """See OutcomeMemory."""
        equal = {"customer_id": str(question.customer_id), **question.only}
        as_of_us = _to_us(question.as_of)
        num = max(MIN_CANDIDATES, 3 * question.limit)
        points, chosen = self._points, set[UUID]()
        is_near_all_open = False
        if question.situation.list_known():
            near = partial(points.find_near, question.collection, to_vector(question.situation))
            ids, is_near_all_open = _find_as_of(
                near, equal, as_of_us=as_of_us, num=num, num_asked=_ASKED_MORE * num
            )
            chosen.update(ids)
        words, _ = to_sparse(question.text)
        if words:
            alike = partial(points.find_words, question.collection, words)
            num_asked = num + num // 4 if is_near_all_open else _ASKED_MORE * num
            ids, _ = _find_as_of(alike, equal, as_of_us=as_of_us, num=num, num_asked=num_asked)
            chosen.update(ids)
        candidates = _keep_latest(points.fetch(question.collection, sorted(chosen)))
        for candidate in candidates:
            if candidate.payload["customer_id"] != str(question.customer_id):
                raise StoreError(
                    "Qdrant answered with another customer's memory; nothing was returned.",
                    remedy="Report this: its filter does not hold.",
                )
        return rank(question, [_read(question.collection, each.payload) for each in candidates])

    def count(self, collection: Collection, customer_id: UUID) -> int:
        """See OutcomeMemory."""
        return self._points.count(collection, Conditions({"customer_id": str(customer_id)}))

    def forget_customer(self, customer_id: UUID) -> None:
        """See OutcomeMemory."""
        for collection in Collection:
            self._points.delete(collection, Conditions({"customer_id": str(customer_id)}))

    def clear(self) -> None:
        """See OutcomeMemory."""
        for collection in Collection:
            self._points.drop(collection)
            self._points.ensure(collection)

    def close(self) -> None:
        """See OutcomeMemory."""
        self._points.close()

    def _remember(self, collection: Collection, memories: Sequence[Memory]) -> None:
        """Place each version between those that are there.

        New points come first: killed in between, two versions are open, and `recall` keeps to the
        latest. Repeated, it finds and closes them.
        """
        # Point id and present end of each version, by its memory and when it became known.
        versions: dict[tuple[str, str], dict[int, tuple[UUID, int | None]]] = defaultdict(dict)
        ids = sorted({str(memory.id) for memory in memories})
        for there in self._points.walk(collection, Conditions({}, any_of=("memory_id", ids))):
            payload = there.payload
            key = (payload["customer_id"], payload["memory_id"])
            versions[key][payload["known_us"]] = (there.id, payload["superseded_us"])
        new: dict[UUID, tuple[Memory, int]] = {}
        for memory in memories:
            known_us = _to_us(memory.known_at)
            point_id = uuid5(_POINTS, f"{memory.customer_id}/{memory.id}/{known_us}")
            versions[str(memory.customer_id), str(memory.id)][known_us] = (point_id, None)
            new[point_id] = (memory, NEVER_US)
        ends: dict[UUID, int] = {}
        for line in versions.values():
            for start, end in pairwise([*sorted(line), NEVER_US]):
                point_id, present_end = line[start]
                if point_id in new:
                    new[point_id] = (new[point_id][0], end)
                elif present_end != end:
                    ends[point_id] = end
        points = [_make_point(id_, memory, end) for id_, (memory, end) in new.items()]
        self._points.upsert(collection, points)
        if ends:
            self._points.supersede(collection, ends)


class _Find(Protocol):
    def __call__(self, conditions: Conditions, *, limit: int) -> list[Found]: ...


def _find_as_of(
    find: _Find, equal: Mapping[str, str], *, as_of_us: int, num: int, num_asked: int
) -> tuple[list[UUID], bool]:
    """The first `num` points that were open at the instant; whether all that were seen were.

    A range costs more than the search itself, so more are asked for without one first: what is open
    among the best of all are the best of those that are open. Only where too few of them are is the
    range asked for: the instant lies far back, or memories have many versions.
    """
    best = find(Conditions(equal), limit=num_asked)
    is_open = [f for f in best if f.payload["known_us"] <= as_of_us < f.payload["superseded_us"]]
    are_all_open = len(is_open) == len(best)
    if len(is_open) < num and len(best) == num_asked:
        is_open = find(Conditions(equal, as_of_us=as_of_us), limit=num)
    return [found.id for found in is_open[:num]], are_all_open


def _keep_latest(found: Iterable[Found]) -> list[Found]:
    latest: dict[str, Found] = {}
    for each in found:
        other = latest.get(each.payload["memory_id"])
        if other is None or other.payload["known_us"] < each.payload["known_us"]:
            latest[each.payload["memory_id"]] = each
    return list(latest.values())


def _make_point(point_id: UUID, memory: Memory, superseded_us: int) -> Point:
    known = memory.situation.list_known()
    payload: dict[str, Any] = {
        "customer_id": str(memory.customer_id),
        "memory_id": str(memory.id),
        "known_us": _to_us(memory.known_at),
        "superseded_us": superseded_us,
        "situation": known,
        "text": memory.text,
        "detail": detail_to_document(memory.detail),
        "is_simulated": memory.is_simulated,
        **{name: known[name] for name in FILTERS if name in known},
    }
    words, _ = to_sparse(memory.text)
    return Point(point_id, to_vector(memory.situation), words, payload)


def _read(collection: Collection, payload: Mapping[str, Any]) -> Memory:
    return Memory(
        id=UUID(payload["memory_id"]),
        customer_id=UUID(payload["customer_id"]),
        situation=read_situation(payload["situation"]),
        text=payload["text"],
        known_at=_EPOCH + payload["known_us"] * _MICROSECOND,
        detail=read_detail(collection, payload["detail"]),
        is_simulated=payload["is_simulated"],
    )


def _to_us(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND
