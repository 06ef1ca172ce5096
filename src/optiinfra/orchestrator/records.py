"""An analysis in the database, and its recommendations out of it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from optiinfra.database.engine import Database
from optiinfra.database.models import (
    AgentType,
    ArtifactType,
    RecommendationPriority,
    RecommendationStatus,
)
from optiinfra.database.models import Recommendation as RecommendationModel
from optiinfra.database.repositories.agents import Agents
from optiinfra.database.repositories.analyses import record_analysis
from optiinfra.database.repositories.artifacts import Artifacts
from optiinfra.database.repositories.customers import Customers
from optiinfra.database.repositories.decisions import Decisions
from optiinfra.database.repositories.new_rows import NewArtifact, NewRecommendation, NewStep
from optiinfra.database.repositories.recommendations import Recommendations
from optiinfra.domain.analysis import Analysis, Recommendation, RecommendationKind
from optiinfra.domain.errors import InputError
from optiinfra.domain.fleet import Fleet
from optiinfra.report.document import to_json
from optiinfra.report.file import write_report

AGENT_NAME = "Cost Optimizer"
AGENT_VERSION = "1"
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """One decision: who, what, when and why."""

    by: str
    status: str
    comment: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RecommendationRow:
    """A stored recommendation; `data` holds its document under `recommendation`."""

    id: UUID
    customer: str
    kind: str
    title: str
    status: str
    priority: str
    created_at: datetime
    confidence_ratio: float
    saving_usd_per_h: Decimal | None
    saving_usd_per_month: Decimal | None
    data: dict[str, Any]
    approvals: tuple[ApprovalRow, ...]


def record(
    database: Database,
    fleet: Fleet,
    analysis: Analysis,
    *,
    times: Mapping[str, tuple[datetime, datetime]],
    report: Path | None,
) -> dict[str, UUID]:
    """Store the analysis and write its report in one transaction; ids by evidence digest.

    `times` are the steps that were done, each from when to when. A report that cannot be written
    rolls the transaction back.
    """
    document = json.loads(to_json(analysis))
    documents = {
        item["evidence"]["digest"]: item
        for deployment in document["deployments"]
        for item in deployment["recommendations"]
    }
    steps = [NewStep(name, start, end) for name, (start, end) in times.items()]
    now = max(step.completed_at for step in steps)
    with database.transaction() as session:
        customer = Customers(session).get_or_create(name=fleet.customer, email=fleet.email, now=now)
        agent = Agents(session).get_or_create(
            type=AgentType.COST, name=AGENT_NAME, version=AGENT_VERSION, now=now
        )
        recorded = record_analysis(
            session,
            customer=customer,
            agent=agent,
            analysis_document=_summarize(document),
            recommendations=[
                _to_new(item, documents[item.evidence.digest]) for item in analysis.recommendations
            ],
            artifacts=[],
            steps=steps,
            now=now,
            input_data=_describe_input(analysis),
        )
        digests = [item.evidence.digest for item in analysis.recommendations]
        stored = [item.id for item in recorded.recommendations]
        ids = dict(zip(digests, stored, strict=True))
        if report is not None:
            artifact = _write_report(report, analysis, ids, now=now)
            Artifacts(session).attach(recorded.execution_id, [artifact], now=now)
    return ids


def list_rows(database: Database, *, status: str | None, limit: int) -> list[RecommendationRow]:
    """The latest recommendations, at most `limit`; raises InputError for an unknown status."""
    wanted = None
    if status is not None:
        try:
            wanted = RecommendationStatus(status.lower())
        except ValueError as error:
            raise InputError(
                f"{status} is not a status.",
                remedy=f"Use one of {', '.join(RecommendationStatus)}.",
                field="--status",
            ) from error
    with database.reading() as session:
        page = Recommendations(session).list_page(status=wanted, limit=limit)
        return [_to_row(item, approvals=()) for item in page.items]


def get_row(database: Database, recommendation_id: str) -> RecommendationRow:
    """One recommendation with its decisions; raises NotFoundError, InputError for a bad id."""
    with database.reading() as session:
        found = Recommendations(session).get(recommendation_id)
        return _to_row(found, approvals=_list_approvals(found))


def decide(
    database: Database,
    recommendation_id: str,
    *,
    by: str,
    is_approved: bool,
    comment: str | None,
    now: datetime,
) -> RecommendationRow:
    """Approve or reject a pending recommendation; raises ConflictError when it is not pending."""
    with database.transaction() as session:
        decisions = Decisions(session)
        choose = decisions.approve if is_approved else decisions.reject
        decided = choose(recommendation_id, by=by, now=now, comment=comment)
        found = Recommendations(session).get(decided.id)
        return _to_row(found, approvals=_list_approvals(found))


def _write_report(
    path: Path, analysis: Analysis, ids: Mapping[str, UUID], *, now: datetime
) -> NewArtifact:
    written = write_report(path, analysis, ids, now=now)
    return NewArtifact(
        type=ArtifactType.REPORT,
        name=path.name,
        path=str(written.path),
        size_bytes=written.size_bytes,
        sha256=written.sha256,
        content_type="text/html",
    )


def _to_new(recommendation: Recommendation, document: dict[str, Any]) -> NewRecommendation:
    is_restoring = recommendation.kind is RecommendationKind.RESTORE_SLO
    monthly = recommendation.saving_usd_per_month
    return NewRecommendation(
        type=recommendation.kind.value,
        title=recommendation.title[:255],
        deployment=recommendation.deployment,
        evidence_digest=recommendation.evidence.digest,
        description=f"{recommendation.confidence_method}. {recommendation.saving_month_note}.",
        estimated_savings=None if monthly is None else monthly.quantize(CENT),
        confidence=recommendation.confidence_ratio,
        priority=RecommendationPriority.HIGH if is_restoring else RecommendationPriority.MEDIUM,
        data={"recommendation": document},
    )


def _describe_input(analysis: Analysis) -> dict[str, Any]:
    return {
        "fleet": analysis.fleet_source,
        "fleet_digest": analysis.fleet_digest,
        "traces": {d.name: d.trace.digest for d in analysis.deployments},
        "seed": analysis.seed,
    }


def _summarize(document: dict[str, Any]) -> dict[str, Any]:
    """The analysis without its hundreds of candidates, of which the count remains."""
    kept = dict(document)
    kept["deployments"] = [
        {
            key: value
            for key, value in deployment.items()
            if key not in ("candidates", "dropped", "needs_quality_test")
        }
        | {"num_candidates": len(deployment["candidates"]) + len(deployment["dropped"])}
        for deployment in document["deployments"]
    ]
    return kept


def _to_row(model: RecommendationModel, *, approvals: tuple[ApprovalRow, ...]) -> RecommendationRow:
    saving = model.data.get("recommendation", {}).get("saving_usd_per_h")
    return RecommendationRow(
        id=model.id,
        customer=model.customer.name,
        kind=model.type,
        title=model.title,
        status=model.status.value,
        priority=model.priority.value,
        created_at=model.created_at,
        confidence_ratio=model.confidence_score,
        saving_usd_per_h=None if saving is None else Decimal(saving),
        saving_usd_per_month=model.estimated_savings,
        data=model.data,
        approvals=approvals,
    )


def _list_approvals(model: RecommendationModel) -> tuple[ApprovalRow, ...]:
    return tuple(
        ApprovalRow(
            by=approval.approved_by,
            status=approval.status.value,
            comment=approval.comment,
            created_at=approval.created_at,
        )
        for approval in sorted(model.approvals, key=lambda approval: approval.created_at)
    )
