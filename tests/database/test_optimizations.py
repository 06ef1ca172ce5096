"""Optimizations: queued once, of what was approved, and moved together with what they carry out."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from tests.factories.core import NOW
from tests.factories.decided import DIGEST, make_approved, make_optimization_of

from optiinfra.database.engine import Role, set_role
from optiinfra.database.models import (
    ApprovalStatus,
    EventSeverity,
    OptimizationStatus,
    RecommendationStatus,
)
from optiinfra.database.repositories import (
    Approvals,
    Decisions,
    Events,
    Optimizations,
    Recommendations,
)
from optiinfra.domain.errors import ConflictError, ConstraintError, NotFoundError

LATER = NOW + timedelta(hours=1)


def test_an_optimization_goes_its_way_with_its_recommendation(session: Session) -> None:
    proposal = make_approved(session)
    set_role(session, role=Role.APP, customer_id=proposal.customer_id)
    optimizations = Optimizations(session)
    row = optimizations.queue(proposal.id, evidence_digest=DIGEST, now=NOW)
    assert (row.status, row.version, row.evidence_digest) == ("queued", 0, DIGEST)
    assert (row.customer_id, row.agent_id) == (proposal.customer_id, proposal.agent_id)
    set_role(session, role=Role.WORKER, customer_id=None)
    assert optimizations.start(row.id, version=0, now=NOW) == 1
    assert Recommendations(session).get(proposal.id).executed_at == NOW
    assert optimizations.record_progress(row.id, version=1, progress=40, now=NOW) == 2
    saved = Decimal("12.34")
    done = optimizations.complete(
        row.id, version=2, result={"k": 1}, actual_savings=saved, now=LATER
    )
    found, moved = optimizations.get(row.id), Recommendations(session).get(proposal.id)
    assert (found.status, found.version, done, found.progress) == ("completed", 3, 3, 100)
    assert (found.started_at, found.completed_at) == (NOW, LATER)
    assert (found.actual_savings, found.actual_improvement) == (saved, None)
    assert (moved.status, moved.version) == (RecommendationStatus.COMPLETED, 3)
    events = Events(session).list_page(customer_id=proposal.customer_id).items
    changes = sorted(
        (event.event_type, event.data["from"], event.data["to"])
        for event in events
        if "to" in event.data
    )
    assert changes == [
        ("optimization_completed", "executing", "completed"),
        ("optimization_executing", "queued", "executing"),
        ("optimization_queued", None, "queued"),
        ("recommendation_approved", "pending", "approved"),
        ("recommendation_completed", "executing", "completed"),
        ("recommendation_executing", "approved", "executing"),
    ]
    assert {e.data["evidence_digest"] for e in events} == {DIGEST}


def test_what_fails_before_it_began_can_be_queued_again(session: Session) -> None:
    row = make_optimization_of(session)
    optimizations = Optimizations(session)
    assert optimizations.fail(row.id, version=0, error="its lease ended", now=LATER) == 1
    proposal = Recommendations(session).get(row.recommendation_id)
    assert proposal.status is RecommendationStatus.APPROVED
    assert optimizations.find_live(proposal.id) is None
    again = optimizations.queue(proposal.id, evidence_digest=DIGEST, now=LATER)
    live = optimizations.find_live(proposal.id)
    assert live is not None
    assert live.id == again.id


@pytest.mark.parametrize(
    ("verb", "status", "severity"),
    [("fail", "failed", EventSeverity.ERROR), ("roll_back", "rolled_back", EventSeverity.WARNING)],
)
def test_what_went_wrong_says_why(
    session: Session, verb: str, status: str, severity: EventSeverity
) -> None:
    row = make_optimization_of(session, is_started=True)
    getattr(Optimizations(session), verb)(row.id, version=1, error="latency rose", now=LATER)
    found = Optimizations(session).get(row.id)
    assert (found.status.value, found.error, found.completed_at) == (status, "latency rose", LATER)
    assert found.rolled_back_at == (LATER if verb == "roll_back" else None)
    events = Events(session).list_page(
        customer_id=row.customer_id, event_type=f"optimization_{status}", severity=severity
    )
    assert len(events.items) == 1


def test_only_one_is_live(session: Session) -> None:
    row = make_optimization_of(session)
    with pytest.raises(ConflictError, match="is being carried out already"):
        Optimizations(session).queue(row.recommendation_id, evidence_digest=DIGEST, now=NOW)
    assert len(Optimizations(session).list_page(customer_id=row.customer_id).items) == 1


def test_only_what_was_approved_with_that_digest_is_queued(session: Session) -> None:
    optimizations, other = Optimizations(session), "e" * 64
    proposal = make_approved(session)
    pending = make_approved(session, is_decided=False)
    with pytest.raises(ConflictError, match="is pending, not approved"):
        optimizations.queue(pending.id, evidence_digest=DIGEST, now=NOW)
    with pytest.raises(ConflictError, match=f"not approved with the evidence {other}"):
        optimizations.queue(proposal.id, evidence_digest=other, now=NOW)
    with pytest.raises(NotFoundError):
        optimizations.queue(uuid4(), evidence_digest=DIGEST, now=NOW)
    with pytest.raises(ConstraintError, match=r"optimizations\.evidence_digest"):
        optimizations.queue(proposal.id, evidence_digest="d" * 65, now=NOW)
    # The proposal was changed after somebody said yes to it.
    session.execute(text("UPDATE recommendations SET evidence_digest = :d"), {"d": other})
    with pytest.raises(ConflictError, match="not approved with the evidence"):
        optimizations.queue(proposal.id, evidence_digest=other, now=NOW)


def test_a_version_that_was_not_the_last_changes_nothing(session: Session) -> None:
    row = make_optimization_of(session, is_started=True)
    optimizations = Optimizations(session)
    with pytest.raises(ConflictError, match="is executing in version 1; from version 0"):
        optimizations.complete(row.id, version=0, result={}, now=NOW)
    with pytest.raises(ConflictError, match="is executing in version 1; from version 7"):
        optimizations.record_progress(row.id, version=7, progress=1, now=NOW)
    assert optimizations.get(row.id).status is OptimizationStatus.EXECUTING


@pytest.mark.parametrize("progress", [-1, 101])
def test_progress_is_a_percentage(session: Session, progress: int) -> None:
    row = make_optimization_of(session, is_started=True)
    with pytest.raises(ConstraintError) as caught:
        Optimizations(session).record_progress(row.id, version=1, progress=progress, now=NOW)
    assert (caught.value.table, caught.value.column) == ("optimizations", "progress")
    assert caught.value.value == str(progress)


def test_what_is_not_there(session: Session) -> None:
    for call in (
        lambda: Optimizations(session).get(uuid4()),
        lambda: Optimizations(session).start(uuid4(), version=0, now=NOW),
        lambda: Optimizations(session).record_progress(uuid4(), version=0, progress=1, now=NOW),
    ):
        with pytest.raises(NotFoundError):
            call()


def test_optimizations_come_in_pages(session: Session) -> None:
    row = make_optimization_of(session)
    optimizations = Optimizations(session)
    optimizations.fail(row.id, version=0, error="e", now=NOW)
    optimizations.queue(row.recommendation_id, evidence_digest=DIGEST, now=LATER)
    page = optimizations.list_page(customer_id=row.customer_id, limit=1)
    assert [o.created_at for o in page.items] == [LATER]
    rest = optimizations.list_page(
        customer_id=row.customer_id, status=OptimizationStatus.FAILED, after=page.next_cursor
    )
    assert [o.id for o in rest.items] == [row.id]


def test_who_was_asked_decides_in_the_approval_that_was_asked_for(session: Session) -> None:
    proposal = make_approved(session, is_decided=False)
    approvals = Approvals(session)
    asked = approvals.ask(proposal, of=" A@Example.com", now=NOW)
    approvals.ask(proposal, of="b@example.com", now=LATER)
    Decisions(session).approve(proposal.id, by="a@example.com", now=LATER, comment="go")
    rows = approvals.list_page(recommendation_id=proposal.id).items
    assert [(row.approved_by, row.status) for row in rows] == [
        ("a@example.com", ApprovalStatus.APPROVED),
        ("b@example.com", ApprovalStatus.PENDING),
    ]
    session.refresh(asked)
    assert (asked.comment, asked.updated_at, asked.evidence_digest) == ("go", LATER, DIGEST)


def test_a_comment_that_cannot_be_stored_decides_nothing(session: Session) -> None:
    proposal = make_approved(session, is_decided=False)
    with pytest.raises(ConstraintError) as caught:
        Decisions(session).reject(proposal.id, by="a@example.com", comment="a\0", now=NOW)
    assert (caught.value.table, caught.value.column) == ("approvals", "comment")
    assert Recommendations(session).get(proposal.id).status is RecommendationStatus.PENDING
