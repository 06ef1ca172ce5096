"""Quality by model, its baselines and regressions; samples of resources and scaling events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session
from tests.factories.application_schema import make_baseline, make_quality_metric
from tests.factories.core import NOW, make_agent, make_customer
from tests.factories.resource_schema import make_resource_metric

from optiinfra.database.models import (
    BaselineType,
    EventSeverity,
    QualityBaseline,
    RegressionAction,
    RegressionSeverity,
    RegressionType,
    ScalingEventType,
)
from optiinfra.database.repositories import (
    Events,
    ModelQuality,
    NewBaseline,
    NewRegression,
    NewScaling,
    QualityBaselines,
    QualityMetrics,
    QualityRegressions,
    ResourceMetrics,
    ScalingEvents,
)
from optiinfra.domain.errors import ConflictError, ConstraintError, NotFoundError

HOUR = timedelta(hours=1)
SPAN: dict[str, Any] = {"start": NOW, "end": NOW + 3 * HOUR}


def make_new_regression(**overrides: Any) -> NewRegression:
    values: dict[str, Any] = {
        "type": RegressionType.QUALITY_DROP,
        "severity": RegressionSeverity.CRITICAL,
        "metric_name": "overall_quality_score",
        "baseline_value": 0.8,
        "current_value": 0.6,
        "sample_size": 50,
    }
    return NewRegression(**values | overrides)


def make_new_baseline(**overrides: Any) -> NewBaseline:
    values: dict[str, Any] = {
        "model_name": "m",
        "model_version": "1",
        "type": BaselineType.INITIAL,
        "sample_size": 100,
        "mean_overall_score": 0.9,
        "latency_s_p95": 1.5,
    }
    return NewBaseline(**values | overrides)


def test_quality_comes_by_model_over_a_time(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    for number in range(4):
        make_quality_metric(
            session,
            customer,
            agent,
            model_version="1" if number < 3 else "2",
            overall_quality_score=0.5 + 0.1 * number,
            relevance_score=None if number else 0.25,
            hallucination_detected=number == 0,
            latency_ms=100.0 * number if number < 3 else None,
            timestamp=NOW + number * HOUR / 2,
        )
    make_quality_metric(session, customer, agent, timestamp=NOW + 9 * HOUR)
    make_quality_metric(session, make_customer(session), agent)
    first, second = QualityMetrics(session).compute_by_model(customer_id=customer.id, **SPAN)
    assert first == ModelQuality(
        model_name="llama",
        model_version="1",
        num_answers=3,
        mean_overall_score=first.mean_overall_score,
        mean_relevance_score=0.25,
        mean_coherence_score=None,
        mean_factuality_score=None,
        mean_toxicity_score=None,
        hallucination_ratio=first.hallucination_ratio,
        latency_s_p95=first.latency_s_p95,
    )
    assert first.mean_overall_score == pytest.approx(0.6)
    assert first.hallucination_ratio == pytest.approx(1 / 3)
    assert first.latency_s_p95 == pytest.approx(0.19)
    assert (second.model_version, second.num_answers, second.latency_s_p95) == ("2", 1, None)
    none = QualityMetrics(session).compute_by_model(
        customer_id=customer.id, model_name="other", **SPAN
    )
    assert none == []


def test_answers_come_in_pages(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    for number in range(3):
        make_quality_metric(session, customer, agent, timestamp=NOW + number * HOUR)
    metrics = QualityMetrics(session)
    page = metrics.list_page(customer_id=customer.id, limit=2, **SPAN)
    assert [row.timestamp for row in page.items] == [NOW, NOW + HOUR]
    rest = metrics.list_page(
        customer_id=customer.id, model_name="llama", after=page.next_cursor, **SPAN
    )
    assert [row.timestamp for row in rest.items] == [NOW + 2 * HOUR]


def test_a_new_baseline_ends_the_one_before(session: Session) -> None:
    customer_id, agent_id = make_customer(session).id, make_agent(session).id
    baselines = QualityBaselines(session)

    def establish(at: Any, **overrides: Any) -> QualityBaseline:
        return baselines.establish(
            make_new_baseline(**overrides), customer_id=customer_id, agent_id=agent_id, now=at
        )

    def get(at: Any) -> QualityBaseline:
        return baselines.get_current(
            customer_id=customer_id, model_name="m", model_version="1", now=at
        )

    first = establish(NOW)
    establish(NOW, model_version="2")  # another thing to hold answers against
    assert first.p95_latency_ms == 1500.0
    assert get(NOW).id == first.id
    second = establish(NOW + HOUR, type=BaselineType.UPDATED, latency_s_p95=None)
    assert get(NOW + HOUR).id == second.id
    assert get(NOW).valid_until == NOW + HOUR
    assert get(NOW).id == first.id
    with pytest.raises(NotFoundError, match="no baseline of m 1"):
        get(NOW - HOUR)
    with pytest.raises(ConflictError, match="was established at"):
        establish(NOW)
    page = baselines.list_page(customer_id=customer_id, model_name="m", limit=2)
    assert [row.established_at for row in page.items] == [NOW + HOUR, NOW]
    assert len(baselines.list_page(customer_id=customer_id, after=page.next_cursor).items) == 1


@pytest.mark.parametrize(
    ("overrides", "column"),
    [
        ({"sample_size": -1}, "sample_size"),
        ({"mean_overall_score": 1.5}, "avg_overall_score"),
        ({"latency_s_p95": float("inf")}, "p95_latency_ms"),
        ({"type": "worst"}, "baseline_type"),
        ({"model_name": ""}, "model_name"),
    ],
)
def test_a_baseline_that_cannot_be_is_not_built(overrides: dict[str, Any], column: str) -> None:
    with pytest.raises(ConstraintError) as caught:
        make_new_baseline(**overrides)
    assert (caught.value.table, caught.value.column) == ("quality_baselines", column)


def test_a_regression_is_open_until_it_is_put_right(session: Session) -> None:
    baseline = make_baseline(session, make_customer(session), make_agent(session))
    regressions = QualityRegressions(session)
    row = regressions.record(make_new_regression(), baseline=baseline, now=NOW)
    assert row.delta_percent == pytest.approx(-25.0)
    later = regressions.record(make_new_regression(), baseline=baseline, now=NOW + HOUR)
    page = regressions.list_open(customer_id=baseline.customer_id, limit=1)
    assert [r.id for r in page.items] == [later.id]
    rest = regressions.list_open(customer_id=baseline.customer_id, after=page.next_cursor)
    assert [r.id for r in rest.items] == [row.id]
    regressions.resolve(
        row.id, notes="retrained", action=RegressionAction.AUTO_FIXED, now=NOW + HOUR
    )
    found = regressions.get(row.id)
    assert (found.is_resolved, found.time_to_resolve_minutes) == (True, 60)
    assert (found.resolution_notes, found.action_taken) == ("retrained", "auto_fixed")
    with pytest.raises(ConflictError, match="was resolved at 2026-03-04"):
        regressions.resolve(row.id, notes="", action=RegressionAction.AUTO_FIXED, now=NOW + HOUR)
    assert len(regressions.list_open(customer_id=baseline.customer_id).items) == 1
    events = Events(session).list_page(
        customer_id=baseline.customer_id, severity=EventSeverity.CRITICAL
    )
    assert {e.event_type for e in events.items} == {"quality_regression_detected"}
    with pytest.raises(NotFoundError):
        regressions.get(uuid4())


def test_of_nothing_there_is_no_percentage() -> None:
    with pytest.raises(ConstraintError, match="give delta_percent") as caught:
        make_new_regression(baseline_value=0)
    assert (caught.value.table, caught.value.column) == ("quality_regressions", "baseline_value")
    assert make_new_regression(baseline_value=0, delta_percent=7.0).compute_delta_percent() == 7.0
    assert make_new_regression(baseline_value=-2.0, current_value=-3.0).compute_delta_percent() < 0


def test_a_scaling_ends_once_well_or_not(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    scalings = ScalingEvents(session)
    new = NewScaling(ScalingEventType.SCALE_UP, "busy", {"n": 2}, {"n": 3})
    rows = [
        scalings.record(new, customer_id=customer.id, agent_id=agent.id, now=NOW + n * HOUR)
        for n in range(3)
    ]
    scalings.complete(rows[0].id, now=NOW + HOUR)
    scalings.complete(rows[1].id, now=NOW + 2 * HOUR, error_details={"e": "quota"})
    well, badly, running = (scalings.get(row.id) for row in rows)
    assert (well.success, well.duration_seconds, well.error_details) == (True, 3600.0, None)
    assert (badly.success, badly.error_details) == (False, {"e": "quota"})
    assert (running.success, running.completed_at) == (False, None)
    for row, outcome in ((well, "well"), (badly, "with an error")):
        with pytest.raises(ConflictError, match=f"ended {outcome}"):
            scalings.complete(row.id, now=NOW + 3 * HOUR)
    with pytest.raises(NotFoundError):
        scalings.complete(uuid4(), now=NOW)
    page = scalings.list_page(customer_id=customer.id, limit=2)
    assert [row.id for row in page.items] == [rows[2].id, rows[1].id]
    assert len(scalings.list_page(customer_id=customer.id, after=page.next_cursor).items) == 1
    assert scalings.list_page(customer_id=customer.id, workflow_execution_id=uuid4()).items == ()
    with pytest.raises(ConstraintError, match=r"scaling_events\.trigger_reason"):
        NewScaling(ScalingEventType.SCALE_UP, "", {}, {})


def test_samples_of_resources_come_in_pages(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    for number in range(4):
        make_resource_metric(
            session,
            customer,
            agent,
            instance_id=f"i-{number % 2}",
            timestamp=NOW + number * HOUR / 2,
        )
    metrics = ResourceMetrics(session)
    page = metrics.list_page(customer_id=customer.id, limit=3, **SPAN)
    assert [row.timestamp for row in page.items] == [NOW + n * HOUR / 2 for n in range(3)]
    rest = metrics.list_page(customer_id=customer.id, after=page.next_cursor, **SPAN)
    assert len(rest.items) == 1
    narrowed = metrics.list_page(
        customer_id=customer.id, instance_id="i-1", metric_name="utilization", **SPAN
    )
    assert [row.timestamp for row in narrowed.items] == [NOW + HOUR / 2, NOW + 3 * HOUR / 2]
