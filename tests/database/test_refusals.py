"""What only PostgreSQL can find: the same typed error, inside the transaction already."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Boolean, insert, literal, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import Session
from tests.factories.application_schema import make_baseline
from tests.factories.core import (
    NOW,
    add,
    make_agent,
    make_approval,
    make_customer,
    make_event,
    make_optimization,
    make_recommendation,
)
from tests.factories.resource_schema import make_resource_metric
from tests.factories.workflow_history import make_execution, make_step

from optiinfra.database.engine import Database
from optiinfra.database.failures import make_refusal_of
from optiinfra.database.models import (
    AgentCapability,
    AgentMetric,
    Customer,
    Optimization,
    QualityMetric,
    Recommendation,
)
from optiinfra.database.refusals import REDACTED
from optiinfra.database.repositories.conflicts import conflict_of
from optiinfra.domain.errors import ConflictError, ConstraintError, TimeOutsideError

NOBODY = UUID("00000000-0000-4000-8000-000000000000")
OUTSIDE = datetime(2031, 1, 1, tzinfo=UTC)
BEFORE = NOW - timedelta(days=1)
Break = Callable[[Session, Customer, Any], object]


def add_second_email(session: Session, customer: Customer, _: Any) -> object:
    return make_customer(session, email=customer.email)


def add_second_key(session: Session, customer: Customer, _: Any) -> object:
    return make_customer(session, api_key_digest=customer.api_key_digest, api_key="x")


def decide_twice(session: Session, customer: Customer, agent: Any) -> None:
    proposal = make_recommendation(session, customer, agent)
    for _ in range(2):
        make_approval(session, proposal, status="approved")


def add_second_step(session: Session, customer: Customer, agent: Any) -> None:
    execution = make_execution(session, customer, agent)
    for _ in range(2):
        make_step(session, execution)


def skip_a_status(session: Session, customer: Customer, agent: Any) -> None:
    proposal: Any = make_recommendation(session, customer, agent)
    proposal.status = "completed"
    session.flush()


def delete_what_was_done(session: Session, customer: Customer, agent: Any) -> None:
    proposal = make_recommendation(session, customer, agent)
    session.delete(make_optimization(session, proposal, status="executing"))
    session.flush()


def share_too_much(session: Session, _: Customer, agent: Any) -> None:
    add(session, AgentCapability(agent_id=agent.id, capability_name="c", traffic_ratio=0.5))
    session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))


# Table, column, value and constraint that the error names.
CASES: dict[str, tuple[Break, tuple[str, str | None, str | None, str | None]]] = {
    "null": (
        lambda s, c, a: make_recommendation(s, c, a, title=None),
        ("recommendations", "title", "None", None),
    ),
    "unknown agent": (
        lambda s, c, _: make_event(s, c, agent_id=NOBODY),
        ("events", "agent_id", str(NOBODY), "events_agent_id_fkey"),
    ),
    "unknown recommendation": (
        lambda s, c, a: add(
            s, Optimization(customer_id=c.id, agent_id=a.id, recommendation_id=NOBODY)
        ),
        (
            "optimizations",
            "recommendation_id",
            str(NOBODY),
            "optimizations_recommendation_id_customer_id_fkey",
        ),
    ),
    "email twice": (add_second_email, ("customers", "email", "a@b.example", "customers_email_key")),
    "key twice": (add_second_key, ("customers", "api_key", REDACTED, "customers_api_key_key")),
    "decided twice": (
        decide_twice,
        ("approvals", "approved_by", "boss@example.com", "uq_approval_decided"),
    ),
    "order twice": (
        add_second_step,
        ("workflow_steps", "step_order", "1", "uq_workflow_step_order"),
    ),
    "ends before it begins": (
        lambda s, c, a: make_baseline(s, c, a, valid_until=BEFORE),
        ("quality_baselines", "valid_until", BEFORE.isoformat(), "check_valid_until_order"),
    ),
    "counter below 0": (
        lambda s, _, a: add(
            s,
            AgentMetric(agent_id=a.id, metric_name="m", metric_value=-1, metric_type="counter"),
        ),
        ("agent_metrics", "metric_type", "counter", "check_counter"),
    ),
    "ended without an end": (
        lambda s, c, a: make_execution(s, c, a, status="failed"),
        ("workflow_executions", "status", "failed", "check_completed"),
    ),
    "a change that is none": (
        skip_a_status,
        ("recommendations", "status", "completed", "check_lifecycle_of_recommendations"),
    ),
    "kept for the record": (
        delete_what_was_done,
        ("optimizations", None, None, "guard_optimizations"),
    ),
    "shares": (
        share_too_much,
        ("agent_capabilities", "traffic_ratio", None, "check_capability_shares"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_names_the_place(checked_session: Session, case: str) -> None:
    session, (break_it, expected) = checked_session, CASES[case]
    customer, agent = make_customer(session, email="a@b.example"), make_agent(session)
    with pytest.raises(ConstraintError) as caught, session.begin_nested():
        break_it(session, customer, agent)
    error = caught.value
    assert (error.table, error.column, error.value, error.constraint) == expected
    assert customer.api_key_digest not in str(error)
    assert "INSERT" not in str(error)
    assert session.scalars(select(Customer.email)).one() == "a@b.example"


@pytest.mark.parametrize("table", ["events", "agent_metrics", "resource_metrics"])
def test_a_time_without_a_partition(checked_session: Session, table: str) -> None:
    session = checked_session
    customer, agent = make_customer(session), make_agent(session)
    makers: dict[str, tuple[str, Callable[[], object]]] = {
        "events": ("created_at", lambda: make_event(session, customer, created_at=OUTSIDE)),
        "agent_metrics": (
            "recorded_at",
            lambda: add(
                session,
                AgentMetric(
                    agent_id=agent.id, metric_name="m", metric_value=1, recorded_at=OUTSIDE
                ),
            ),
        ),
        "resource_metrics": (
            "timestamp",
            lambda: make_resource_metric(session, customer, agent, timestamp=OUTSIDE),
        ),
    }
    column, make = makers[table]
    with pytest.raises(TimeOutsideError) as caught, session.begin_nested():
        make()
    assert (caught.value.table, caught.value.column) == (table, column)
    assert "2031-01-01" in (caught.value.value or "")
    assert "create partitions" in caught.value.remedy


def test_the_bad_row_among_many_is_named(checked_session: Session) -> None:
    customer, agent = make_customer(checked_session), make_agent(checked_session)
    rows = [
        {
            "customer_id": customer.id, "agent_id": agent.id, "request_id": f"r{n}",
            "model_name": "m", "model_version": "1", "timestamp": NOW,
            "overall_quality_score": 0.5, "prompt_tokens": 3 - n,
        }
        for n in range(5)
    ]  # fmt: skip
    with pytest.raises(ConstraintError) as caught, checked_session.begin_nested():
        checked_session.execute(insert(QualityMetric), rows)
    assert (caught.value.column, caught.value.value) == ("prompt_tokens", "-1")
    assert caught.value.constraint == "check_prompt_tokens"


def test_which_of_many_values_it_was_is_not_guessed(checked_session: Session) -> None:
    session = checked_session
    proposal = make_recommendation(session, make_customer(session), make_agent(session))
    kind = {"customer_id": proposal.customer_id, "agent_id": proposal.agent_id, "type": "t"}
    rows = [kind | {"id": uuid4(), "title": title} for title in ("a", "b", None)]
    with pytest.raises(ConstraintError) as caught, session.begin_nested():
        session.execute(insert(Recommendation), rows)
    assert (caught.value.column, caught.value.value) == ("title", None)


def test_a_filter_that_no_column_takes(checked_session: Session) -> None:
    with pytest.raises(ConstraintError) as caught, checked_session.begin_nested():
        checked_session.scalars(select(Customer).where(Customer.plan == "gold")).all()
    assert (caught.value.table, caught.value.column) == ("customers", "plan")
    assert caught.value.value == "gold"
    with pytest.raises(ConstraintError, match="NUL"), checked_session.begin_nested():
        checked_session.scalars(select(Customer).where(Customer.name == "a\0b")).all()
    with pytest.raises(ConstraintError, match="out of range"), checked_session.begin_nested():
        checked_session.execute(text("SELECT 1 / (1e300::float4)"))


@pytest.mark.parametrize("kind", ["session", "checked_session"])
def test_only_the_expected_constraint_is_a_conflict(
    request: pytest.FixtureRequest, kind: str
) -> None:
    session = request.getfixturevalue(kind)
    customer = make_customer(session, email="a@b.example")

    def add_again(constraint: str) -> None:
        with conflict_of(session, constraint, problem="It is there.", remedy="Look it up."):
            make_customer(session, email=customer.email)

    with pytest.raises(ConflictError, match=r"It is there\. Look it up\."):
        add_again("customers_email_key")
    with pytest.raises((ConstraintError, IntegrityError)):
        add_again("another_key")
    assert session.scalars(select(Customer.id)).all() == [customer.id]


def test_a_word_that_the_driver_cannot_send(checked_session: Session) -> None:
    word: Any = literal(7, Customer.plan.type)
    with pytest.raises(ConstraintError) as caught, checked_session.begin_nested():
        checked_session.scalars(select(Customer).where(Customer.plan == word)).all()
    assert (caught.value.table, caught.value.column) == ("customers", "plan")


def test_a_programmers_error_stays_one(checked_session: Session) -> None:
    with pytest.raises(DBAPIError, match="syntax"), checked_session.begin_nested():
        checked_session.execute(text("SELECT FROM WHERE"))
    with pytest.raises(StatementError, match="boolean"), checked_session.begin_nested():
        checked_session.execute(select(literal("yes", Boolean())))
    context: Any = SimpleNamespace(original_exception=KeyboardInterrupt(), parameters={})
    assert make_refusal_of(context, name="db") is None


@pytest.mark.parametrize(("key", "value"), [("is_api_key_weak", "yes"), ("created_at", "today")])
def test_a_statement_past_all_checks_names_its_table(
    checked_session: Session, key: str, value: str
) -> None:
    customer = make_customer(checked_session)
    statement = update(Customer).where(Customer.id == customer.id)
    with pytest.raises(ConstraintError) as caught, checked_session.begin_nested():
        checked_session.execute(statement.values({key: value}))
    assert caught.value.table == "customers"


def test_a_transaction_that_was_refused_leaves_nothing_and_the_session_goes_on(
    database: Database,
) -> None:
    with pytest.raises(ConstraintError), database.transaction() as session:
        make_event(session, make_customer(session), agent_id=NOBODY)
    assert session.scalars(select(Customer)).all() == []
    with pytest.raises(ConstraintError), database.transaction() as session:
        make_customer(session, name="x" * 256)
    assert session.scalars(select(Customer)).all() == []
    with database.transaction() as session:
        row = AgentCapability(
            agent_id=make_agent(session).id, capability_name="c", traffic_ratio=0.5
        )
    with pytest.raises(ConstraintError, match="share"), database.transaction() as session:
        add(session, row)  # found when it is committed
    session.close()
    with database.transaction() as session:
        make_customer(session)


def test_a_reading_has_the_same_errors(database: Database) -> None:
    with pytest.raises(ConstraintError, match="NUL") as caught, database.reading() as session:
        session.scalars(select(Customer).where(Customer.name == "a\0b")).all()
    assert "server runs" not in caught.value.remedy


def test_values_stand_in_no_message_of_the_driver_either(database: Database) -> None:
    with pytest.raises(ConstraintError) as caught, database.transaction() as session:
        make_event(session, make_customer(session), agent_id=NOBODY, data={"k": "s3cret"})
    cause: BaseException | None = caught.value
    while cause is not None:
        assert "s3cret" not in str(cause)
        cause = cause.__cause__
