"""The fleet as its owner describes it: deployments, promise and limits, all resolved."""

from __future__ import annotations

from dataclasses import dataclass

from optiinfra.domain.architectures import Architecture
from optiinfra.domain.engine_arguments import EngineArguments
from optiinfra.domain.gpus import GPU
from optiinfra.domain.prices import Offer, PurchaseOption


@dataclass(frozen=True, slots=True)
class SLOTarget:
    """Per-request thresholds and the share of requests that must meet both.

    A request of one output token has no TPOT and counts for TTFT only.
    """

    ttft_s: float
    tpot_s: float
    attainment_ratio: float

    def __post_init__(self) -> None:
        if not (0 < self.ttft_s < float("inf") and 0 < self.tpot_s < float("inf")):
            message = "SLO thresholds are positive seconds"
            raise ValueError(message)
        if not 0 < self.attainment_ratio <= 1:
            message = "the SLO's attainment lies in (0, 1]"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a recommendation may not go beyond; an empty tuple means "no restriction"."""

    min_replicas: int = 2
    max_replicas: int = 64
    headroom_ratio: float = 0.0  # the SLO must hold at (1 + headroom_ratio) times the traced load
    clouds: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.min_replicas <= self.max_replicas:
            message = "limits need 1 <= min_replicas <= max_replicas"
            raise ValueError(message)
        if not 0 <= self.headroom_ratio < float("inf"):
            message = "headroom_ratio is 0 or more"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Deployment:
    """All replicas of one model behind one endpoint with one SLO.

    `offer` is the price in force today, None when the user said the price is unknown.
    `assumed` are sentences about what the user left out, for printing.
    """

    name: str
    model: Architecture
    gpu: GPU
    num_replicas: int
    arguments: EngineArguments
    slo: SLOTarget
    purchase_option: PurchaseOption = PurchaseOption.ON_DEMAND
    cloud: str | None = None
    region: str | None = None
    offer: Offer | None = None
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fleet:
    """A customer's deployments with the limits and the offers that candidates may use.

    `gpus` are the GPU types a candidate may use (the catalogue and the user's own), `offers` the
    on-demand prices known for them: the user's own replace the book's for the same GPU type.
    `digest` is the SHA-256 of the resolved fleet, in hex. With a `rate_profile` the trace stands
    for its mean, candidates must hold at its peak, and a figure per month is permitted.
    """

    customer: str
    email: str
    deployments: tuple[Deployment, ...]
    limits: Limits
    gpus: tuple[GPU, ...]
    offers: tuple[Offer, ...]
    digest: str
    source: str = "fleet.yaml"
    rate_profile: tuple[float, ...] = ()  # 24 or 168 relative hourly rates, () when not given
    assumed: tuple[str, ...] = ()
