"""What the cost agent sees, simulated from a fleet and a trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from tests.factories.fleet import (
    make_conversation,
    make_deployment,
    make_fleet,
    make_gpu,
    make_offer,
)

from optiinfra.agents.cost.policy import CostSnapshot
from optiinfra.domain.analysis import Configuration, FlagChange
from optiinfra.domain.fleet import Deployment, Fleet, Limits
from optiinfra.domain.trace import Trace
from optiinfra.twin.search import search
from optiinfra.twin.shapes import Shape
from optiinfra.twin.stand import Stand
from optiinfra.twin.truth import UNCALIBRATED
from optiinfra.twin.verdicts import judge_candidate

H100, L40S, A100 = make_gpu(), make_gpu("L40S"), make_gpu("A100-80-SXM")
ALL_OFFERS = (
    make_offer("H100-SXM", "4.00"),
    make_offer("L40S", "1.60"),
    make_offer("A100-80-SXM", "2.40"),
)


def make_snapshot(
    fleet: Fleet | None = None, trace: Trace | None = None, **overrides: Any
) -> CostSnapshot:
    """The first deployment of a fleet with all its candidates, judged at the traced load."""
    fleet = fleet or make_fleet()
    deployment = fleet.deployments[0]
    stand = Stand(deployment.model, deployment.slo, trace or make_calm_trace())
    gpu, arguments, count = deployment.gpu, deployment.arguments, deployment.num_replicas
    offers = () if deployment.offer is None else (deployment.offer,)
    values: dict[str, Any] = {
        "fleet": fleet,
        "deployment": deployment,
        "stand": stand,
        "design_stand": stand,
        "today": judge_candidate(
            Shape(gpu, arguments, offers),
            count,
            stand.serve(gpu, arguments, count),
            stand.serve(gpu, arguments, count - 1) if count > 1 else None,
            deployment.slo,
            is_today=True,
        ),
        "candidates": search(deployment, fleet, stand).candidates,
        "truth": UNCALIBRATED,
        "seed": 0,
    }
    return CostSnapshot(**{**values, **overrides})


@cache
def make_calm_trace() -> Trace:
    """Four requests a second: one H100 serves four times as many."""
    return make_conversation(4.0, num_requests=500)


@cache
def make_calm_snapshot() -> CostSnapshot:
    """Four H100 where two suffice; no other type of GPU."""
    return make_snapshot()


def make_mixed_fleet(deployment: Deployment | None = None, **overrides: Any) -> Fleet:
    """A fleet whose candidates may use an H100, an L40S or an A100, at book prices."""
    deployment = deployment or make_deployment(offer=ALL_OFFERS[0])
    values: dict[str, Any] = {
        "gpus": (H100, L40S, A100),
        "offers": ALL_OFFERS,
        "limits": Limits(max_replicas=12),
    }
    return make_fleet(deployment, **{**values, **overrides})


@cache
def make_mixed_snapshot() -> CostSnapshot:
    return make_snapshot(make_mixed_fleet())


def adopt(snapshot: CostSnapshot, configuration: Configuration) -> Fleet:
    """The snapshot's fleet after the change to a configuration."""
    deployment = replace(
        snapshot.deployment,
        gpu=snapshot.get_gpu(configuration.gpu),
        num_replicas=configuration.num_replicas,
        arguments=configuration.arguments,
        offer=configuration.offer,
    )
    fleet = snapshot.fleet
    return make_fleet(deployment, limits=fleet.limits, gpus=fleet.gpus, offers=fleet.offers)


def apply_change(
    settings: Mapping[str, str | None], change: tuple[FlagChange, ...]
) -> Mapping[str, str | None]:
    """The settings after a change, each line of which must find what it says it finds."""
    changed: dict[str, str | None] = dict(settings)
    for line in change:
        assert changed.get(line.flag) == line.before
        changed[line.flag] = line.after
    return {flag: value for flag, value in changed.items() if value is not None}
