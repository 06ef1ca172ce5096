"""The proof of a recommendation: effects with intervals, confidence, what would make it wrong."""

from __future__ import annotations

import hashlib
import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING

from optiinfra.domain.analysis import (
    Axis,
    CalibrationState,
    Effect,
    Interval,
    RecommendationKind,
    Sensitivity,
)
from optiinfra.domain.prices import compute_num_instances
from optiinfra.twin import TWIN_VERSION
from optiinfra.twin.fewest import find_fewest_with_spare
from optiinfra.twin.shapes import Shape
from optiinfra.twin.stand import find_step_ratio_limit
from optiinfra.twin.uncertainty import (
    COVERAGE_RATIO,
    HIGH_LEVEL,
    LOW_LEVEL,
    METHOD,
    NUM_GROUPS,
    compute_step_ratio,
    compute_step_ratio_share,
)
from optiinfra.twin.workload import cap_lengths, scale_lengths, scale_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from optiinfra.agents.cost.policy import CostSnapshot
    from optiinfra.domain.analysis import Candidate, Configuration, FlagChange, Service
    from optiinfra.domain.gpus import GPU
    from optiinfra.twin.stand import Stand

WEEK_S = 7 * 86_400.0
HOURS_PER_MONTH = 730  # 365 days / 12
FACTORS = (0.8, 1.2)


def compute_confidence(stand: Stand, gpu: GPU, configuration: Configuration) -> tuple[float, str]:
    """Probability that the SLO holds with one replica lost, and how it was obtained.

    The largest slow-down of steps that the configuration survives is found by simulation; the share
    of measured points that were slowed down no more, over groups that the model never saw, is the
    confidence. With g groups it can be no more than g / (g + 1).
    """
    lost = configuration.num_replicas - 1
    limit = find_step_ratio_limit(stand, gpu, configuration.arguments, lost)
    share = compute_step_ratio_share(limit)
    confidence = share * NUM_GROUPS / (NUM_GROUPS + 1)
    bound = "at least " if limit >= 8.0 else ""  # noqa: PLR2004 - the search's own upper end
    method = (
        f"simulated: with one replica lost the SLO holds as long as engine steps take at most "
        f"{bound}{limit:.2f} times the predicted time; {share:.0%} of the measured points took no "
        f"longer, and {NUM_GROUPS} groups of points allow a claim of at most "
        f"{NUM_GROUPS}/{NUM_GROUPS + 1} of that"
    )
    return confidence, method


def compute_saving_interval(
    snapshot: CostSnapshot, gpu: GPU, after: Candidate, saving: Decimal | None
) -> Interval | None:
    """From the saving left after adding what slow steps would need, to the saving as planned."""
    cost_before = snapshot.today.configuration.list_cost_usd_per_h
    if saving is None or cost_before is None:
        return None
    ratio = compute_step_ratio(HIGH_LEVEL)
    slow = snapshot.design_stand.with_step_ratio(ratio)
    arguments = after.configuration.arguments
    limits = snapshot.fleet.limits
    count = find_fewest_with_spare(
        lambda n: slow.keeps_slo(gpu, arguments, n),
        low=after.configuration.num_replicas,
        high=limits.max_replicas,
    )
    low = min(saving, Decimal(0))  # nothing suffices: the change is taken back
    if count is not None and after.configuration.offer is not None:
        shape = Shape(gpu, arguments, (after.configuration.offer,))
        _, cost = shape.find_cheapest_offer(count)
        if cost is not None:
            low = min(saving, cost_before - cost)
    return Interval(
        low=float(low),
        high=float(saving),
        coverage_ratio=COVERAGE_RATIO,
        method=(
            f"high: as planned; low: after adding replicas until the SLO holds again should steps "
            f"take {ratio:.2f} times the prediction (95th percentile of measured points)"
        ),
    )


def compute_monthly_saving(
    snapshot: CostSnapshot, saving: Decimal | None
) -> tuple[Decimal | None, str]:
    """The saving per month and what it rests on; None and why where it cannot be said."""
    span_s = snapshot.stand.trace.span_s
    tenths = math.floor(1000 * span_s / WEEK_S)  # down, so that a week is said of a whole one
    share = f"{tenths / 10:.1f}%" if tenths else "less than 0.1%"
    covered = f"the trace covers {_describe_span(span_s)}, {share} of a week"
    if saving is None:
        return None, f"a price is unknown; {covered}"
    if snapshot.fleet.rate_profile:
        return saving * HOURS_PER_MONTH, (
            f"{HOURS_PER_MONTH} h of the saving per hour; the configuration holds at the peak of "
            f"the given rate profile ({covered})"
        )
    if span_s >= WEEK_S:
        return saving * HOURS_PER_MONTH, f"{HOURS_PER_MONTH} h of the saving per hour; {covered}"
    return None, f"{covered}; a month needs 7 days of traffic or a rate_profile"


def compute_effects(
    snapshot: CostSnapshot, gpu: GPU, before: Candidate, after: Candidate
) -> tuple[Effect, ...]:
    """Every SLO term before and after, with the range over fast and slow steps."""
    arguments = after.configuration.arguments
    count = after.configuration.num_replicas
    levels = [compute_step_ratio(level) for level in (LOW_LEVEL, HIGH_LEVEL)]
    stands = [snapshot.stand.with_step_ratio(ratio) for ratio in levels]
    extremes = [stand.serve(gpu, arguments, count) for stand in stands]
    lost = [stand.attain(gpu, arguments, count - 1) for stand in stands]
    readers: dict[str, Callable[[Service], float | None]] = {
        "ttft_s_p95": lambda s: s.ttft_s.p95,
        "tpot_s_p95": lambda s: s.tpot_s.p95,
        "e2e_s_p95": lambda s: s.e2e_s.p95,
        "slo_attainment_ratio": lambda s: s.slo_attainment_ratio,
        "goodput_per_s": lambda s: s.goodput_per_s,
    }
    effects: list[Effect] = []
    for metric, read in readers.items():
        old, new = read(before.service), read(after.service)
        ends = [value for value in map(read, extremes) if value is not None]
        if old is None or new is None or not ends:
            continue
        effects.append(Effect(metric, old, new, _make_interval(new, ends)))
    old_lost = before.service_one_lost.slo_attainment_ratio if before.service_one_lost else 0.0
    new_lost = after.service_one_lost.slo_attainment_ratio if after.service_one_lost else 0.0
    effects.append(
        Effect("slo_attainment_ratio_one_lost", old_lost, new_lost, _make_interval(new_lost, lost))
    )
    return tuple(effects)


def vary_assumptions(
    snapshot: CostSnapshot, gpu: GPU, after: Candidate, kind: RecommendationKind
) -> tuple[Sensitivity, ...]:
    """The recommended configuration with load, lengths and price off by 20 %, each simulated."""
    stand = snapshot.design_stand
    cost_before = snapshot.today.configuration.list_cost_usd_per_h
    cost_after = after.configuration.list_cost_usd_per_h
    saving = None if cost_before is None or cost_after is None else cost_before - cost_after
    # The engine refuses what is longer than its context, whatever the assumption.
    longest = _get_longest(stand, gpu, after.configuration)
    rows: list[Sensitivity] = []
    for axis, scale in ((Axis.LOAD, scale_rate), (Axis.LENGTHS, scale_lengths)):
        for factor in FACTORS:
            trial = stand.with_trace(cap_lengths(scale(stand.trace, factor), longest))
            full, lost = _attain_both(trial, gpu, after.configuration)
            target = stand.slo.attainment_ratio
            keeps = min(full, lost) >= target
            rows.append(
                Sensitivity(axis, factor, full, lost, saving, keeps and _is_gain(saving, kind))
            )
    is_same_offer = after.configuration.offer == snapshot.today.configuration.offer
    for factor in FACTORS:
        moved = None
        if saving is not None and cost_before is not None and cost_after is not None:
            share = Decimal(str(factor))
            moved = saving * share if is_same_offer else cost_before - cost_after * share
        rows.append(Sensitivity(Axis.PRICE, factor, None, None, moved, _is_gain(moved, kind)))
    return tuple(rows)


def describe_observed(
    snapshot: CostSnapshot, before: Candidate, after: Candidate
) -> tuple[bool, str]:
    """Whether the new configuration stays inside load and hardware that were observed.

    `before` is today at the traced load, which was observed; `after` at the load it is meant for.
    """
    if snapshot.truth.state is not CalibrationState.CHECKED:
        return False, "outside: nothing was measured on this fleet (uncalibrated)"
    if after.configuration.gpu != before.configuration.gpu:
        return False, f"outside: {after.configuration.gpu} was not observed"
    if (
        after.configuration.arguments.tensor_parallel_size
        != before.configuration.arguments.tensor_parallel_size
    ):
        return False, "outside: this tensor parallel size was not observed"
    lost = after.service_one_lost or after.service
    seen, reached = before.service.num_running_max, lost.num_running_max
    if reached > seen:
        return False, (
            f"outside: a replica runs up to {reached} requests at once with one lost, today "
            f"{seen}; beyond the largest observed batch errors above 20 % are usual"
        )
    return True, f"inside: a replica runs up to {reached} requests at once, today {seen}"


def list_risks(snapshot: CostSnapshot, after: Candidate) -> tuple[str, ...]:
    """What a manager should know before approving, in sentences."""
    configuration, today = after.configuration, snapshot.today.configuration
    risks: list[str] = []
    if snapshot.truth.state is CalibrationState.UNCALIBRATED:
        risks.append(
            "Uncalibrated: no measurement of this fleet was given, the prediction rests on "
            "datasheets and published benchmarks alone."
        )
    if snapshot.stand.trace.is_synthetic:
        risks.append("The traffic is synthetic: it was drawn, not recorded.")
    if configuration.gpu != today.gpu:
        risks.append(
            f"Other hardware: {configuration.gpu} must be available where you need it; the error "
            "across GPU types is larger than on one type."
        )
    offer = configuration.offer
    if offer is not None:
        if today.offer is not None and offer.cloud != today.offer.cloud:
            risks.append(f"Another cloud ({offer.cloud}): transfer and set-up are not in the cost.")
        num_instances = compute_num_instances(
            num_replicas=configuration.num_replicas,
            gpus_per_replica=configuration.arguments.num_gpus,
            offer=offer,
        )
        if num_instances == 1 and configuration.num_replicas > 1:
            risks.append(
                f"All {configuration.num_replicas} replicas share one instance "
                f"({offer.instance_type}): losing the instance loses them all."
            )
    if snapshot.deployment.model.is_moe:
        risks.append(
            "The interval is of dense models; this one is a mixture of experts, for which no error "
            "was measured."
        )
    risks.append(
        f"The trace covers {_describe_span(snapshot.stand.trace.span_s)}; peaks outside it were "
        "not simulated."
    )
    return tuple(risks)


def _describe_span(span_s: float) -> str:
    """A stretch of time in hours, or in minutes below two hours."""
    return f"{span_s / 60:.1f} minutes" if span_s < 7200 else f"{span_s / 3600:.1f} hours"  # noqa: PLR2004


def compute_digest(
    change: tuple[FlagChange, ...],
    *,
    deployment: str,
    trace_digest: str,
    fleet_digest: str,
    seed: int,
) -> str:
    """SHA-256, in hex, over the change and everything it was computed from."""
    document = {
        "change": [[line.flag, line.before, line.after] for line in change],
        "deployment": deployment,
        "fleet": fleet_digest,
        "seed": seed,
        "trace": trace_digest,
        "twin": TWIN_VERSION,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _get_longest(stand: Stand, gpu: GPU, configuration: Configuration) -> int:
    """Tokens of the longest request that the configuration takes."""
    arguments = configuration.arguments
    context = arguments.max_model_len or stand.architecture.max_position_embeddings
    return min(context, stand.plan_memory(gpu, arguments).kv_capacity_tokens)


def _attain_both(stand: Stand, gpu: GPU, configuration: Configuration) -> tuple[float, float]:
    """Attainment with all replicas and with one lost."""
    return (
        stand.attain(gpu, configuration.arguments, configuration.num_replicas),
        stand.attain(gpu, configuration.arguments, configuration.num_replicas - 1),
    )


def _is_gain(saving: Decimal | None, kind: RecommendationKind) -> bool:
    """Whether the change still pays; restoring a broken promise may cost, an unknown price may."""
    return kind is RecommendationKind.RESTORE_SLO or saving is None or saving > 0


def _make_interval(value: float, ends: list[float]) -> Interval:
    return Interval(min(value, *ends), max(value, *ends), COVERAGE_RATIO, METHOD)
