"""Test data: measured points of closed loops, made by the performance model itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.gpu_catalogue import get_gpu
from optiinfra.twin.calibration.constants import START
from optiinfra.twin.performance.closed_loop import (
    LoopConstants,
    compute_running,
    predict_service,
    predict_tpot,
    predict_wait,
)
from optiinfra.twin.performance.points import (
    Group,
    MeasuredCurve,
    PointDeployment,
    PointTable,
    build_table,
)
from optiinfra.twin.performance.work import Layout

LOADS = (4.0, 8.0, 16.0, 32.0, 64.0)
MODELS = ("meta-llama/Llama-3.1-8B", "Qwen/Qwen3-32B", "Qwen/Qwen3-30B-A3B")


def make_point_deployment(
    model: str = "meta-llama/Llama-3.1-8B",
    gpu: str = "H100-SXM",
    engine: str = "vllm",
    **overrides: Any,
) -> PointDeployment:
    values: dict[str, Any] = {
        "group": Group(model, gpu, engine),
        "architecture": get_architecture(model),
        "gpu": get_gpu(gpu),
        "engine_version": "0.19.0",
        "precision": "bf16",
        "layout": Layout(),
        "prompt_tokens": 1024,
        "output_tokens": 512,
    }
    return PointDeployment(**{**values, **overrides})


def make_curve(deployment: PointDeployment, loads: tuple[float, ...] = LOADS) -> MeasuredCurve:
    """A curve as the model with the constants a fit begins from would measure it."""
    ones = np.ones(len(loads))
    table = build_table([MeasuredCurve(deployment, np.array(loads), ones, ones)])
    running = compute_running(table)
    loop = LoopConstants()
    prior = predict_tpot(table, START, loop, running)
    service_s = predict_service(
        table, loop, prefill_s=prior.prefill_s, tpot_s=prior.tpot_s, running=running
    )
    wait_s = predict_wait(table, tpot_s=prior.tpot_s, running=running)
    return MeasuredCurve(deployment, np.array(loads), service_s + wait_s, prior.tpot_s)


def make_curves(*, noise: float = 0.03, seed: int = 0) -> list[MeasuredCurve]:
    """Six groups (three models on two GPU types) of two deployments each, with noise."""
    rng = np.random.default_rng(seed)
    curves: list[MeasuredCurve] = []
    for model in MODELS:
        for gpu in ("H100-SXM", "H200-SXM"):
            for size in (2, 4):
                layout = Layout(tensor_parallel_size=size, expert_ranks=size)
                curve = make_curve(make_point_deployment(model, gpu, layout=layout))
                factor = np.exp(rng.normal(0, noise, (2, len(LOADS))))
                curves.append(
                    replace(curve, ttft_s=curve.ttft_s * factor[0], tpot_s=curve.tpot_s * factor[1])
                )
    return curves


def make_table(*, noise: float = 0.03, seed: int = 0) -> PointTable:
    return build_table(make_curves(noise=noise, seed=seed))
