"""What each role sees and may do: a tenant its own rows, on every table that has a tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session
from tests.factories.application_schema import make_baseline, make_quality_metric, make_regression
from tests.factories.core import (
    NOW,
    make_agent,
    make_approval,
    make_customer,
    make_event,
    make_optimization,
    make_recommendation,
)
from tests.factories.event_bus import make_logged_event, make_outbox_event
from tests.factories.records import make_finding
from tests.factories.resource_schema import (
    make_resource_metric,
    make_scaling_event,
    make_series_day,
)
from tests.factories.workflow_history import make_artifact, make_execution, make_step

from optiinfra.database.engine import Role, set_role
from optiinfra.database.models import Base, Customer, Recommendation, RecommendationStatus
from optiinfra.database.repositories import (
    Approvals,
    Customers,
    Decisions,
    Events,
    Executions,
    QualityBaselines,
    QualityMetrics,
    Recommendations,
    ResourceMetrics,
    ScalingEvents,
)
from optiinfra.database.repositories.pages import Page
from optiinfra.domain.errors import NotFoundError

HIDDEN = {
    "agents", "agent_configs", "agent_states", "agent_capabilities", "agent_metrics",
    "capability_splits", "event_groups", "event_claims", "cache_entries",
    "rate_buckets",
}  # fmt: skip
TENANT_TABLES = sorted(set(Base.metadata.tables) - HIDDEN)


def fill(session: Session) -> UUID:
    """A customer with a row in every table that has a tenant; its id."""
    customer, agent = make_customer(session), make_agent(session)
    recommendation = make_recommendation(session, customer, agent)
    make_approval(session, recommendation)
    make_optimization(session, recommendation)
    make_event(session, customer)
    execution = make_execution(session, customer, agent)
    make_artifact(session, execution, workflow_step_id=make_step(session, execution).id)
    make_resource_metric(session, customer, agent)
    make_series_day(session, customer, agent)
    make_scaling_event(session, customer, agent, workflow_execution_id=execution.id)
    make_quality_metric(session, customer, agent)
    make_regression(session, make_baseline(session, customer, agent))
    make_finding(session, customer)
    make_outbox_event(session, customer)
    make_logged_event(session, customer)
    return customer.id


@pytest.fixture
def tenants(session: Session) -> Iterator[tuple[UUID, UUID]]:
    yield fill(session), fill(session)
    session.rollback()


def act_as(session: Session, role: Role, customer_id: UUID | None = None) -> None:
    session.flush()
    session.expunge_all()
    set_role(session, role=role, customer_id=customer_id)


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_a_tenant_sees_its_own_rows_and_no_others(
    session: Session, tenants: tuple[UUID, UUID], table: str
) -> None:
    column = "id" if table == "customers" else "customer_id"
    for own in tenants:
        act_as(session, Role.APP, own)
        rows = session.scalars(text(f"SELECT {column} FROM {table}")).all()  # noqa: S608
        assert set(rows) == {own}
        session.execute(text("RESET ROLE"))


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_without_a_tenant_every_table_raises_even_an_empty_one(
    session: Session, table: str
) -> None:
    act_as(session, Role.APP)
    with pytest.raises(DBAPIError, match=r"optiinfra\.customer_id|invalid input syntax"):
        session.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608


@pytest.mark.parametrize("table", [*sorted(HIDDEN), "resource_metrics_p_first", "events_p_first"])
def test_shared_tables_and_partitions_refuse_the_tenant_role(
    session: Session, tenants: tuple[UUID, UUID], table: str
) -> None:
    act_as(session, Role.APP, tenants[0])
    with pytest.raises(ProgrammingError, match="permission denied"):
        session.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608


def test_agents_are_seen_through_a_view(session: Session, tenants: tuple[UUID, UUID]) -> None:
    act_as(session, Role.APP, tenants[0])
    assert session.execute(text("SELECT count(*) FROM agent_directory")).scalar_one() == 2


def test_a_key_digest_is_shown_to_nobody(session: Session, tenants: tuple[UUID, UUID]) -> None:
    act_as(session, Role.APP, tenants[0])
    with pytest.raises(ProgrammingError, match="permission denied"):
        session.execute(text("SELECT api_key FROM customers"))


def test_login_finds_the_active_customer_of_a_key(session: Session) -> None:
    customer = make_customer(session)
    key = Customers(session).issue_key(customer, now=NOW)
    digest, own = customer.api_key_digest, customer.id
    act_as(session, Role.APP)
    query = text("SELECT find_customer_by_key(:digest)")
    assert session.execute(query, {"digest": digest}).scalar_one() == own
    assert session.execute(query, {"digest": key}).scalar_one() is None


def test_a_tenant_writes_nothing_for_another(session: Session, tenants: tuple[UUID, UUID]) -> None:
    own, other = tenants
    act_as(session, Role.APP, own)
    make_event_of = text("INSERT INTO events (customer_id, event_type) VALUES (:customer, 't')")
    session.execute(make_event_of, {"customer": own})
    changed = session.execute(text("UPDATE recommendations SET status = 'approved' RETURNING id"))
    assert len(changed.all()) == 1
    with pytest.raises(ProgrammingError, match="row-level security"):
        session.execute(make_event_of, {"customer": other})


@pytest.mark.parametrize("table", ["recommendations", "customers", "audit_log"])
def test_a_tenant_deletes_nothing(session: Session, tenants: tuple[UUID, UUID], table: str) -> None:
    act_as(session, Role.APP, tenants[0])
    with pytest.raises(ProgrammingError, match="permission denied"):
        session.execute(text(f"DELETE FROM {table}"))  # noqa: S608


def test_a_worker_sees_all_tenants(session: Session, tenants: tuple[UUID, UUID]) -> None:
    act_as(session, Role.WORKER)
    seen = session.scalars(select(Recommendation.customer_id)).all()
    assert set(seen) == set(tenants)
    assert session.scalar(select(func.count()).select_from(Customer)) == 2


def test_ingest_writes_metrics_and_reads_nothing(
    session: Session, tenants: tuple[UUID, UUID]
) -> None:
    agent = make_agent(session).id
    act_as(session, Role.INGEST)
    session.execute(
        text("""
            INSERT INTO resource_metrics (agent_id, customer_id, instance_id, resource_type,
                metric_name, metric_value, unit, timestamp)
            VALUES (:agent, :customer, 'i', 'gpu', 'm', 1, 'u', '2026-03-01')"""),
        {"agent": agent, "customer": tenants[0]},
    )
    with pytest.raises(ProgrammingError, match="permission denied"):
        session.execute(text("SELECT count(*) FROM resource_metrics"))


def test_backup_reads_everything(session: Session, tenants: tuple[UUID, UUID]) -> None:
    act_as(session, Role.BACKUP)
    for table in Base.metadata.tables:
        session.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608
    assert session.scalar(select(func.count()).select_from(Recommendation)) == len(tenants)


def test_a_row_cannot_belong_to_another_tenants_row(session: Session) -> None:
    first, second = make_customer(session), make_customer(session)
    recommendation = make_recommendation(session, first, make_agent(session))
    for make in (make_optimization, make_approval):
        with pytest.raises(IntegrityError, match="customer_id_fkey"), session.begin_nested():
            make(session, recommendation, customer_id=second.id)


def test_an_artifact_belongs_to_the_execution_of_its_step(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    step = make_step(session, make_execution(session, customer, agent))
    other = make_execution(session, customer, agent)
    with pytest.raises(IntegrityError, match="workflow_step_id"):
        make_artifact(session, other, workflow_step_id=step.id)


def test_a_row_takes_the_tenant_of_its_parent(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    approval = make_approval(session, make_recommendation(session, customer, agent))
    step = make_step(session, make_execution(session, customer, agent))
    session.expire_all()
    assert approval.customer_id == step.customer_id == customer.id


def test_removing_an_execution_lets_go_of_its_scalings_and_keeps_their_tenant(
    session: Session,
) -> None:
    customer, agent = make_customer(session), make_agent(session)
    execution = make_execution(session, customer, agent)
    scaling = make_scaling_event(session, customer, agent, workflow_execution_id=execution.id)
    session.execute(text("DELETE FROM workflow_executions"))
    session.expire_all()
    assert (scaling.workflow_execution_id, scaling.customer_id) == (None, customer.id)


def test_purge_passes_the_guards_by_its_role(session: Session) -> None:
    customer = make_customer(session)
    recommendation = make_recommendation(session, customer, make_agent(session))
    make_optimization(session, recommendation, status="executing", started_at=NOW)
    for statement in ("DELETE FROM customers", "DELETE FROM agents", "DELETE FROM optimizations"):
        with pytest.raises(IntegrityError, match="kept for the record"), session.begin_nested():
            session.execute(text(statement))
    session.execute(text("SET LOCAL ROLE optiinfra_purge"))
    session.execute(text("DELETE FROM customers WHERE id = :id"), {"id": customer.id})
    session.execute(text("RESET ROLE"))
    assert session.scalar(select(func.count()).select_from(Recommendation)) == 0


@pytest.mark.parametrize("table", ["optimizations", "agents", "customers", "recommendations"])
def test_the_record_is_not_truncated(session: Session, table: str) -> None:
    with pytest.raises(IntegrityError, match="is not truncated"):
        session.execute(text(f"TRUNCATE {table} CASCADE"))


def test_no_setting_opens_the_guards(session: Session) -> None:
    recommendation = make_recommendation(session, make_customer(session), make_agent(session))
    make_optimization(session, recommendation, status="failed", completed_at=NOW)
    session.execute(text("SET LOCAL optiinfra.purge = 'on'"))
    with pytest.raises(IntegrityError, match="kept for the record"):
        session.execute(text("DELETE FROM recommendations"))


def test_statuses_are_audited_with_their_tenant(session: Session) -> None:
    customer = make_customer(session)
    recommendation = make_recommendation(session, customer, make_agent(session))
    recommendation.status = RecommendationStatus.REJECTED
    session.flush()
    query = text("""SELECT old_status, new_status, customer_id FROM audit_log
        WHERE row_id = :id ORDER BY id""")
    rows = session.execute(query, {"id": recommendation.id}).all()
    assert [tuple(row) for row in rows] == [
        (None, "pending", customer.id),
        ("pending", "rejected", customer.id),
    ]
    for statement in ("UPDATE audit_log SET new_status = 'x'", "DELETE FROM audit_log"):
        with pytest.raises(IntegrityError, match="never changed"), session.begin_nested():
            session.execute(text(statement))


def test_a_tenant_works_through_the_repositories(
    session: Session, tenants: tuple[UUID, UUID]
) -> None:
    own, other = tenants
    foreign = session.scalars(
        select(Recommendation.id).where(Recommendation.customer_id == other)
    ).one()
    act_as(session, Role.APP, own)
    recommendations = Recommendations(session)
    (row,) = recommendations.list_page().items
    assert (row.customer.id, recommendations.get(row.id).approvals[0].customer_id) == (own, own)
    with pytest.raises(NotFoundError):
        recommendations.get(foreign)
    with pytest.raises(NotFoundError):
        Decisions(session).approve(foreign, by="boss@example.com", now=NOW)
    approved = Decisions(session).approve(row.id, by="other@example.com", now=NOW)
    assert approved.status is RecommendationStatus.APPROVED
    Events(session).record("e", customer_id=own, agent_id=None, data={}, now=NOW)
    start, end = NOW - timedelta(days=1), NOW + timedelta(days=1)
    pages: list[Callable[[UUID], Page[Any]]] = [
        lambda customer: Events(session).list_page(customer_id=customer),
        lambda customer: ScalingEvents(session).list_page(customer_id=customer),
        lambda customer: QualityBaselines(session).list_page(customer_id=customer),
        lambda customer: QualityMetrics(session).list_page(
            customer_id=customer, start=start, end=end
        ),
        lambda customer: ResourceMetrics(session).list_page(
            customer_id=customer, start=start, end=end
        ),
        lambda customer: Executions(session).list_page(customer_id=customer),
    ]
    for list_page in pages:
        assert {item.customer_id for item in list_page(own).items} == {own}
        assert list_page(other).items == ()
    (execution,) = Executions(session).list_page(customer_id=own).items
    assert [step.customer_id for step in Executions(session).get(execution.id).steps] == [own]
    approvals = Approvals(session).list_page(recommendation_id=row.id).items
    assert {approval.customer_id for approval in approvals} == {own}


def test_who_shows_a_key_is_known_before_the_tenant_is(session: Session) -> None:
    customer = make_customer(session)
    customers = Customers(session)
    key, own = customers.issue_key(customer, now=NOW), customer.id
    act_as(session, Role.APP)
    assert customers.find_id_by_key(key) == own
    assert customers.find_id_by_key("another") is None
