"""The twin beside two measured vLLM runs: means of queue, service, TTFT, TPOT and end to end.

    OPTIINFRA_DATA=… python -m benchmarks.measured_runs

The runs are `vllm_measured/` (casys-kaist/LLMServingSim 5daddb21, MIT): vLLM 0.19, 300 requests
each, on RTX PRO 6000 (1,597 GB/s, as the run's own configuration says). Both are overloads of
29 s, so TTFT is mostly backlog: it is scored from `queued_ts`, and queue and service stand apart.
Built-in constants; nothing was fitted to these runs.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.traces import read_measured_requests
from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.gpu_catalogue import get_gpu
from optiinfra.domain.measurement import MeasuredRequests
from optiinfra.twin.memory import compute_memory_plan
from optiinfra.twin.replicas import simulate
from optiinfra.twin.step_time import build_step_time_model

MAX_ERROR_RATIO = 0.25  # on the mean of end to end
RUNS = ("RTXPRO6000_Llama-3.1-8B", "RTXPRO6000_Qwen3-30B-A3B-Instruct-2507")


def predict(run: Path, requests: MeasuredRequests) -> dict[str, NDArray[np.float64]]:
    """The same figures as measured, by name, seconds of each request."""
    meta = json.loads((run / "meta.json").read_text())
    nodes = json.loads((run / "model_config.json").read_text())["nodes"]
    memory = nodes[0]["instances"][0]["npu_mem"]
    flags = meta["engine_kwargs"]
    arguments = EngineArguments(
        engine=Engine.VLLM,
        version=meta["vllm_version"],
        max_num_seqs=flags["max_num_seqs"],
        max_num_batched_tokens=flags["max_num_batched_tokens"],
        gpu_memory_utilization=memory["mem_util"],
        tensor_parallel_size=flags["tensor_parallel_size"],
        data_parallel_size=flags["data_parallel_size"],
        has_expert_parallel=flags["enable_expert_parallel"],
    )
    gpu = replace(get_gpu("RTX-PRO-6000"), memory_bytes_per_s=memory["mem_bw"] * 1e9)
    architecture = get_architecture(meta["model"])
    result = simulate(
        requests.trace,
        build_step_time_model(architecture, gpu, arguments),
        compute_memory_plan(architecture, gpu, arguments),
        arguments,
        num_replicas=1,
    )
    arrival_s, output = requests.trace.arrival_s, requests.trace.output_tokens
    decode_s = result.finished_s - result.first_token_s
    return {
        "queue": result.first_scheduled_s - arrival_s,
        "service": result.first_token_s - result.first_scheduled_s,
        "TTFT": result.first_token_s - arrival_s,
        "TPOT": np.where(output > 1, decode_s / np.maximum(output - 1, 1), np.nan),
        "end to end": result.finished_s - arrival_s,
    }


def main() -> int:
    """Print both runs; 1 when the mean of end to end is further off than the bar."""
    folder = os.environ.get("OPTIINFRA_DATA")
    if not folder:
        print("OPTIINFRA_DATA names no folder: nothing measured.", file=sys.stderr)
        return 2
    is_missed = False
    for name in RUNS:
        run = Path(folder) / "vllm_measured" / name
        requests = read_measured_requests(run)
        measured = {
            "queue": requests.queue_s,
            "service": requests.ttft_s - requests.queue_s,
            "TTFT": requests.ttft_s,
            "TPOT": requests.tpot_s,
            "end to end": requests.e2e_s,
        }
        predicted = predict(run, requests)
        print(f"{name}: {requests.trace.num_requests} requests")
        print(f"  {'mean, seconds':14}{'measured':>10}{'predicted':>10}{'error':>9}")
        for figure, values in measured.items():
            a, b = float(np.nanmean(values)), float(np.nanmean(predicted[figure]))
            print(f"  {figure:14}{a:10.4f}{b:10.4f}{b / a - 1:+9.1%}")
        ratio = predicted["end to end"] / measured["end to end"]
        error = float(predicted["end to end"].mean() / measured["end to end"].mean() - 1)
        print(f"  end to end, mean absolute error per request {np.abs(ratio - 1).mean():.1%}")
        is_missed |= abs(error) > MAX_ERROR_RATIO
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
