"""No repository takes an instant that does not say when it was: each names table and column."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session
from tests.factories.decided import DIGEST
from tests.factories.workflow_history import make_new_artifact, make_new_recommendation

from optiinfra.database import repositories
from optiinfra.database.models import (
    AgentStatus,
    AgentStatusDetail,
    AgentType,
    ApprovalStatus,
    Base,
    BaselineType,
    Customer,
    QualityBaseline,
    Recommendation,
    RegressionAction,
    RegressionSeverity,
    RegressionType,
    ScalingEventType,
    WorkflowType,
)
from optiinfra.domain.errors import ConstraintError

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - to be refused
NOW = NAIVE.replace(tzinfo=UTC)
INSTANTS = ("now", "start", "end")
SOMEBODY = UUID("00000000-0000-4000-8000-000000000000")
LEASE = repositories.Lease(SOMEBODY, SOMEBODY, "a", 1, NOW)
NEW: dict[str, Any] = {
    "Recommendations": make_new_recommendation(),
    "QualityBaselines": repositories.NewBaseline("m", "1", BaselineType.INITIAL, 1, 0.5),
    "QualityRegressions": repositories.NewRegression(
        RegressionType.QUALITY_DROP, RegressionSeverity.LOW, "m", 0.5, 0.4, 1
    ),
    "ScalingEvents": repositories.NewScaling(ScalingEventType.SCALE_UP, "r", {}, {}),
}
# By name of the parameter; what is not here has a default, or is new and wants a line.
FILLERS: dict[str, Any] = {
    "customer": Customer(id=SOMEBODY),
    "baseline": QualityBaseline(id=SOMEBODY, customer_id=SOMEBODY, agent_id=SOMEBODY),
    "recommendation": Recommendation(id=SOMEBODY, customer_id=SOMEBODY),
    "lease": LEASE,
    "leases": [LEASE],
    "owner": "a",
    "duration": timedelta(minutes=1),
    "width": timedelta(minutes=1),
    "steps": [repositories.PlannedStep("s")],
    "artifacts": [make_new_artifact()],
    "evidence_digest": DIGEST,
    "by": "a@example.com",
    "of": "a@example.com",
    "email": "a@example.com",
    "verdict": ApprovalStatus.APPROVED,
    "action": RegressionAction.AUTO_FIXED,
    "seen": AgentStatus.HEALTHY,
    "progress": 1,
    "version": 0,
    "actual_savings": Decimal(1),
    "key": "k",
    "value": 1,
    "type_name": "integer",
    "capabilities": [],
    "endpoint": None,
    "comment": None,
    "agent_id": SOMEBODY,
}
BY_METHOD: dict[str, dict[str, Any]] = {
    "Agents.get_or_create": {"type": AgentType.COST, "version": "1"},
    "Agents.register": {"type": AgentType.COST, "version": "1"},
    "Agents.set_status": {"status": AgentStatus.FAILED},
    "AgentStates.set_status": {"status": AgentStatusDetail.BUSY},
    "AgentStates.record_error": {"error": {}},
    "Executions.create": {"type": WorkflowType.HEALTH_CHECK},
    "Executions.start": {"type": WorkflowType.HEALTH_CHECK},
}


def list_calls() -> Iterator[tuple[str, str]]:
    """Every public method of every repository with a parameter that is an instant, and which."""
    for name in repositories.__all__:
        kind = getattr(repositories, name)
        is_repository = inspect.isclass(kind) and "session" in inspect.signature(kind).parameters
        for method in vars(kind) if is_repository else ():
            if method.startswith("_"):
                continue
            for parameter in inspect.signature(getattr(kind, method)).parameters:
                if parameter in INSTANTS:
                    yield f"{name}.{method}", parameter


CALLS = sorted(list_calls())


def fill(call: str, name: str) -> Any:
    is_id = name.endswith("_id") or name == "id"
    is_document = name in {"data", "input_data", "output_data", "result", "error_details"}
    other: Any = SOMEBODY if is_id else {} if is_document else NOW if name in INSTANTS else "text"
    own = BY_METHOD.get(call, {}) | {"new": NEW.get(call.split(".", maxsplit=1)[0])}
    return (FILLERS | own).get(name, other)


def test_there_are_repositories_to_try() -> None:
    assert len(CALLS) > 45


@pytest.mark.parametrize(("call", "instant"), CALLS, ids=[f"{c}-{i}" for c, i in CALLS])
def test_a_naive_instant_is_refused(call: str, instant: str) -> None:
    kind, method = call.split(".")
    session = Session()  # of no database: nothing can be sent
    bound = getattr(getattr(repositories, kind)(session), method)
    arguments = {
        parameter.name: fill(call, parameter.name)
        for parameter in inspect.signature(bound).parameters.values()
        if parameter.default is inspect.Parameter.empty
    }
    with pytest.raises(ConstraintError, match="no time zone") as caught:
        bound(**arguments | {instant: NAIVE})
    assert caught.value.table is not None
    assert caught.value.column is not None
    assert caught.value.column in Base.metadata.tables[caught.value.table].columns
    assert caught.value.value == NAIVE.isoformat()
    assert not session.new
