"""What `analyze` answers: today, the candidates, the recommendations, and the evidence for each.

Nothing here reads the clock: the same fleet, trace and seed give the same Analysis, byte for byte.
`None` always means unknown, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from optiinfra.domain.engine_arguments import EngineArguments
from optiinfra.domain.fleet import SLOTarget
from optiinfra.domain.prices import Offer


@dataclass(frozen=True, slots=True)
class Distribution:
    """Summary of a per-request figure; None everywhere when no request has it."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Share of requests in each bin; `edges` has one more entry than `shares_ratio`."""

    edges: tuple[float, ...]
    shares_ratio: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """What users get from a configuration, as simulated on the trace."""

    num_requests: int
    ttft_s: Distribution
    tpot_s: Distribution
    e2e_s: Distribution
    queue_s: Distribution
    ttft_attainment_ratio: float
    tpot_attainment_ratio: float
    slo_attainment_ratio: float  # both objectives, per request
    goodput_per_s: float
    output_tokens_per_s: float
    kv_cache_usage_ratio_mean: float  # over time while a replica has work
    kv_cache_usage_ratio_max: float
    num_running_mean: float  # requests in the batch of one replica, while it has work
    num_running_max: int
    batch_occupancy_ratio_mean: float  # num_running over max_num_seqs
    busy_ratio: float  # share of time a replica has work
    num_preemptions: int
    is_unstable: bool = False  # the queue grew as long as requests came: more load than capacity
    ttft_s_histogram: Histogram | None = None
    tpot_s_histogram: Histogram | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to serve a deployment."""

    gpu: str
    num_replicas: int
    arguments: EngineArguments
    offer: Offer | None  # None: no price is known
    list_cost_usd_per_h: Decimal | None

    @property
    def num_gpus(self) -> int:
        """GPUs in use, all replicas."""
        return self.num_replicas * self.arguments.num_gpus


class Verdict(StrEnum):
    """What became of a candidate."""

    KEEPS_SLO = "keeps_slo"  # with all replicas and with one lost
    BREAKS_SLO = "breaks_slo"  # already with all replicas
    BREAKS_SLO_ONE_LOST = "breaks_slo_one_lost"
    NEEDS_QUALITY_TEST = "needs_quality_test"  # keeps the SLO, but changes precision


class Binding(StrEnum):
    """The constraint that keeps a candidate from being the answer."""

    TTFT = "ttft"  # too few requests meet it
    TPOT = "tpot"
    SPARE = "spare"  # one replica only: nothing serves when it is lost
    PRECISION = "precision"  # answers may differ: a quality test comes first
    COST = "cost"  # keeps the SLO, and another does for less
    LATENCY = "latency"  # costs no more than the cheapest, and another serves faster


@dataclass(frozen=True, slots=True)
class DroppedCandidate:
    """A shape that lost on part of the trace and was not simulated on the whole of it."""

    key: str
    binding: Binding
    reason: str
    num_requests: int  # on how many of the trace's requests it was tried


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration and what the twin says of it. `reason` names the constraint that binds."""

    key: str  # stable id, e.g. "H100-SXM x3 tp1 seqs256 tokens2048"
    configuration: Configuration
    verdict: Verdict
    reason: str
    service: Service
    service_one_lost: Service | None  # None: there is only one replica
    break_even_usd_per_gpu_h: Decimal | None = None  # only where no price is known
    is_today: bool = False
    is_on_front: bool = False  # on the Pareto front of cost against e2e_s.p95, all replicas
    binding: Binding | None = None  # None: nothing binds, it is on the front


@dataclass(frozen=True, slots=True)
class Interval:
    """A range that holds the true value with probability `coverage_ratio`, by `method`."""

    low: float
    high: float
    coverage_ratio: float
    method: str


class CalibrationState(StrEnum):
    """How far the twin was held against the real fleet."""

    UNCALIBRATED = "uncalibrated"  # nothing was measured
    CHECKED = "checked"  # measured figures lie inside the prediction interval
    DISAGREES = "disagrees"  # they do not: no recommendation


@dataclass(frozen=True, slots=True)
class MeasuredComparison:
    """One measured figure beside its prediction."""

    metric: str  # e.g. "ttft_s_mean"
    predicted: float
    measured: float
    interval: Interval
    is_inside: bool
    source: str


@dataclass(frozen=True, slots=True)
class Truth:
    """Prediction beside measurement, and what may explain a difference."""

    state: CalibrationState
    comparisons: tuple[MeasuredComparison, ...] = ()
    likely_causes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what the source says of its figures, e.g. "2 requests failed"


@dataclass(frozen=True, slots=True)
class FlagChange:
    """One line of a change: `before` or `after` is None where the flag is not set."""

    flag: str  # the engine's own spelling, or "replicas", "gpu", "instance"
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Effect:
    """One figure before and after, with the interval of the figure after the change."""

    metric: str
    before: float
    after: float
    interval: Interval


class Axis(StrEnum):
    """What is varied to see what would make a recommendation wrong."""

    LOAD = "load"
    PRICE = "price"
    LENGTHS = "lengths"  # prompt and output tokens


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The recommended configuration when one assumption is off by a factor."""

    axis: Axis
    factor: float
    slo_attainment_ratio: float | None  # None for price: prices do not change service
    slo_attainment_ratio_one_lost: float | None
    saving_usd_per_h: Decimal | None
    holds: bool  # keeps the SLO with one lost, and still costs less than today


class RecommendationKind(StrEnum):
    """What the change is for; also the `type` of its row in `recommendations`."""

    REDUCE_COST = "reduce_cost"
    RESTORE_SLO = "restore_slo"  # today's fleet breaks its SLO; this may cost more


@dataclass(frozen=True, slots=True)
class Evidence:
    """Enough to compute the recommendation again."""

    trace_digest: str
    fleet_digest: str
    twin_version: str
    seed: int
    digest: str  # SHA-256 over the recommendation's change and all of the above


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One change that a person can approve, with what it brings and how sure that is."""

    kind: RecommendationKind
    title: str
    deployment: str
    before: Candidate
    after: Candidate
    change: tuple[FlagChange, ...]
    inverse: tuple[FlagChange, ...]
    saving_usd_per_h: Decimal | None  # over the traced window; None: a price is unknown
    saving_usd_per_h_interval: Interval | None
    saving_usd_per_month: Decimal | None
    saving_month_note: str  # why the month is unknown, or what it rests on
    relative_gpus_ratio: float  # GPUs after / before, useful where prices are unknown
    effects: tuple[Effect, ...]
    confidence_ratio: float
    confidence_method: str
    is_interpolated: bool  # inside the load and hardware observed today
    observed_note: str
    sensitivities: tuple[Sensitivity, ...]
    risks: tuple[str, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class SustainableRate:
    """Highest mean request rate, in the trace's own shape, that keeps the SLO.

    None: not even the smallest rate tried does, or still the largest; or (one lost) there is only
    one replica.
    """

    all_replicas_per_s: float | None
    one_lost_per_s: float | None


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """The traffic, for the reader: load over time in `bin_s` bins."""

    source: str
    digest: str
    is_synthetic: bool
    num_requests: int
    span_s: float
    rate_per_s: float
    prompt_tokens: Distribution
    output_tokens: Distribution
    bin_s: float
    requests_per_s: tuple[float, ...]
    tokens_per_s: tuple[float, ...]  # prompt and output tokens of the requests that arrived
    started_at: str | None  # ISO 8601, UTC
    has_prefix_hashes: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeploymentAnalysis:
    """Everything about one deployment. `candidates` includes today's configuration."""

    name: str
    model: str
    slo: SLOTarget
    trace: TraceSummary
    today: Candidate
    cost_usd_per_million_output_tokens: float | None
    cost_usd_per_million_tokens: float | None
    sustainable: SustainableRate
    truth: Truth
    candidates: tuple[Candidate, ...]
    needs_quality_test: tuple[Candidate, ...]
    recommendations: tuple[Recommendation, ...]
    no_recommendation_reason: str | None
    num_ruled_out: int  # configurations never simulated: they do not fit, or are not sold
    ruled_out_reasons: tuple[str, ...]
    assumptions: tuple[str, ...]
    dropped: tuple[DroppedCandidate, ...] = ()  # lost on part of the trace already


@dataclass(frozen=True, slots=True)
class Analysis:
    """The answer for a fleet."""

    customer: str
    fleet_source: str
    fleet_digest: str
    twin_version: str
    seed: int
    price_notes: tuple[str, ...]  # which prices were used and how old they are
    deployments: tuple[DeploymentAnalysis, ...]

    @property
    def recommendations(self) -> tuple[Recommendation, ...]:
        """All recommendations, deployment by deployment."""
        return tuple(r for d in self.deployments for r in d.recommendations)

    @property
    def is_in_disagreement(self) -> bool:
        """Whether any deployment was measured to do something else than predicted."""
        return any(d.truth.state is CalibrationState.DISAGREES for d in self.deployments)
