"""What the cost agent recommends: pure planning, the same snapshot gives the same plan.

Two recommendations at most for a deployment, alternatives to each other: the cheapest
configuration that keeps the SLO with one replica lost, and, where that one changes the hardware,
the cheapest on today's hardware. None where today's fleet is already as cheap as that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from optiinfra.agents.cost.changes import describe_title, invert, list_changes
from optiinfra.agents.cost.proof import (
    compute_confidence,
    compute_digest,
    compute_effects,
    compute_monthly_saving,
    compute_saving_interval,
    describe_observed,
    list_risks,
    vary_assumptions,
)
from optiinfra.domain.analysis import (
    CalibrationState,
    Candidate,
    Evidence,
    Recommendation,
    RecommendationKind,
    Truth,
    Verdict,
)
from optiinfra.twin import TWIN_VERSION

if TYPE_CHECKING:
    from optiinfra.domain.fleet import Deployment, Fleet
    from optiinfra.domain.gpus import GPU
    from optiinfra.twin.stand import Stand

# A smaller saving than this share of today's cost is not worth a change of a running system.
MIN_SAVING_RATIO = 0.02


@dataclass(frozen=True)
class CostSnapshot:
    """What was seen and simulated of one deployment.

    `stand` carries the traced load, `design_stand` the load the SLO must hold at (headroom and
    peak of the rate profile included); `today` and `candidates` were judged at the design load.
    """

    fleet: Fleet
    deployment: Deployment
    stand: Stand
    design_stand: Stand
    today: Candidate
    candidates: tuple[Candidate, ...]
    truth: Truth
    seed: int

    def get_gpu(self, name: str) -> GPU:
        """The GPU of a candidate; today's may be outside the catalogue of candidates."""
        if name == self.deployment.gpu.name:
            return self.deployment.gpu
        return next(gpu for gpu in self.fleet.gpus if gpu.name == name)


def plan(snapshot: CostSnapshot) -> tuple[Recommendation, ...]:
    """Recommendations for one deployment, the cheapest first; () when there is nothing to gain.

    A deployment that keeps its SLO is only changed for less cost; one that does not is changed
    for the cheapest configuration that does, even at a higher cost.
    """
    if snapshot.truth.state is CalibrationState.DISAGREES:
        return ()
    chosen: list[Candidate] = []
    best = choose_cheapest(snapshot, snapshot.candidates)
    if best is not None and is_worthwhile(snapshot, best):
        chosen.append(best)
        if not _has_same_hardware(snapshot.today, best):
            same = [c for c in snapshot.candidates if _has_same_hardware(snapshot.today, c)]
            alternative = choose_cheapest(snapshot, tuple(same))
            if alternative is not None and is_worthwhile(snapshot, alternative):
                chosen.append(alternative)
    return tuple(recommend(snapshot, candidate) for candidate in chosen)


def choose_cheapest(snapshot: CostSnapshot, candidates: tuple[Candidate, ...]) -> Candidate | None:
    """The cheapest candidate that keeps the SLO with one lost.

    At one price: today's hardware first, then those that miss the promise for no more than half
    of the requests it allows to miss, then the fewest changes.

    Where today's price is unknown, only today's GPU type can be compared: fewest GPUs instead.
    """
    eligible = [c for c in candidates if c.verdict is Verdict.KEEPS_SLO]
    if snapshot.today.configuration.list_cost_usd_per_h is None:
        own = snapshot.today.configuration.gpu
        eligible = [c for c in eligible if c.configuration.gpu == own]
        size = {c.key: Decimal(c.configuration.num_gpus) for c in eligible}
    else:
        costs = {c.key: c.configuration.list_cost_usd_per_h for c in eligible}
        size = {key: cost for key, cost in costs.items() if cost is not None}
    eligible = [c for c in eligible if c.key in size]
    if not eligible:
        return None

    def order(candidate: Candidate) -> tuple[Decimal, bool, bool, int, float, str]:
        changes = list_changes(snapshot.today.configuration, candidate.configuration)
        lost = candidate.service_one_lost
        return (
            size[candidate.key],
            not _has_same_hardware(snapshot.today, candidate),
            not _has_spare(snapshot, candidate),
            len(changes),
            -(lost.slo_attainment_ratio if lost is not None else 0.0),
            candidate.key,
        )

    return min(eligible, key=order)


def is_worthwhile(snapshot: CostSnapshot, candidate: Candidate) -> bool:
    """Whether to change at all: today's fleet breaks its SLO, or the saving is large enough."""
    today = snapshot.today
    if today.verdict is not Verdict.KEEPS_SLO:
        return True
    before = today.configuration.list_cost_usd_per_h
    after = candidate.configuration.list_cost_usd_per_h
    if before is None or after is None:
        ratio = candidate.configuration.num_gpus / today.configuration.num_gpus
    else:
        ratio = float(after / before)
    return ratio <= 1.0 - MIN_SAVING_RATIO


def recommend(snapshot: CostSnapshot, after: Candidate) -> Recommendation:
    """The recommendation with its change, inverse, effects, interval, confidence and evidence."""
    before = snapshot.today
    gpu = snapshot.get_gpu(after.configuration.gpu)
    change = list_changes(before.configuration, after.configuration)
    kind = (
        RecommendationKind.REDUCE_COST
        if before.verdict is Verdict.KEEPS_SLO
        else RecommendationKind.RESTORE_SLO
    )
    cost_before = before.configuration.list_cost_usd_per_h
    cost_after = after.configuration.list_cost_usd_per_h
    saving = None if cost_before is None or cost_after is None else cost_before - cost_after
    confidence, method = compute_confidence(snapshot.design_stand, gpu, after.configuration)
    monthly, monthly_note = compute_monthly_saving(snapshot, saving)
    digest = compute_digest(
        change,
        deployment=snapshot.deployment.name,
        trace_digest=snapshot.stand.trace.digest,
        fleet_digest=snapshot.fleet.digest,
        seed=snapshot.seed,
    )
    before = _serve_at_traced_load(snapshot, before)
    is_interpolated, observed = describe_observed(snapshot, before, after)
    after = _serve_at_traced_load(snapshot, after)
    return Recommendation(
        kind=kind,
        title=describe_title(snapshot.deployment.name, before.configuration, after.configuration),
        deployment=snapshot.deployment.name,
        before=before,
        after=after,
        change=change,
        inverse=invert(change),
        saving_usd_per_h=saving,
        saving_usd_per_h_interval=compute_saving_interval(snapshot, gpu, after, saving),
        saving_usd_per_month=monthly,
        saving_month_note=monthly_note,
        relative_gpus_ratio=after.configuration.num_gpus / before.configuration.num_gpus,
        effects=compute_effects(snapshot, gpu, before, after),
        confidence_ratio=confidence,
        confidence_method=method,
        is_interpolated=is_interpolated,
        observed_note=observed,
        sensitivities=vary_assumptions(snapshot, gpu, after, kind),
        risks=list_risks(snapshot, after),
        evidence=Evidence(
            trace_digest=snapshot.stand.trace.digest,
            fleet_digest=snapshot.fleet.digest,
            twin_version=TWIN_VERSION,
            seed=snapshot.seed,
            digest=digest,
        ),
    )


def explain_none(snapshot: CostSnapshot) -> str:
    """Why there is no recommendation, for a reader who hoped for one."""
    if snapshot.truth.state is CalibrationState.DISAGREES:
        return "Prediction and measurement disagree; the twin does not know this fleet well enough."
    best = choose_cheapest(snapshot, snapshot.candidates)
    cost = snapshot.today.configuration.list_cost_usd_per_h
    if cost is None and best is None:
        return (
            "No configuration on today's GPU type keeps the SLO with one replica lost, and what "
            "other types would save is unknown without today's price."
        )
    if cost is None:
        return "No configuration on today's GPU type keeps the SLO with fewer GPUs."
    if best is None:
        return "Nothing else within the limits has a price and keeps the SLO with one replica lost."
    return (
        f"Today's fleet keeps its SLO with one replica lost at ${cost}/h; the cheapest of the "
        f"candidates that do costs ${best.configuration.list_cost_usd_per_h}/h, and a saving below "
        f"{MIN_SAVING_RATIO:.0%} is not worth a change."
    )


def _serve_at_traced_load(snapshot: CostSnapshot, candidate: Candidate) -> Candidate:
    """The candidate with services, histograms included, at the load that was traced."""
    gpu = snapshot.get_gpu(candidate.configuration.gpu)
    arguments, count = candidate.configuration.arguments, candidate.configuration.num_replicas
    stand = snapshot.stand
    return replace(
        candidate,
        service=stand.serve(gpu, arguments, count, has_histograms=True),
        service_one_lost=(
            stand.serve(gpu, arguments, count - 1, has_histograms=True) if count > 1 else None
        ),
    )


def _has_spare(snapshot: CostSnapshot, candidate: Candidate) -> bool:
    """Whether, with one lost, at most half of the requests that may miss the SLO do."""
    allowed = 1.0 - snapshot.deployment.slo.attainment_ratio
    lost = candidate.service_one_lost
    return lost is not None and 1.0 - lost.slo_attainment_ratio <= allowed / 2


def _has_same_hardware(today: Candidate, candidate: Candidate) -> bool:
    a, b = today.configuration, candidate.configuration
    return a.gpu == b.gpu and a.arguments.tensor_parallel_size == b.arguments.tensor_parallel_size
