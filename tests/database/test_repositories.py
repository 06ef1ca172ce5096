"""Customers, agents, events and recommendations: written, found, listed."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session
from tests.factories.core import NOW, make_agent, make_customer, make_recommendation
from tests.factories.workflow_history import make_new_recommendation, make_new_step

from optiinfra.database.models import (
    AgentType,
    EventSeverity,
    Recommendation,
    RecommendationPriority,
    RecommendationStatus,
)
from optiinfra.database.repositories import (
    NAMES,
    Agents,
    Customers,
    Events,
    NewRecommendation,
    NewStep,
    Recommendations,
)
from optiinfra.domain.errors import ConflictError, ConstraintError, InputError, NotFoundError

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - to be refused


def test_a_customer_is_made_once_and_found_in_any_case(session: Session) -> None:
    customers = Customers(session)
    made = customers.get_or_create(name="Acme", email=" Ops@Acme.Example ", now=NOW)
    again = customers.get_or_create(name="Other", email="ops@acme.example", now=NOW)
    assert again.id == made.id
    assert (again.name, again.email) == ("Acme", "ops@acme.example")
    assert customers.find_by_email("OPS@acme.example") is made
    assert customers.find_by_email("nobody@acme.example") is None
    assert made.created_at == NOW


def test_addresses_of_elsewhere_are_found_in_any_case(session: Session) -> None:
    old = make_customer(session, email="Ops@Acme.Example")
    customers = Customers(session)
    assert customers.find_by_email("ops@acme.example") is old
    assert customers.get_or_create(name="n", email="OPS@acme.example", now=NOW) is old
    other = make_customer(session, email="ops@acme.example")
    assert customers.find_by_email("ops@acme.example") is other
    make_customer(session, email="OPS@ACME.example")
    session.delete(other)
    session.flush()
    assert customers.find_by_email("Ops@Acme.Example") is old
    with pytest.raises(ConflictError, match="written in different ways"):
        customers.find_by_email("ops@acme.example")


def test_a_new_customers_key_is_a_digest_of_its_own(session: Session) -> None:
    customers = Customers(session)
    keys = {
        customers.get_or_create(name="n", email=f"{i}@acme.example", now=NOW).api_key_digest
        for i in range(3)
    }
    assert len(keys) == 3
    assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in keys)


@pytest.mark.parametrize(
    "text", ["", "bob", "bob@", "@acme.com", "a b@acme.com", "a@b", "a@b..c", "x" * 250 + "@b.com"]
)
def test_what_is_no_email_is_refused(session: Session, text: str) -> None:
    with pytest.raises(InputError, match="email address") as caught:
        Customers(session).get_or_create(name="n", email=text, now=NOW)
    assert caught.value.field == "email"


def test_an_agent_is_made_once_and_carries_the_version_that_runs(session: Session) -> None:
    agents = Agents(session)
    name = NAMES[AgentType.COST]
    made = agents.get_or_create(type=AgentType.COST, name=name, version="0.1.0", now=NOW)
    assert (made.name, made.version, made.updated_at) == ("Cost Optimizer", "0.1.0", NOW)
    later = NOW + timedelta(days=1)
    same = agents.get_or_create(type=AgentType.COST, name=name, version="0.1.0", now=later)
    assert (same.id, same.updated_at) == (made.id, NOW)
    newer = agents.get_or_create(type=AgentType.COST, name=name, version="0.2.0", now=later)
    assert (newer.id, newer.version, newer.updated_at) == (made.id, "0.2.0", later)


def test_events_come_latest_first_and_bounded(session: Session) -> None:
    customer, other = make_customer(session), make_customer(session)
    events = Events(session)
    for i in range(4):
        at = NOW + timedelta(seconds=i)
        events.record(f"e{i}", customer_id=customer.id, agent_id=None, data={"i": i}, now=at)
    events.record(
        "not_ours",
        customer_id=other.id,
        agent_id=None,
        data={},
        now=NOW,
        severity=EventSeverity.ERROR,
    )
    latest = events.list_page(customer_id=customer.id, limit=3).items
    assert [event.event_type for event in latest] == ["e3", "e2", "e1"]


def test_a_recommendation_is_written_whole(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    execution_id = uuid4()
    new = make_new_recommendation(
        description="why",
        estimated_savings=Decimal("10.005"),
        estimated_improvement=Decimal("1.1"),
        priority=RecommendationPriority.HIGH,
        data={"change": [1, 2]},
    )
    row = Recommendations(session).record(
        new,
        customer_id=customer.id,
        agent_id=agent.id,
        now=NOW,
        analysis_execution_id=execution_id,
    )
    session.expire_all()
    assert row.status is RecommendationStatus.PENDING
    assert row.estimated_savings == Decimal("10.00")  # half to even
    assert row.data == {
        "change": [1, 2],
        "analysis_execution_id": str(execution_id),
        "deployment": "chat",
        "evidence_digest": "d" * 64,
    }
    assert (row.created_at, row.updated_at, row.approved_at) == (NOW, NOW, None)
    (event,) = Events(session).list_page(customer_id=customer.id).items
    assert event.event_type == "recommendation_created"
    assert event.data["recommendation_id"] == str(row.id)


def test_an_unknown_saving_stays_unknown(session: Session) -> None:
    row = Recommendations(session).record(
        make_new_recommendation(estimated_savings=None),
        customer_id=make_customer(session).id,
        agent_id=make_agent(session).id,
        now=NOW,
    )
    session.expire_all()
    assert row.estimated_savings is None


@pytest.mark.parametrize(
    ("overrides", "column"),
    [
        ({"confidence": 1.5}, "confidence_score"),
        ({"confidence": float("nan")}, "confidence_score"),
        ({"estimated_savings": Decimal("1E8")}, "estimated_savings"),
        ({"estimated_savings": Decimal("NaN")}, "estimated_savings"),
        ({"title": ""}, "title"),
        ({"title": "x" * 256}, "title"),
        ({"deployment": ""}, "data"),
        ({"evidence_digest": ""}, "evidence_digest"),
        ({"data": {"deployment": "other"}}, "data"),
    ],
)
def test_a_recommendation_that_cannot_be_stored_is_not_built(
    overrides: dict[str, object], column: str
) -> None:
    with pytest.raises(ConstraintError) as caught:
        make_new_recommendation(**overrides)
    assert (caught.value.table, caught.value.column) == ("recommendations", column)


def test_a_step_that_ends_before_it_starts_is_not_built() -> None:
    with pytest.raises(ConstraintError, match="before the step started"):
        make_new_step(completed_at=NOW - timedelta(days=1))
    with pytest.raises(ConstraintError, match="no time zone"):
        NewStep(name="s", started_at=NAIVE, completed_at=NOW)


def test_a_recommendation_is_found_by_its_first_digits(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    ids = [UUID(f"{prefix}-0000-4000-8000-000000000000") for prefix in ("aaaaaaaa", "aaaaaaab")]
    ids.append(UUID("aaaaaaab-1000-4000-8000-000000000000"))
    for id_ in ids:
        make_recommendation(session, customer, agent, id=id_)
    recommendations = Recommendations(session)
    assert recommendations.get("AAAAAAAA").id == ids[0]
    assert recommendations.get(ids[1]).id == ids[1]
    assert recommendations.get(str(ids[1])).id == ids[1]
    assert recommendations.get("aaaaaaab-1").id == ids[2]
    with pytest.raises(InputError, match="Several recommendations begin with aaaaaaab"):
        recommendations.get("aaaaaaab")
    with pytest.raises(NotFoundError, match="no recommendation bbbbbbbb"):
        recommendations.get("bbbbbbbb")
    for unreadable in ("aaaaaaa", "xyzxyzxyz", ""):
        with pytest.raises(InputError, match="cannot be read") as caught:
            recommendations.get(unreadable)
        assert caught.value.field == "id"


def test_a_recommendation_of_another_customer_is_not_found(session: Session) -> None:
    customer, other = make_customer(session), make_customer(session)
    row = make_recommendation(session, customer, make_agent(session))
    recommendations = Recommendations(session)
    assert recommendations.get(row.id, customer_id=customer.id).id == row.id
    with pytest.raises(NotFoundError):
        recommendations.get(row.id, customer_id=other.id)


def test_pages_follow_each_other_without_gap_or_repeat(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    # Three at each instant, so that only the id tells them apart.
    made = [
        make_recommendation(session, customer, agent, created_at=NOW + timedelta(hours=i // 3))
        for i in range(10)
    ]
    expected = sorted(made, key=lambda row: (row.created_at, row.id), reverse=True)
    recommendations = Recommendations(session)
    seen: list[Recommendation] = []
    cursor = None
    for size in (4, 4, 2):
        page = recommendations.list_page(limit=4, after=cursor)
        assert len(page.items) == size
        seen += page.items
        cursor = page.next_cursor
    assert cursor is None
    assert seen == expected


def test_a_list_can_be_narrowed_and_never_exceeds_its_bound(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, agent = make_customer(session), make_customer(session), make_agent(session)
    rejected = make_recommendation(session, first, agent, status=RecommendationStatus.REJECTED)
    make_recommendation(session, first, agent)
    make_recommendation(session, second, agent)
    recommendations = Recommendations(session)
    assert len(recommendations.list_page().items) == 3
    assert len(recommendations.list_page(customer_id=first.id).items) == 2
    narrowed = recommendations.list_page(customer_id=first.id, status=RecommendationStatus.REJECTED)
    assert [row.id for row in narrowed.items] == [rejected.id]
    assert len(recommendations.list_page(limit=0).items) == 1
    monkeypatch.setattr("optiinfra.database.repositories.pages.MAX_PAGE", 2)
    assert len(recommendations.list_page(limit=10**9).items) == 2


def test_only_what_was_named_is_loaded(session: Session) -> None:
    row = make_recommendation(session, make_customer(session), make_agent(session))
    session.expunge_all()
    found = Recommendations(session).get(row.id)
    assert (found.customer.name, found.approvals) == ("Acme", [])
    with pytest.raises(InvalidRequestError, match="raise"):
        _ = found.agent
    with pytest.raises(InvalidRequestError, match="raise"):
        _ = found.customer.api_key_digest


def test_new_recommendations_say_what_they_are() -> None:
    new = NewRecommendation(type="t", title="t", deployment="d", evidence_digest="e")
    assert new.estimated_savings is None
    assert new.data == {}
