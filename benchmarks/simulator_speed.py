"""Simulated requests per CPU-second, jumping and walking every step.

    python -m benchmarks.simulator_speed [--requests 1000000] [--runs 5]

Llama-3.1-8B on one H100 at 70 % of its sustainable rate (TTFT 1 s, TPOT 30 ms, 95 %) under a
generated conversation; all outputs on: per-request times, gaps between tokens, preemptions, a
series of one a second, distributions, attainment, occupancies, histograms. The same with block
hashes: 200 system prompts of 1,024 tokens, drawn like Zipf. CPU time of the process and of its
children; compilation is apart. Jumping and walking alternate, so a change of the machine's speed
meets both alike.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from dataclasses import replace

import numpy as np

from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.fleet import SLOTarget
from optiinfra.domain.gpu_catalogue import get_gpu
from optiinfra.domain.trace import PrefixHashes, Trace
from optiinfra.twin.memory import MemoryPlan
from optiinfra.twin.replicas import simulate
from optiinfra.twin.service import summarize_service
from optiinfra.twin.stand import Stand, find_sustainable_rate
from optiinfra.twin.step_time import StepTimeModel, build_step_time_model
from optiinfra.twin.workload import generate_conversation
from optiinfra.twin.workload.prefixes import number_densely

SLO = SLOTarget(ttft_s=1.0, tpot_s=0.030, attainment_ratio=0.95)
ARGUMENTS = EngineArguments(
    engine=Engine.VLLM,
    version="0.19",
    max_num_seqs=1024,
    max_num_batched_tokens=8192,
    gpu_memory_utilization=0.9,
)
LOAD_RATIO = 0.7
TARGET_PER_S = 300_000
HASHED_TARGET_PER_S = 100_000
NUM_GROUPS, NUM_SHARED_BLOCKS, BLOCK_TOKENS = 200, 2, 512


def get_cpu_s() -> float:
    """CPU seconds of this process and its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(trace: Trace, model: StepTimeModel, plan: MemoryPlan, *, is_jumping: bool) -> float:
    """CPU seconds of one simulation with everything it reports."""
    started = get_cpu_s()
    result = simulate(
        trace,
        model,
        plan,
        ARGUMENTS,
        num_replicas=1,
        is_jumping=is_jumping,
        has_itl=True,
        tick_s=1.0,
    )
    summarize_service(trace, result, SLO, plan, ARGUMENTS, has_histograms=True)
    return get_cpu_s() - started


def add_hashes(trace: Trace) -> Trace:
    """The trace with a shared system prompt before each prompt, in blocks of 512 tokens."""
    rng = np.random.default_rng(5)
    prompts = trace.prompt_tokens + NUM_SHARED_BLOCKS * BLOCK_TOKENS
    lengths = -(-prompts.astype(np.int64) // BLOCK_TOKENS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    group = np.minimum(rng.zipf(1.5, trace.num_requests) - 1, NUM_GROUPS - 1)
    ids = NUM_GROUPS * NUM_SHARED_BLOCKS + np.arange(int(offsets[-1]), dtype=np.int64)
    for block in range(NUM_SHARED_BLOCKS):
        ids[offsets[:-1] + block] = group * NUM_SHARED_BLOCKS + block
    hashes = PrefixHashes(offsets, number_densely(ids), BLOCK_TOKENS)
    return replace(trace, prompt_tokens=prompts.astype(np.int32), prefix_hashes=hashes)


def main() -> int:
    """Print medians and their ratio; 1 when the jumping loop misses the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    architecture, gpu = get_architecture("meta-llama/Llama-3.1-8B-Instruct"), get_gpu("H100-SXM")
    started = time.perf_counter()
    small = generate_conversation(seed=1, num_requests=20_000, rate_per_s=10.0)
    stand = Stand(architecture, SLO, small)
    rate = find_sustainable_rate(stand, gpu, ARGUMENTS, 1)
    if rate is None:
        print("no sustainable rate", file=sys.stderr)
        return 1
    print(
        f"sustainable rate {rate:.2f}/s (with compilation: {time.perf_counter() - started:.1f} s)"
    )
    trace = generate_conversation(
        seed=2, num_requests=options.requests, rate_per_s=LOAD_RATIO * rate
    )
    plan = stand.with_trace(trace).plan_memory(gpu, ARGUMENTS)
    model = build_step_time_model(architecture, gpu, ARGUMENTS)
    hashed = add_hashes(trace)
    jumping, walking, hashing = [], [], []
    run(small, model, plan, is_jumping=True)
    for _ in range(options.runs):
        jumping.append(run(trace, model, plan, is_jumping=True))
        walking.append(run(trace, model, plan, is_jumping=False))
        hashing.append(run(hashed, model, plan, is_jumping=True))
    tokens = int(trace.output_tokens.sum(dtype="int64"))
    print(f"{options.requests:,} requests, {tokens:,} output tokens, {options.runs} runs each")
    medians = {}
    for name, times in (
        ("jumping", jumping),
        ("every step", walking),
        ("with hashes", hashing),
    ):
        medians[name] = options.requests / statistics.median(times)
        spread = f"{options.requests / max(times):,.0f} to {options.requests / min(times):,.0f}"
        print(f"{name:12} {medians[name]:12,.0f} requests per CPU-second (median; {spread})")
    print(f"ratio        {medians['jumping'] / medians['every step']:12.2f}")
    print("peers: splitwise-sim 57, a Vidur fork 43 to 68, LLMServingSim 2 requests per second")
    is_fast = medians["jumping"] >= TARGET_PER_S and medians["with hashes"] >= HASHED_TARGET_PER_S
    return 0 if is_fast else 1


if __name__ == "__main__":
    sys.exit(main())
