"""What revisions 026 to 031 close: the schema, values, first statuses, grants, isolation."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session
from tests.factories.core import (
    NOW,
    make_agent,
    make_approval,
    make_customer,
    make_optimization,
    make_recommendation,
)

from optiinfra.database import migrate
from optiinfra.database.engine import Role, make_engine, set_role
from optiinfra.database.models import (
    AgentCapability,
    AgentConfig,
    AuditEntry,
    Customer,
    MigrationFinding,
    Recommendation,
)
from optiinfra.database.models.keys import is_key_weak

STRONG = "01234567-89ab-4cde-8f01-23456789abcd"


def act_as(session: Session, role: Role, customer: Customer | None = None) -> None:
    session.flush()
    set_role(session, role=role, customer_id=None if customer is None else customer.id)


def test_nobody_but_the_owner_makes_objects_in_public(
    make_database: Callable[..., str],
) -> None:
    url = make_database()
    migrate.upgrade(url, "025_capability_splits")
    open_to_all = "SELECT has_schema_privilege('optiinfra_app', 'public', 'CREATE')"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("GRANT CREATE ON SCHEMA public TO PUBLIC"))
        assert connection.execute(text(open_to_all)).scalar_one()
    migrate.upgrade(url)
    with engine.begin() as connection:
        assert not connection.execute(text(open_to_all)).scalar_one()
    engine.dispose()


def test_versions_of_elsewhere_become_semantic_ones(make_database: Callable[..., str]) -> None:
    url = make_database()
    migrate.upgrade(url, "026_trusted_schema")
    written = ["v2", "2", "2.1", "latest", "1.0.0", "1.0.0-rc.1", "01.0.0"]
    with make_engine(url, is_pooled=False).begin() as connection:
        agent = connection.execute(
            text("INSERT INTO agents (type, name) VALUES ('cost', 'a') RETURNING id")
        ).scalar_one()
        for number, version in enumerate(written):
            connection.execute(
                text("""INSERT INTO agent_capabilities (agent_id, capability_name,
                    capability_version, traffic_ratio, created_at)
                    VALUES (:agent, 'c', :version, :share, now() + :n * interval '1 s')"""),
                {"agent": agent, "version": version, "share": float(number == 0), "n": number},
            )
        connection.execute(
            text("""INSERT INTO recommendations (customer_id, agent_id, type, title,
                estimated_savings) SELECT id, :agent, 't', 't', 'NaN' FROM customers"""),
            {"agent": agent},
        )
    migrate.upgrade(url)
    with Session(make_engine(url, is_pooled=False)) as session:
        versions = session.scalars(
            select(AgentCapability.capability_version).order_by(AgentCapability.created_at)
        ).all()
        before = [f.row_before["capability_version"] for f in session.scalars(_FINDINGS)]
    assert versions[:3] == ["2.0.0", versions[1], "2.1.0"]
    assert versions[1].startswith("0.0.0-")  # 2.0.0 was given away
    assert versions[3].startswith("0.0.0-")
    assert versions[4:6] == ["1.0.0", "1.0.0-rc.1"]
    assert versions[6].startswith("0.0.0-")  # 1.0.0 is there
    assert sorted(before) == ["01.0.0", "2", "2.1", "latest", "v2"]


_FINDINGS = select(MigrationFinding).where(MigrationFinding.table_name == "agent_capabilities")


@pytest.mark.parametrize(
    "version", ["latest", "1.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+b", ""]
)
def test_a_version_that_has_no_order_is_refused(session: Session, version: str) -> None:
    session.add(
        AgentCapability(
            agent_id=make_agent(session).id, capability_name="c", capability_version=version
        )
    )
    with pytest.raises(IntegrityError, match="check_capability_version"):
        session.flush()


def test_money_is_a_number(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    with pytest.raises(IntegrityError, match="check_estimated_savings"):
        make_recommendation(session, customer, agent, estimated_savings=Decimal("NaN"))


def test_a_sensitive_value_is_sealed_or_not_written(session: Session) -> None:
    session.add(
        AgentConfig(
            agent_id=make_agent(session).id, config_key="k", config_value="v", is_sensitive=True
        )
    )
    with pytest.raises(IntegrityError, match="check_sealed"):
        session.flush()


@pytest.mark.parametrize(
    ("key", "is_weak"),
    [
        (STRONG, False),
        ("test-key", True),
        ("1" * 64, True),
        ("0123456789" * 4, False),
        ("0123456789" * 3, True),
        ("", True),
        ("pä$$w0rdXY" * 3, False),
    ],
)
def test_a_weak_key_is_marked_and_not_shown_in_part(
    session: Session, key: str, *, is_weak: bool
) -> None:
    customer = make_customer(session, api_key=key)
    assert customer.is_api_key_weak is is_weak is is_key_weak(key)
    assert customer.api_key_prefix == (None if is_weak else key[:8])


def test_a_worker_begins_where_a_lifecycle_begins(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    recommendation = make_recommendation(session, customer, agent)
    act_as(session, Role.WORKER)
    make_optimization(session, recommendation)
    with pytest.raises(IntegrityError, match="begins as pending, not as approved"):
        make_recommendation(session, customer, agent, status="approved")


@pytest.mark.parametrize("approved", [None, "abc", "xyz"])
def test_nothing_executes_that_was_not_approved_as_it_is(
    session: Session, approved: str | None
) -> None:
    customer, agent = make_customer(session), make_agent(session)
    recommendation = make_recommendation(session, customer, agent, evidence_digest="abc")
    if approved:
        make_approval(session, recommendation, status="approved", evidence_digest=approved)
    optimization = make_optimization(session, recommendation, evidence_digest="abc")
    act_as(session, Role.WORKER)
    change = text("UPDATE optimizations SET status = 'executing' WHERE id = :id")
    if approved == "abc":
        session.execute(change, {"id": optimization.id})
        return
    with pytest.raises(IntegrityError, match="nobody approved"):
        session.execute(change, {"id": optimization.id})


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE recommendations SET data = '{}'",
        "UPDATE recommendations SET estimated_savings = 1",
        "UPDATE optimizations SET actual_savings = 1",
        "UPDATE optimizations SET status = 'executing'",
        "UPDATE workflow_executions SET fence = 9",
        "INSERT INTO workflow_steps (workflow_execution_id) VALUES (gen_random_uuid())",
        "INSERT INTO scaling_events (success) VALUES (true)",
    ],
)
def test_a_tenant_may_not(session: Session, change: str) -> None:
    act_as(session, Role.APP, make_customer(session))
    with pytest.raises(ProgrammingError, match="permission denied"):
        session.execute(text(change))


def test_a_worker_replaces_no_key(session: Session) -> None:
    make_customer(session)
    act_as(session, Role.WORKER)
    session.execute(text("UPDATE customers SET status = 'suspended'"))
    with pytest.raises(ProgrammingError, match="permission denied"):
        session.execute(text("UPDATE customers SET api_key = 'x'"))


def test_what_was_decided_on_stays_as_it_was(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    recommendation = make_recommendation(session, customer, agent, status="approved")
    make_approval(session, recommendation, status="approved", evidence_digest="abc")
    act_as(session, Role.APP, customer)
    for change in ("evidence_digest = 'other'", "approved_by = 'x@example.com'", "comment = 'c'"):
        with pytest.raises(IntegrityError, match="stays as it was"), session.begin_nested():
            session.execute(text(f"UPDATE approvals SET {change}"))  # noqa: S608
    session.execute(text("RESET ROLE"))
    act_as(session, Role.WORKER)
    with pytest.raises(IntegrityError, match="stays as it was"):
        session.execute(text("UPDATE recommendations SET data = '{\"a\": 1}'"))


def test_the_audit_log_says_that_a_decision_went_with_its_recommendation(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    recommendation = make_recommendation(session, customer, agent)
    approval = make_approval(session, recommendation, status="rejected")
    session.delete(session.get_one(Recommendation, recommendation.id))
    session.flush()
    query = select(AuditEntry).where(AuditEntry.row_id == approval.id).order_by(AuditEntry.id)
    assert [entry.new_status for entry in session.scalars(query)] == ["rejected", "removed"]


def test_capabilities_are_not_changed_under_repeatable_read(fresh_url: str) -> None:
    engine = make_engine(fresh_url, is_pooled=False)
    with Session(engine) as session, session.begin():
        agent = make_agent(session).id
    with (
        pytest.raises(DBAPIError, match="not changed under REPEATABLE READ"),
        Session(engine.execution_options(isolation_level="REPEATABLE READ")) as session,
        session.begin(),
    ):
        session.add(AgentCapability(agent_id=agent, capability_name="c"))


def test_a_repr_shows_no_value(session: Session) -> None:
    agent = make_agent(session)
    config = AgentConfig(agent_id=agent.id, config_key="k", config_value="hunter2")
    assert repr(config) == "<AgentConfig(config_key=k)>"
    assert repr(agent) == f"<Agent(id={agent.id}, type=cost, name={agent.name}, status=starting)>"
    assert str(NOW.year) not in repr(make_customer(session, name=f"c{uuid4()}"))
