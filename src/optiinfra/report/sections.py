"""What the page says of each deployment, put together for the templates to lay out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from optiinfra.domain.analysis import (
    Analysis,
    CalibrationState,
    Candidate,
    DeploymentAnalysis,
    Recommendation,
    TraceSummary,
    Verdict,
)
from optiinfra.report.answers import compose_answer, list_break_evens
from optiinfra.report.charts import Chart, build_latency_chart, build_load_chart
from optiinfra.report.diff import DiffLine, build_diff
from optiinfra.report.front_chart import build_front_chart
from optiinfra.report.units import (
    UNKNOWN,
    format_instant,
    format_number,
    format_rate,
    format_ratio,
    format_span,
)
from optiinfra.report.words import describe_observed, describe_sustainable

LOAD_TABLE_ROWS_MAX = 60


@dataclass(frozen=True, slots=True)
class Basis:
    """Something an answer rests on; `is_weak` where a careful reader should stop."""

    noun: str
    label: str
    text: str
    is_weak: bool


@dataclass(frozen=True, slots=True)
class RateBar:
    """A request rate as a bar; `width_ratio` is None where there is no rate."""

    label: str
    text: str
    width_ratio: float | None
    is_actual: bool


@dataclass(frozen=True, slots=True)
class RecommendationSection:
    """One recommendation with its diffs, charts and the id under which it is stored."""

    anchor: str
    recommendation: Recommendation
    stored_id: str | None
    diff: tuple[DiffLine, ...]
    inverse_diff: tuple[DiffLine, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class DeploymentSection:
    """One deployment; `anchor` is its id within the page."""

    anchor: str
    deployment: DeploymentAnalysis
    answer: str
    basis: tuple[Basis, ...]
    rates: tuple[RateBar, ...]
    load_chart: Chart
    load_rows: tuple[tuple[str, str, str], ...]
    today_charts: tuple[Chart, ...]
    front_chart: Chart | None
    recommendations: tuple[RecommendationSection, ...]
    candidates: tuple[Candidate, ...]
    break_evens: tuple[str, ...]


def build_sections(
    analysis: Analysis, recommendation_ids: Mapping[str, UUID | str]
) -> tuple[DeploymentSection, ...]:
    """One section a deployment, in the order of the fleet."""
    return tuple(
        _build_section(f"d{number}", analysis, deployment, recommendation_ids)
        for number, deployment in enumerate(analysis.deployments, start=1)
    )


def _build_section(
    anchor: str,
    analysis: Analysis,
    deployment: DeploymentAnalysis,
    recommendation_ids: Mapping[str, UUID | str],
) -> DeploymentSection:
    return DeploymentSection(
        anchor=anchor,
        deployment=deployment,
        answer=compose_answer(deployment),
        basis=_build_basis(analysis, deployment),
        rates=_build_rates(deployment),
        load_chart=build_load_chart(deployment.trace),
        load_rows=_build_load_rows(deployment.trace),
        today_charts=() if deployment.recommendations else _build_latency_charts(deployment, None),
        front_chart=build_front_chart(deployment),
        recommendations=tuple(
            RecommendationSection(
                anchor=f"{anchor}-r{number}",
                recommendation=recommendation,
                stored_id=_find_id(recommendation, recommendation_ids),
                diff=build_diff(recommendation.before, recommendation.after, recommendation.change),
                inverse_diff=build_diff(
                    recommendation.after, recommendation.before, recommendation.inverse
                ),
                charts=_build_latency_charts(deployment, recommendation.after),
            )
            for number, recommendation in enumerate(deployment.recommendations, start=1)
        ),
        candidates=tuple(sorted(deployment.candidates, key=_order_candidate)),
        break_evens=list_break_evens(deployment),
    )


def _find_id(recommendation: Recommendation, ids: Mapping[str, UUID | str]) -> str | None:
    stored = ids.get(recommendation.evidence.digest)
    return None if stored is None else str(stored)


def _order_candidate(candidate: Candidate) -> tuple[bool, bool, float, float]:
    """Keepers first, then by cost, last by GPUs where there is no price."""
    configuration = candidate.configuration
    cost = configuration.list_cost_usd_per_h
    size = float(cost) if cost is not None else float(configuration.num_gpus)
    return (
        candidate.verdict is not Verdict.KEEPS_SLO,
        cost is None,
        size,
        -candidate.service.slo_attainment_ratio,
    )


def _build_basis(analysis: Analysis, deployment: DeploymentAnalysis) -> tuple[Basis, ...]:
    trace = deployment.trace
    basis = [_build_truth_basis(deployment)]
    made_up = f"made up, not recorded: {trace.source}"
    basis.append(
        Basis(
            "Traffic",
            "synthetic traffic" if trace.is_synthetic else "recorded traffic",
            f"{trace.num_requests:,} requests ({made_up if trace.is_synthetic else trace.source})",
            trace.is_synthetic,
        )
    )
    covered = format_span(trace.span_s)
    start = "start unknown"
    if trace.started_at is not None:
        start = f"from {format_instant(datetime.fromisoformat(trace.started_at))}"
    basis.append(Basis("Window", "", f"{covered}, {start}", is_weak=False))
    prices = " ".join(f"{note.rstrip('.')}." for note in analysis.price_notes)
    basis.append(Basis("Prices", "", prices or UNKNOWN, is_weak=not prices))
    for recommendation in deployment.recommendations[:1]:
        inside = recommendation.is_interpolated
        label = "inside the observed load" if inside else "beyond the observed load"
        note = describe_observed(recommendation)
        basis.append(Basis("Range", label, note, is_weak=not inside))
    return tuple(basis)


def _build_truth_basis(deployment: DeploymentAnalysis) -> Basis:
    truth = deployment.truth
    num_inside = sum(c.is_inside for c in truth.comparisons)
    share = f"{num_inside} of {len(truth.comparisons)} measured figures lie inside the prediction"
    label, text = {
        CalibrationState.UNCALIBRATED: (
            "uncalibrated",
            "Nothing was measured on this fleet, so the prediction could not be checked",
        ),
        CalibrationState.CHECKED: ("checked against measurement", share),
        CalibrationState.DISAGREES: ("disagrees with measurement", share),
    }[truth.state]
    return Basis("Twin", label, text, is_weak=truth.state is not CalibrationState.CHECKED)


def _build_rates(deployment: DeploymentAnalysis) -> tuple[RateBar, ...]:
    sustainable, actual = deployment.sustainable, deployment.trace.rate_per_s
    has_spare = deployment.today.configuration.num_replicas > 1
    rows = (
        ("Actual mean rate", actual, format_rate(actual)),
        (
            "Sustainable, all replicas",
            sustainable.all_replicas_per_s,
            describe_sustainable(sustainable.all_replicas_per_s),
        ),
        (
            "Sustainable, one lost",
            sustainable.one_lost_per_s,
            describe_sustainable(sustainable.one_lost_per_s, is_possible=has_spare),
        ),
    )
    largest = max((rate for _, rate, _ in rows if rate is not None), default=0.0)
    return tuple(
        RateBar(label, text, rate / largest if rate and largest else None, is_actual=number == 0)
        for number, (label, rate, text) in enumerate(rows)
    )


def _build_latency_charts(
    deployment: DeploymentAnalysis, after: Candidate | None
) -> tuple[Chart, ...]:
    before, slo = deployment.today.service, deployment.slo
    ttft = [("today", before.ttft_s_histogram)]
    tpot = [("today", before.tpot_s_histogram)]
    if after is not None:
        ttft.append(("recommended", after.service.ttft_s_histogram))
        tpot.append(("recommended", after.service.tpot_s_histogram))
    charts = (
        build_latency_chart("TTFT", ttft, threshold_s=slo.ttft_s),
        build_latency_chart("TPOT", tpot, threshold_s=slo.tpot_s),
    )
    return tuple(chart for chart in charts if chart is not None)


def _build_load_rows(trace: TraceSummary) -> tuple[tuple[str, str, str], ...]:
    """The load as a table of at most LOAD_TABLE_ROWS_MAX rows: start, requests/s, tokens/s."""
    num_bins = len(trace.requests_per_s)
    step = max(1, -(-num_bins // LOAD_TABLE_ROWS_MAX))
    rows = []
    for first in range(0, num_bins, step):
        requests = trace.requests_per_s[first : first + step]
        tokens = trace.tokens_per_s[first : first + step]
        rows.append(
            (
                format_span(first * trace.bin_s),
                format_number(sum(requests) / len(requests)),
                format_number(sum(tokens) / len(tokens)) if tokens else UNKNOWN,
            )
        )
    return tuple(rows)


def describe_attainment(ratio: float | None, *, promised: float) -> str:
    """An attainment and whether it is enough."""
    if ratio is None:
        return UNKNOWN
    return f"{format_ratio(ratio)} ({'kept' if ratio >= promised else 'broken'})"
