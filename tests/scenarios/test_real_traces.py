"""The main job on the Azure conversation trace: what the README promises of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.factories.fleet import make_deployment, make_fleet, make_gpu, make_offer

import optiinfra
from optiinfra.adapters.traces import read_traces
from optiinfra.domain.fleet import Limits

pytestmark = pytest.mark.real_data


def test_four_h100_are_too_many_and_what_is_recommended_is_not(real_data_dir: Path) -> None:
    (path,) = (real_data_dir / "azure_llm_2023").glob("*conv*.csv")
    (trace,) = read_traces(path).values()
    assert trace.num_requests == 19_366
    fleet = make_fleet(
        gpus=(make_gpu(), make_gpu("A100-80-SXM")),
        offers=(make_offer("H100-SXM", "2.50"), make_offer("A100-80-SXM", "1.60")),
        limits=Limits(max_replicas=8),
    )
    analysis = optiinfra.analyze(fleet, trace)
    best = analysis.recommendations[0]
    assert best.saving_usd_per_h is not None
    assert best.saving_usd_per_h > 0
    assert best.after.service_one_lost is not None
    assert best.after.service_one_lost.slo_attainment_ratio >= 0.95
    after = best.after.configuration
    deployment = make_deployment(
        gpu=make_gpu(after.gpu),
        num_replicas=after.num_replicas,
        arguments=after.arguments,
        offer=after.offer,
    )
    again = optiinfra.analyze(replace(fleet, deployments=(deployment,)), trace)
    assert again.recommendations == ()
