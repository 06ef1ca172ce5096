"""The seeds written, once."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from optiinfra.database import models
from optiinfra.database.models import Agent, AgentType, Base, Customer
from optiinfra.database.repositories.agents import NAMES
from optiinfra.database.repositories.turns import take_turn
from optiinfra.database.seeds import agent_rows, core_rows, history_rows
from optiinfra.database.seeds.marks import NOW, SIMULATED, Row, make_id
from optiinfra.domain.errors import ConflictError


def seed(session: Session, *, is_beside_others: bool = False) -> dict[str, int]:
    """Write the seeds that are missing; how many rows of each table were written.

    Rows that are there stay as they are, whatever they say now. It inserts by fixed ids and past
    the repositories, which make ids and times of their own. Raises ConflictError where customers
    are that are no seeds, unless `is_beside_others`.
    """
    take_turn(session, "seed")
    if not is_beside_others:
        _refuse_others(session)
    written = {"customers": _write(session, Customer, core_rows.make_customers())}
    written["agents"] = _write(session, Agent, _make_agents(), index="uq_agent_type_name")
    agents = _find_agents(session)
    tables: tuple[tuple[type[Base], list[Row]], ...] = (
        (models.Event, core_rows.make_events(agents)),
        (models.Recommendation, core_rows.make_recommendations(agents)),
        (models.Approval, core_rows.make_approvals()),
        (models.Optimization, core_rows.make_optimizations(agents)),
        (models.WorkflowExecution, history_rows.make_executions(agents)),
        (models.WorkflowStep, history_rows.make_steps()),
        (models.WorkflowArtifact, history_rows.make_artifacts()),
        (models.AgentConfig, agent_rows.make_configs(agents)),
        (models.AgentState, agent_rows.make_states(agents)),
        (models.AgentCapability, agent_rows.make_capabilities(agents)),
        (models.AgentMetric, agent_rows.make_metrics(agents)),
        (models.ResourceMetric, history_rows.make_resource_metrics(agents)),
        (models.ScalingEvent, history_rows.make_scaling_events(agents)),
        (models.QualityMetric, history_rows.make_quality_metrics(agents)),
        (models.QualityBaseline, history_rows.make_baselines(agents)),
        (models.QualityRegression, history_rows.make_regressions(agents)),
    )
    for model, rows in tables:
        written[model.__tablename__] = _write(session, model, rows)
    return written


def _refuse_others(session: Session) -> None:
    query = select(func.count()).where(Customer.id.not_in(core_rows.CUSTOMERS))
    if number := session.scalar(query):
        raise ConflictError(
            f"The database has {number} customers that are not examples.",
            remedy="Seed an empty database, or say that the examples may stand beside them.",
        )


def _make_agents() -> list[Row]:
    return [
        {
            "id": make_id("agents", type_),
            "type": type_,
            "name": name,
            "version": "1",
            "status": "healthy",
            "agent_metadata": SIMULATED,
            "last_heartbeat": NOW,
            "created_at": NOW,
            "updated_at": NOW,
        }
        for type_, name in NAMES.items()
    ]


def _find_agents(session: Session) -> dict[AgentType, UUID]:
    """Ids of the product's agents, which may have been registered before."""
    query = select(Agent.type, Agent.id).where(Agent.name.in_(NAMES.values()))
    return dict(session.execute(query).all())


def _write(
    session: Session, model: type[Base], rows: list[Row], *, index: str | None = None
) -> int:
    statement = insert(model).values(rows)
    if index is not None:
        statement = statement.on_conflict_do_nothing(constraint=index)
    else:
        statement = statement.on_conflict_do_nothing()
    return len(session.execute(statement.returning(model.__table__.c.id)).all())
