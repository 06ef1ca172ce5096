"""Bulk writers write what they were given, for their own tenants, or nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from tests.factories.core import make_agent, make_customer

from optiinfra.database.bulk import act_as_ingest, copy_agent_samples, copy_resource_samples
from optiinfra.database.bulk_quality import QualitySample, copy_quality_samples
from optiinfra.database.copy_encoding import EPOCH, count_microseconds
from optiinfra.database.driver import connecting
from optiinfra.database.engine import Database
from optiinfra.database.models import (
    AgentMetric,
    MetricType,
    QualityMetric,
    ResourceMetric,
    ResourceType,
)
from optiinfra.database.series import AgentSeries, Series
from optiinfra.domain.errors import ConstraintError, DatabaseError

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


@pytest.fixture
def ids(database: Database) -> tuple[UUID, UUID]:
    """An agent and a customer."""
    with database.transaction() as session:
        return make_agent(session).id, make_customer(session).id


def make_series(ids: tuple[UUID, UUID], **overrides: Any) -> Series:
    values: dict[str, Any] = {
        "agent_id": ids[0],
        "customer_id": ids[1],
        "instance_id": "i-1 ü",
        "resource_type": ResourceType.GPU,
        "metric_name": "gpu_utilization_ratio",
        "unit": "ratio",
        "detail": {"zone": "a ü"},
    }
    return Series(**values | overrides)


def make_quality(ids: tuple[UUID, UUID], **overrides: Any) -> QualitySample:
    values: dict[str, Any] = {
        "agent_id": ids[0],
        "customer_id": ids[1],
        "request_id": uuid4().hex,
        "model_name": "m",
        "model_version": "1",
        "overall_quality_score": 0.5,
        "at": AT,
    }
    return QualitySample(**values | overrides)


def test_samples_come_back_as_they_were(
    fresh_url: str, database: Database, ids: tuple[UUID, UUID]
) -> None:
    series = [make_series(ids), make_series(ids, instance_id="i-2", detail={})]
    samples = [(series[n % 2], AT + timedelta(seconds=n), n / 7) for n in range(1_500)]
    with connecting(fresh_url) as connection:
        assert copy_resource_samples(connection, samples, customers=[ids[1]]) == 1_500
    with database.reading() as session:
        rows = session.scalars(select(ResourceMetric).order_by(ResourceMetric.timestamp)).all()
    assert [(row.timestamp, row.metric_value) for row in rows] == [s[1:] for s in samples]
    assert rows[0].instance_id == "i-1 ü"
    assert rows[0].resource_type is ResourceType.GPU
    assert rows[0].resource_metadata == {"zone": "a ü"}
    assert rows[1].resource_metadata == {}
    assert rows[0].id != rows[1].id


def test_agents_and_quality_have_their_own(
    fresh_url: str, database: Database, ids: tuple[UUID, UUID]
) -> None:
    own = AgentSeries(agent_id=ids[0], metric_name="decisions", metric_type=MetricType.COUNTER)
    quality = make_quality(
        ids, latency_s=0.25, prompt_tokens=7, relevance_score=1.0, is_hallucination_detected=True
    )
    with connecting(fresh_url) as connection:
        assert copy_agent_samples(connection, [(own, AT, 3.0)]) == 1
        assert copy_quality_samples(connection, [quality], customers=[ids[1]]) == 1
    with database.reading() as session:
        metric = session.scalars(select(AgentMetric)).one()
        answer = session.scalars(select(QualityMetric)).one()
    assert (metric.metric_type, metric.metric_value) == (MetricType.COUNTER, 3.0)
    assert (metric.recorded_at, metric.tags) == (AT, {})
    assert (answer.latency_ms, answer.prompt_tokens, answer.completion_tokens) == (250.0, 7, None)
    assert (answer.relevance_score, answer.toxicity_score) == (1.0, None)
    assert answer.hallucination_detected
    assert answer.timestamp == AT


@pytest.mark.parametrize(
    ("series", "at", "value", "words"),
    [
        ({"customer_id": uuid4()}, AT, 1.0, "resource_metrics.customer_id: .* not the tenant"),
        ({}, AT, math.nan, "metric_value: nan is not finite"),
        ({}, AT, -math.inf, "metric_value: -inf is not finite"),
        ({}, AT, None, "metric_value: None is no number"),
        ({}, AT, "7", "metric_value: '7' is no number"),
        ({}, AT, 10**400, "metric_value: an integer of .* is not finite"),
        ({}, AT.replace(tzinfo=None), 1.0, "timestamp: .* has no time zone"),
        ({}, "today", 1.0, "timestamp: 'today' is no"),
        ({"unit": "u" * 51}, AT, 1.0, "unit: .* is longer than 50 characters"),
        ({"resource_type": "tpu"}, AT, 1.0, "resource_type: 'tpu' is not one of gpu"),
        ({"instance_id": "a\0b"}, AT, 1.0, "instance_id: .* holds a NUL byte"),
        ({"detail": {"a": "\0"}}, AT, 1.0, "metadata: .* holds a NUL byte"),
        ({"detail": {"a": math.nan}}, AT, 1.0, "metadata: nan at .* is not finite"),
        ({"detail": {"a": "x" * (1 << 20)}}, AT, 1.0, "metadata: .* is larger than"),
    ],
)
def test_a_refused_row_leaves_nothing_behind(
    fresh_url: str,
    database: Database,
    ids: tuple[UUID, UUID],
    *,
    series: dict[str, Any],
    at: Any,
    value: Any,
    words: str,
) -> None:
    def rows() -> Iterator[tuple[Series, datetime, float]]:
        yield from ((make_series(ids), AT, 1.0) for _ in range(2_000))
        yield make_series(ids, **series), at, value

    with pytest.raises(ConstraintError, match=words), connecting(fresh_url) as connection:
        copy_resource_samples(connection, rows(), customers={ids[1]})
    with database.reading() as session:
        assert session.scalars(select(ResourceMetric.id)).first() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"customer_id": uuid4()},
        {"at": AT.replace(tzinfo=None)},
        {"toxicity_score": math.nan},
        {"overall_quality_score": 1.5},
        {"prompt_tokens": 1 << 31},
        {"request_id": "x" * 256},
    ],
)
def test_quality_is_refused_likewise(
    fresh_url: str, ids: tuple[UUID, UUID], changes: dict[str, Any]
) -> None:
    with pytest.raises(ConstraintError), connecting(fresh_url) as connection:
        copy_quality_samples(connection, [make_quality(ids, **changes)], customers=[ids[1]])


def test_an_agent_that_is_not_there_is_our_error(fresh_url: str, ids: tuple[UUID, UUID]) -> None:
    series = make_series(ids, agent_id=uuid4())
    with pytest.raises(DatabaseError, match="violates"), connecting(fresh_url) as connection:
        copy_resource_samples(connection, [(series, AT, 1.0)], customers=[ids[1]])


def read_as_ingest(url: str) -> None:
    with connecting(url) as connection:
        act_as_ingest(connection)
        connection.execute("SELECT * FROM resource_metrics")


def test_the_ingest_role_may_write_and_nothing_else(fresh_url: str, ids: tuple[UUID, UUID]) -> None:
    with connecting(fresh_url) as connection:
        is_ingest = act_as_ingest(connection)
        samples = [(make_series(ids), AT, 1.0)]
        assert copy_resource_samples(connection, samples, customers=[ids[1]]) == 1
    if is_ingest:  # revisions that make the role grant it nothing but these inserts
        with pytest.raises(DatabaseError, match="denied"):
            read_as_ingest(fresh_url)


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_are_exact(at: datetime) -> None:
    assert EPOCH + timedelta(microseconds=count_microseconds(at)) == at
