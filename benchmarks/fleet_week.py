"""A week of 44 million requests through an autoscaled fleet, request by request.

    OPTIINFRA_DATA=… python -m benchmarks.fleet_week [--threads 2] [--share 1.0]

The reconstructed Azure week (conversation and code), generated from its rate curve and the
conversation lengths while it is simulated, so that one chunk is in memory at a time. Llama-3.1-8B
on H100s: a reactive scaler at 0.85 of a replica's sustainable rate, cold starts of five minutes,
two routers that take requests in turn and choose the less loaded of two replicas. Then the fluid
tier on the same minutes, beside it. Compilation is loaded or done before the clock starts, and
printed.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.simulator_speed import ARGUMENTS, SLO, get_cpu_s
from optiinfra.adapters.azure_week import read_azure_week
from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.gpu_catalogue import get_gpu
from optiinfra.twin.fleet import (
    Pool,
    SimulatedDeployment,
    UtilizationScaler,
    measure_service_curve,
    simulate_fleet,
    simulate_fluid,
)
from optiinfra.twin.memory import compute_memory_plan
from optiinfra.twin.stand import Stand, find_sustainable_rate
from optiinfra.twin.step_time import build_step_time_model
from optiinfra.twin.workload import generate_conversation, reconstruct_azure_week
from optiinfra.twin.workload.fit_transforms import scale_fit_rate

if TYPE_CHECKING:
    from optiinfra.twin.workload import RequestStream

WEEK = "azure_llm_2024_week/requests_per_minute.csv"
MAX_WALL_S = 90.0
MAX_BYTES = 4 * 2**30
MAX_GPU_HOURS_ERROR, MAX_ATTAINMENT_ERROR = 0.03, 0.01
CHUNK = 500_000


def make_week(folder: Path, share: float, seed: int) -> RequestStream:
    """The week's requests, or a share of them at each moment."""
    fit = reconstruct_azure_week(read_azure_week(folder / WEEK))
    return scale_fit_rate(fit, share).make_stream(seed=seed)


def main() -> int:
    """Print wall, CPU, memory and both tiers' answers; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of the week's requests")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = os.environ.get("OPTIINFRA_DATA")
    if not folder:
        print("OPTIINFRA_DATA names no folder: nothing measured.", file=sys.stderr)
        return 2
    architecture, gpu = get_architecture("meta-llama/Llama-3.1-8B-Instruct"), get_gpu("H100-SXM")
    started = time.perf_counter()
    trace = generate_conversation(seed=1, num_requests=20_000, rate_per_s=10.0)
    rate = find_sustainable_rate(Stand(architecture, SLO, trace), gpu, ARGUMENTS, 1)
    if rate is None:
        print("no sustainable rate", file=sys.stderr)
        return 1
    pool = Pool(
        name="h100",
        gpu=gpu.name,
        model=build_step_time_model(architecture, gpu, ARGUMENTS),
        plan=compute_memory_plan(architecture, gpu, ARGUMENTS),
        arguments=ARGUMENTS,
        cold_start_s=300.0,
        num_initial=8,
        max_replicas=48,
    )
    curve = measure_service_curve(pool, SLO, trace, sustainable_per_s=rate)
    scaler = UtilizationScaler("h100", rate, target_ratio=0.85, min_replicas=2)
    stream = make_week(Path(folder), options.share, options.seed)
    week = SimulatedDeployment(
        name="week",
        pools=(pool,),
        slo=SLO,
        chunks=lambda: stream.iter_chunks(max_requests=CHUNK),
        scaler=scaler,
        num_routers=2,
        seed=options.seed,
    )
    tiny = make_week(Path(folder), 0.0005, options.seed)
    simulate_fleet([replace(week, chunks=lambda: tiny.iter_chunks(max_requests=CHUNK))])
    print(
        f"sustainable rate {rate:.2f}/s, service curve and compilation: "
        f"{time.perf_counter() - started:.1f} s"
    )
    wall, cpu = time.perf_counter(), get_cpu_s()
    (answer,) = simulate_fleet([week], num_threads=options.threads)
    wall, cpu = time.perf_counter() - wall, get_cpu_s() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{answer.num_requests:,} requests, {answer.output_tokens:,} output tokens: {wall:.1f} s "
        f"wall, {cpu:.1f} CPU-s ({answer.num_requests / cpu:,.0f} requests per CPU-second), "
        f"{memory / 2**20:,.0f} MiB"
    )
    print(
        f"request tier  {answer.gpu_hours_total:8.1f} GPU-h  attainment "
        f"{answer.slo_attainment_ratio:.4%}  TTFT p95 {answer.ttft_s.p95} s  "
        f"{answer.num_launched['h100']} launches"
    )
    started = time.perf_counter()
    fluid = simulate_fluid(answer.series.num_arrivals, pool, curve, scaler)
    print(
        f"fluid tier    {fluid.gpu_hours:8.1f} GPU-h  attainment {fluid.slo_attainment_ratio:.4%}  "
        f"{fluid.num_launched} launches  {(time.perf_counter() - started) * 1e3:.0f} ms"
    )
    hours_error = fluid.gpu_hours / answer.gpu_hours_total - 1
    attainment_error = fluid.slo_attainment_ratio - answer.slo_attainment_ratio
    print(f"difference    {hours_error:+.3%} GPU-h  {attainment_error:+.3%} points of attainment")
    is_kept = (
        wall <= MAX_WALL_S
        and memory <= MAX_BYTES
        and abs(hours_error) <= MAX_GPU_HOURS_ERROR
        and abs(attainment_error) <= MAX_ATTAINMENT_ERROR
        and not answer.is_unstable
    )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
