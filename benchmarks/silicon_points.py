"""TPOT of the step-time model against measured points: where the printed interval comes from.

    OPTIINFRA_DATA=… python -m benchmarks.silicon_points

Points: `silicon/silicon_agg.csv`, measured (TTFT, TPOT) of closed-loop runs published by
aiconfigurator (Apache-2.0, 095f58a5). Taken: dense models of the catalogue in bf16 or fp8 on one
tensor parallel group of at most 8 GPUs; duplicates are merged by their median. Left out, and
counted: 4-bit floats, mixtures of experts, data parallel attention, GPUs not in the catalogue.

A blank quantization (two of the seven groups) is taken as bf16; by the source it may also mean
"not recorded". Qwen3-32B on SGLang, the slowest group beside the prediction, is one of them.

Closed loop with B clients: TPOT = decode step of B requests at half output
+ (B - 1) / output tokens * prefill step of one prompt (decision science, section 1).

Nothing is fitted here: the constants were set beforehand from the ranges in the literature, so
every residual is of a point the model never saw. Their distribution, every group weighing the
same, is the table that `twin/uncertainty.py` ships; this command prints it again, and fails where
the two differ.
"""

from __future__ import annotations

import csv
import os
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.gpu_catalogue import get_gpu
from optiinfra.twin.step_time import (
    DEFAULT_CONSTANTS,
    StepConstants,
    build_step_time_model,
    compute_step_s,
)
from optiinfra.twin.uncertainty import STEP_RATIO_QUANTILES

SYSTEMS = {"h100_sxm": "H100-SXM", "h200_sxm": "H200-SXM", "b200_sxm": "B200-SXM"}
MODELS = {
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Llama-3.1-8B-Instruct",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.1-70B": "meta-llama/Llama-3.1-70B",
    "Qwen/Qwen3-32B": "Qwen/Qwen3-32B",
}


@dataclass(frozen=True)
class Point:
    """One measured deployment at one concurrency."""

    model: str
    system: str
    backend: str
    quantization: str | None
    tensor_parallel_size: int
    input_tokens: int
    output_tokens: int
    concurrency: int
    tpot_s: float

    @property
    def group(self) -> tuple[str, str, str]:
        """(model, GPU, engine), the unit in which errors are averaged."""
        return self.model, self.system, self.backend


def read_points(path: Path) -> tuple[list[Point], Counter[str]]:
    """Points and, by reason, how many rows were left out."""
    measured: dict[Point, list[float]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            reason = _find_reason(row)
            if reason:
                left_out[reason] += 1
                continue
            point = Point(
                model=row["model_path"],
                system=row["system"],
                backend=row["backend"],
                quantization="fp8" if row["gemm_quant_mode"].startswith("fp8") else None,
                tensor_parallel_size=int(row["tp_size"]),
                input_tokens=int(row["isl"]),
                output_tokens=int(row["osl"]),
                concurrency=int(row["concurrency"]),
                tpot_s=0.0,
            )
            measured[point].append(float(row["silicon_tpot_ms"]) / 1e3)
    points = [replace(p, tpot_s=float(np.median(v))) for p, v in measured.items()]
    return points, left_out


def _find_reason(row: dict[str, str]) -> str | None:
    """Why a row is left out; None when it is taken."""
    reasons = {
        "model not dense or not in the catalogue": row["model_path"] not in MODELS,
        "GPU not in the catalogue": row["system"] not in SYSTEMS,
        "4-bit floating point": row["gemm_quant_mode"] not in ("", "fp8", "fp8_block"),
        "no concurrency": not row["concurrency"],
        "data or pipeline parallel": row["attention_dp_size"] not in ("", "1")
        or row["pp_size"] not in ("", "1"),
        "more than 8 ranks": int(row["tp_size"]) > 8,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def predict_tpot_s(point: Point, constants: StepConstants) -> float:
    """TPOT of a closed loop in seconds; see the module's docstring."""
    architecture = get_architecture(MODELS[point.model])
    arguments = EngineArguments(
        engine=Engine.VLLM,
        version="0.19",
        max_num_seqs=max(point.concurrency, 1),
        max_num_batched_tokens=8192,
        gpu_memory_utilization=0.9,
        tensor_parallel_size=point.tensor_parallel_size,
        quantization=point.quantization,
    )
    model = build_step_time_model(
        architecture, get_gpu(SYSTEMS[point.system]), arguments, constants
    )
    clients = point.concurrency
    context = clients * (point.input_tokens + point.output_tokens // 2)
    decode_s = compute_step_s(model, num_decodes=clients, context_tokens=context)
    prefill_s = compute_step_s(
        model,
        num_decodes=0,
        context_tokens=0,
        prefill_tokens=point.input_tokens,
        num_prefills=1,
        attention_pairs=point.input_tokens**2 / 2,
    )
    return decode_s + (clients - 1) / point.output_tokens * prefill_s


def compute_log_ratios(points: list[Point], constants: StepConstants) -> np.ndarray:
    """log(measured / predicted) of each point."""
    return np.array([np.log(p.tpot_s / predict_tpot_s(p, constants)) for p in points])


def print_groups(points: list[Point], ratios: np.ndarray) -> None:
    """One line a group: points, mean absolute error and bias of the prediction."""
    print(f"{'group':62} {'n':>4} {'MAPE':>7} {'median':>7} {'bias':>7}")
    for group in sorted({p.group for p in points}):
        own = ratios[[p.group == group for p in points]]
        error = np.abs(np.exp(-own) - 1)
        bias = np.exp(-own).mean() - 1
        name = " ".join(group)
        print(f"{name:62} {own.size:4} {error.mean():7.1%} {np.median(error):7.1%} {bias:+7.1%}")
    error = np.abs(np.exp(-ratios) - 1)
    print(f"{'all points':62} {ratios.size:4} {error.mean():7.1%} {np.median(error):7.1%}")


def compute_quantiles(points: list[Point], ratios: np.ndarray) -> np.ndarray:
    """Quantiles 0 %, 5 %, … 100 % of measured / predicted, every group weighing the same."""
    sizes = Counter(p.group for p in points)
    weights = np.array([1.0 / sizes[p.group] for p in points])
    order = np.argsort(ratios)
    cumulative = np.cumsum(weights[order]) / weights.sum()
    quantiles: np.ndarray = np.exp(np.interp(np.linspace(0, 1, 21), cumulative, ratios[order]))
    return quantiles


def main() -> int:
    """Print errors and residual quantiles; 1 when the shipped table is another one."""
    folder = os.environ.get("OPTIINFRA_DATA")
    if not folder:
        print("OPTIINFRA_DATA names no folder: nothing measured.", file=sys.stderr)
        return 2
    points, left_out = read_points(Path(folder) / "silicon" / "silicon_agg.csv")
    print(f"{len(points)} points; left out: {dict(left_out)}")
    ratios = compute_log_ratios(points, DEFAULT_CONSTANTS)
    print_groups(points, ratios)
    quantiles = compute_quantiles(points, ratios)
    print("quantiles of measured / predicted TPOT (0 %, 5 %, … 100 %):")
    print("(" + ", ".join(f"{q:.3f}" for q in quantiles) + ")")
    if np.abs(quantiles - STEP_RATIO_QUANTILES).max() > 0.002:
        print("the shipped table in twin/uncertainty.py is another one", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
