"""Typed events: there and back, and whatever others wrote kept whole."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiinfra.domain.bus_events import (
    EVENT_TYPES,
    TYPE_BY_NAME,
    KnownEvent,
    OptimizationMoved,
    RecommendationMoved,
    UnknownEvent,
    from_document,
    to_document,
)
from optiinfra.domain.enums import OptimizationStatus, RecommendationStatus

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KNOWN = st.sampled_from(EVENT_TYPES).flatmap(st.from_type)
QUEUED = OptimizationMoved(UUID(int=1), UUID(int=2), None, OptimizationStatus.QUEUED)


@given(KNOWN)
def test_there_and_back(event: KnownEvent) -> None:
    document = json.loads(json.dumps(to_document(event)))
    assert from_document(event.get_name(), document) == event


def test_the_document_is_that_of_the_events_table() -> None:
    assert to_document(QUEUED) == {
        "optimization_id": str(UUID(int=1)),
        "recommendation_id": str(UUID(int=2)),
        "from": None,
        "to": "queued",
    }


def test_no_two_types_share_a_name() -> None:
    assert len(TYPE_BY_NAME) == sum(len(kind.NAMES) for kind in EVENT_TYPES)


@given(st.sampled_from(sorted(TYPE_BY_NAME)) | st.text(), st.dictionaries(st.text(), JSON))
def test_what_does_not_fit_is_kept_whole(name: str, data: dict[str, object]) -> None:
    event = from_document(name, data)
    assert isinstance(event, UnknownEvent)
    assert (event.get_name(), to_document(event)) == (name, data)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("optimization_vanished", {}, "its type is not known here"),
        ("optimization_queued", {"cost": 7}, "it has a field that its type has not: cost"),
        ("optimization_queued", {"to": "vanished"}, "its field to does not fit"),
        ("optimization_queued", {"optimization_id": 7}, "its field optimization_id does not fit"),
        ("optimization_queued", {"optimization_id": "7"}, "its field optimization_id does not fit"),
        ("optimization_failed", {}, "its fields say optimization_queued"),
    ],
)
def test_the_reason_is_told(name: str, changes: dict[str, object], reason: str) -> None:
    event = from_document(name, to_document(QUEUED) | changes)
    assert isinstance(event, UnknownEvent)
    assert event.reason == reason


def test_a_field_that_may_be_missing_may_be_and_no_other() -> None:
    whole = to_document(QUEUED)
    lacking = {key: value for key, value in whole.items() if key != "from"}
    event = from_document("optimization_queued", lacking)
    assert isinstance(event, UnknownEvent)
    assert event.reason == "it lacks the field from"
    moved = RecommendationMoved(
        UUID(int=1), RecommendationStatus.PENDING, RecommendationStatus.APPROVED, by="somebody"
    )
    document = to_document(moved)
    assert "comment" not in document
    assert from_document("recommendation_approved", document | {"comment": None}) == moved
