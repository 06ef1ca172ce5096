"""The main job from files to rows and report, on a real PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select
from tests.factories.fleet import make_conversation, make_fleet
from tests.scenarios.files import Files

import optiinfra
from optiinfra.bootstrap import (
    AnalysisOutcome,
    decide_recommendation,
    get_recommendation,
    list_recommendations,
    run_analysis,
)
from optiinfra.database.engine import Database
from optiinfra.database.models import (
    Agent,
    Approval,
    Customer,
    Event,
    Recommendation,
    WorkflowArtifact,
    WorkflowExecution,
    WorkflowStep,
)
from optiinfra.domain.analysis import Analysis, CalibrationState
from optiinfra.domain.errors import ConflictError, InputError, NotFoundError, SLOInfeasibleError
from optiinfra.domain.measurement import Measurement
from optiinfra.report.document import from_json, to_json
from optiinfra.settings import Settings

TABLES = (
    Customer,
    Agent,
    Recommendation,
    Approval,
    Event,
    WorkflowExecution,
    WorkflowStep,
    WorkflowArtifact,
)


def count_rows(database: Database) -> dict[str, int]:
    with database.reading() as session:
        return {
            table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0
            for table in TABLES
        }


def get_only_id(outcome: AnalysisOutcome) -> UUID:
    (identifier,) = outcome.recommendation_ids.values()
    return identifier


def test_an_analysis_is_kept_whole(files: Files, settings: Settings, database: Database) -> None:
    outcome = run_analysis(files.make_request(), settings=settings)
    (recommendation,) = outcome.analysis.recommendations
    assert recommendation.title == "Serve chat with 2 instead of 4 replicas on H100-SXM"
    assert outcome.report == files.report
    assert count_rows(database) == {
        "customers": 1,
        "agents": 1,
        "recommendations": 1,
        "approvals": 0,
        "events": 2,
        "workflow_executions": 1,
        "workflow_steps": 2,
        "workflow_artifacts": 1,
    }
    with database.reading() as session:
        customer = session.scalars(select(Customer)).one()
        assert (customer.name, customer.email) == ("Example Company", "platform@example.com")
        agent = session.scalars(select(Agent)).one()
        assert (agent.type.value, agent.name) == ("cost", "Cost Optimizer")
        execution = session.scalars(select(WorkflowExecution)).one()
        assert (execution.workflow_type.value, execution.status.value) == (
            "cost_analysis",
            "completed",
        )
        assert execution.input_data["fleet_digest"] == outcome.analysis.fleet_digest
        assert execution.input_data["traces"] == {
            "chat": outcome.analysis.deployments[0].trace.digest
        }
        steps = session.scalars(select(WorkflowStep).order_by(WorkflowStep.step_order)).all()
        assert [step.step_name for step in steps] == ["read_inputs", "simulate"]
        assert all(step.started_at <= step.completed_at for step in steps)  # type: ignore[operator]
        events = session.scalars(select(Event.event_type)).all()
        assert "recommendation_created" in events


def test_the_stored_recommendation_is_the_one_computed(files: Files, settings: Settings) -> None:
    outcome = run_analysis(files.make_request(), settings=settings)
    (recommendation,) = outcome.analysis.recommendations
    (row,) = list_recommendations(settings=settings, status="pending", limit=10)
    assert row == replace(
        get_recommendation(settings=settings, recommendation_id=str(row.id)), approvals=()
    )
    assert row.id == outcome.recommendation_ids[recommendation.evidence.digest]
    assert (row.kind, row.status, row.priority) == ("reduce_cost", "pending", "medium")
    assert row.saving_usd_per_h == recommendation.saving_usd_per_h
    assert row.saving_usd_per_month is None
    assert row.confidence_ratio == recommendation.confidence_ratio
    stored = row.data["recommendation"]
    assert stored["evidence"]["digest"] == recommendation.evidence.digest
    assert stored["change"] == [{"flag": "replicas", "before": "4", "after": "2"}]
    assert stored["inverse"] == [{"flag": "replicas", "before": "2", "after": "4"}]


def test_the_report_on_disk_is_the_one_recorded(
    files: Files, settings: Settings, database: Database
) -> None:
    outcome = run_analysis(files.make_request(), settings=settings)
    page = files.report.read_bytes()
    assert str(get_only_id(outcome))[:8] in page.decode()
    with database.reading() as session:
        artifact = session.scalars(select(WorkflowArtifact)).one()
        assert artifact.artifact_metadata["sha256"] == hashlib.sha256(page).hexdigest()
        assert artifact.artifact_path == str(files.report)
        assert artifact.artifact_size_bytes == len(page)
        assert artifact.content_type == "text/html"


def test_the_same_analysis_again_proposes_nothing_twice(
    files: Files, settings: Settings, database: Database
) -> None:
    first = run_analysis(files.make_request(), settings=settings)
    second = run_analysis(files.make_request(), settings=settings)
    assert second.recommendation_ids == first.recommendation_ids
    assert to_json(second.analysis) == to_json(first.analysis)
    rows = count_rows(database)
    assert (rows["recommendations"], rows["workflow_executions"]) == (1, 2)
    assert (rows["customers"], rows["agents"]) == (1, 1)
    other_seed = run_analysis(replace(files.make_request(), seed=1), settings=settings)
    assert other_seed.recommendation_ids.keys().isdisjoint(first.recommendation_ids)


@pytest.mark.parametrize("is_first_approved", [True, False])
@pytest.mark.parametrize("is_second_approved", [True, False])
def test_what_was_decided_is_not_decided_again(
    files: Files,
    settings: Settings,
    database: Database,
    *,
    is_first_approved: bool,
    is_second_approved: bool,
) -> None:
    outcome = run_analysis(files.make_request(), settings=settings)
    identifier = str(get_only_id(outcome))

    def decide(*, is_approved: bool) -> str:
        row = decide_recommendation(
            settings=settings,
            recommendation_id=identifier,
            by="boss@example.com",
            is_approved=is_approved,
            comment="as discussed",
        )
        return row.status

    status = "approved" if is_first_approved else "rejected"
    assert decide(is_approved=is_first_approved) == status
    kept = count_rows(database)
    with pytest.raises(ConflictError):
        decide(is_approved=is_second_approved)
    assert count_rows(database) == kept
    row = get_recommendation(settings=settings, recommendation_id=identifier[:8])
    assert row.status == status
    assert [(a.by, a.status, a.comment) for a in row.approvals] == [
        ("boss@example.com", status, "as discussed")
    ]
    assert list_recommendations(settings=settings, status="pending", limit=10) == []


def test_a_decision_on_nothing_is_refused(settings: Settings) -> None:
    with pytest.raises(NotFoundError):
        decide_recommendation(
            settings=settings,
            recommendation_id="0198c1f2",
            by="boss@example.com",
            is_approved=True,
            comment=None,
        )
    with pytest.raises(InputError, match="finished is not a status"):
        list_recommendations(settings=settings, status="finished", limit=10)


def break_slo(files: Files) -> Any:
    files.write_fleet(tpot_s=0.001)
    return files.make_request()


def break_folder(files: Files) -> Any:
    return replace(files.make_request(), report=files.folder / "nowhere" / "report.html")


def break_trace(files: Files) -> Any:
    files.trace.write_text("arrival_s,prompt_tokens,output_tokens\n0,10,-1\n")
    return files.make_request()


@pytest.mark.parametrize(
    ("break_input", "error"),
    [(break_slo, SLOInfeasibleError), (break_folder, InputError), (break_trace, InputError)],
)
def test_an_error_keeps_nothing(
    files: Files,
    settings: Settings,
    database: Database,
    break_input: Callable[[Files], Any],
    error: type[InputError],
) -> None:
    request = break_input(files)
    before = sorted(files.folder.iterdir())
    with pytest.raises(error):
        run_analysis(request, settings=settings)
    assert set(count_rows(database).values()) == {0}
    assert sorted(files.folder.iterdir()) == before


def test_a_report_that_cannot_be_is_refused_before_anything_is_simulated(
    files: Files, settings: Settings
) -> None:
    seen: list[str] = []
    with pytest.raises(InputError, match="report"):
        run_analysis(
            break_folder(files),
            settings=settings,
            progress=lambda phase, *_: seen.append(phase),
        )
    assert seen == []


def test_a_disagreement_keeps_nothing(files: Files, settings: Settings, database: Database) -> None:
    files.write_disagreeing_measurement()
    request = replace(files.make_request(), measured=str(files.measured))
    outcome = run_analysis(request, settings=settings)
    truth = outcome.analysis.deployments[0].truth
    assert truth.state is CalibrationState.DISAGREES
    assert truth.likely_causes
    assert outcome.analysis.recommendations == ()
    assert (outcome.report, outcome.recommendation_ids) == (None, {})
    assert set(count_rows(database).values()) == {0}
    assert not files.report.exists()


def test_a_recommended_fleet_is_left_alone(
    files: Files, settings: Settings, database: Database
) -> None:
    files.write_fleet(replicas=2)
    outcome = run_analysis(files.make_request(), settings=settings)
    assert outcome.recommendation_ids == {}
    assert outcome.analysis.deployments[0].no_recommendation_reason is not None
    assert files.report.exists()  # an answer all the same, and kept
    rows = count_rows(database)
    assert (rows["recommendations"], rows["workflow_executions"]) == (0, 1)


def test_without_storing_there_is_a_report_and_no_database(files: Files, tmp_path: Path) -> None:
    unused = Settings(data_dir=tmp_path / "data")
    request = replace(files.make_request(), is_stored=False)
    outcome = run_analysis(request, settings=unused)
    assert outcome.recommendation_ids == {}
    assert files.report.exists()
    assert not unused.data_dir.exists()


def test_from_python_with_paths_and_with_values(files: Files) -> None:
    by_path = optiinfra.analyze(files.fleet, files.trace)
    assert isinstance(by_path, Analysis)
    assert to_json(optiinfra.analyze(str(files.fleet), str(files.trace))) == to_json(by_path)
    assert from_json(to_json(by_path)) == by_path
    assert sorted(path.name for path in files.folder.iterdir()) == ["fleet.yaml", "requests.csv"]
    trace = make_conversation(4.0, num_requests=400)
    by_value = optiinfra.analyze(make_fleet(), trace, num_workers=1)
    assert len(by_value.recommendations) == 1
    measured = Measurement(source="m", tpot_s_mean=0.5, rate_per_s=trace.rate_per_s)
    disagreeing = optiinfra.analyze(make_fleet(), trace, measured=measured)
    assert disagreeing.deployments[0].truth.state is CalibrationState.DISAGREES
    files.write_disagreeing_measurement()
    from_file = optiinfra.analyze(files.fleet, files.trace, measured=files.measured)
    assert from_file.deployments[0].truth.state is CalibrationState.DISAGREES
