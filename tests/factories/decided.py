"""Recommendations that were approved, and their optimizations, made by the repositories."""

from __future__ import annotations

from sqlalchemy.orm import Session
from tests.factories.core import NOW, make_agent, make_customer
from tests.factories.workflow_history import make_new_recommendation

from optiinfra.database.models import Optimization, Recommendation
from optiinfra.database.repositories import Decisions, Optimizations, Recommendations

DIGEST = "d" * 64


def make_approved(session: Session, *, is_decided: bool = True) -> Recommendation:
    row = Recommendations(session).record(
        make_new_recommendation(evidence_digest=DIGEST),
        customer_id=make_customer(session).id,
        agent_id=make_agent(session).id,
        now=NOW,
    )
    if is_decided:
        row = Decisions(session).approve(row.id, by="first@example.com", now=NOW)
    return row


def make_optimization_of(session: Session, *, is_started: bool = False) -> Optimization:
    """Queued in version 0, or executing in version 1."""
    proposal = make_approved(session)
    optimizations = Optimizations(session)
    row = optimizations.queue(proposal.id, evidence_digest=DIGEST, now=NOW)
    if is_started:
        optimizations.start(row.id, version=0, now=NOW)
    return row
