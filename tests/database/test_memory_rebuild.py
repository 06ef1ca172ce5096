"""The outcome memory is made again from the records, a version for each time."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from tests.factories.core import (
    NOW,
    make_agent,
    make_approval,
    make_customer,
    make_optimization,
    make_recommendation,
)

from optiinfra.adapters.qdrant import open_embedded_memory
from optiinfra.database.engine import Database
from optiinfra.database.models import AgentType, ApprovalStatus, OptimizationStatus
from optiinfra.domain.memories import (
    Collection,
    CostKnowledge,
    CustomerContext,
    PerformancePattern,
)
from optiinfra.domain.situations import Situation
from optiinfra.orchestrator.remembering import Rebuilt, rebuild
from optiinfra.ports.outcome_memory import Question

HOUR = timedelta(hours=1)
SITUATION = Situation(action="reduce_cost")


def test_everything_that_has_an_outcome_is_remembered(database: Database, tmp_path: Path) -> None:
    with database.transaction() as session:
        customer, other = make_customer(session), make_customer(session)
        cost = make_agent(session)
        tuner = make_agent(session, type=AgentType.PERFORMANCE)
        proposal = make_recommendation(
            session, customer, cost, estimated_savings=Decimal(100), title="Night replicas"
        )
        rolled_back = make_optimization(
            session,
            proposal,
            status=OptimizationStatus.ROLLED_BACK,
            started_at=NOW,
            completed_at=NOW + HOUR,
            rolled_back_at=NOW + 2 * HOUR,
            actual_savings=Decimal(-5),
            error="peak missed",
        )
        tuned = make_recommendation(session, customer, tuner, estimated_improvement=Decimal(2))
        make_optimization(
            session,
            tuned,
            status=OptimizationStatus.COMPLETED,
            started_at=NOW,
            completed_at=NOW + HOUR,
            actual_improvement=Decimal("1.5"),
        )
        make_optimization(session, make_recommendation(session, customer, cost))  # still queued
        unwanted = make_recommendation(session, other, cost)
        make_approval(
            session,
            unwanted,
            status=ApprovalStatus.REJECTED,
            comment="no spot here",
            created_at=NOW,
            updated_at=NOW,
        )
    memory = open_embedded_memory(tmp_path / "memory")
    try:
        counts = {
            "cost_optimization_knowledge": 2,
            "performance_patterns": 1,
            "customer_context": 1,
        }
        assert rebuild(database, memory) == Rebuilt(counts)
        assert rebuild(database, memory) == Rebuilt(counts)

        def ask(
            collection: Collection, hours: float, customer_id: UUID = customer.id
        ) -> list[tuple[UUID, object]]:
            question = Question(
                collection,
                customer_id,
                as_of=NOW + hours * HOUR,
                situation=SITUATION,
            )
            return [(m.memory.id, m.memory.detail) for m in memory.recall(question)]

        knowledge = Collection.COST_OPTIMIZATION_KNOWLEDGE
        reference = str(proposal.id)
        assert ask(knowledge, 0.5) == []
        assert ask(knowledge, 1.5) == [
            (rolled_back.id, CostKnowledge("completed", 100.0, None, reference, None))
        ]
        assert ask(knowledge, 2.5) == [
            (rolled_back.id, CostKnowledge("rolled_back", 100.0, -5.0, reference, "peak missed"))
        ]
        ((_, pattern),) = ask(Collection.PERFORMANCE_PATTERNS, 2)
        assert pattern == PerformancePattern("completed", 2.0, 1.5, str(tuned.id), None)
        assert ask(Collection.CUSTOMER_CONTEXT, 2) == []
        ((_, context),) = ask(Collection.CUSTOMER_CONTEXT, 2, other.id)
        assert context == CustomerContext("rejection", "boss@example.com", str(unwanted.id))
    finally:
        memory.close()
