"""Generated workloads beside the traces that they were fitted to, and the speed of a week.

    python -m benchmarks.workload [--seeds 10] [--week-seed 1]

Reads the Azure conversation trace, the Mooncake trace and the plotted points of the Azure week in
the folder that OPTIINFRA_DATA names. Printed for each trace is what was measured, and mean and
spread of the same figure over several generated ones; a figure outside its tolerance says so. The
week is reconstructed, generated chunk by chunk, and timed beside a plain loop that draws one
request at a time.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import sys
import time
from bisect import bisect
from pathlib import Path

import numpy as np

from optiinfra.adapters.azure_week import read_azure_week
from optiinfra.adapters.traces import read_traces
from optiinfra.twin.workload import (
    WorkloadFit,
    WorkloadStatistics,
    fit_workload,
    measure_workload,
    reconstruct_azure_week,
)

TRACES = ("azure_llm_2023/AzureLLMInferenceTrace_conv.csv", "mooncake/synthetic_trace.jsonl")
WEEK = "azure_llm_2024_week/requests_per_minute.csv"
NUM_PLAIN = 300_000  # requests of the plain loop
MAX_CPU_S = 15.0  # that generating the week may take
MAX_BYTES = 2**30

# How far a mean over generated traces may lie from the trace, by how the figure's name begins.
RELATIVE_TOLERANCES = {
    "requests": 0.03,
    "variation": 0.05,
    "index of dispersion": 0.3,
    "prompt tokens mean": 0.03,
    "output tokens mean": 0.03,
    "prompt tokens": 0.06,
    "output tokens": 0.06,
    "last used": 0.2,
}
ABSOLUTE_TOLERANCES = {"rank": 0.03, "share of": 0.05, "blocks used once": 0.1}


def main() -> int:
    """Print all; 1 where a tolerance or the time of the week is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--week-seed", type=int, default=1)
    options = parser.parse_args()
    folder = os.environ.get("OPTIINFRA_DATA")
    if folder is None:
        print("OPTIINFRA_DATA is not set: no real traces to compare with", file=sys.stderr)
        return 2
    is_good = sum(compare(Path(folder) / name, options.seeds) for name in TRACES) == 0
    week = reconstruct_azure_week(read_azure_week(Path(folder) / WEEK))
    return 0 if time_week(week, options.week_seed) and is_good else 1


def compare(path: Path, num_seeds: int) -> int:
    """Figures of a trace beside those of generated ones; how many are outside their tolerance."""
    trace = read_traces(path)[None]
    started = time.process_time()
    fit = fit_workload(trace)
    fitted = time.process_time()
    generated = [fit.make_stream(seed=seed).to_trace() for seed in range(num_seeds)]
    print(
        f"\n{trace.source}: fitted in {fitted - started:.2f} CPU-s, {num_seeds} generated in "
        f"{time.process_time() - fitted:.2f} CPU-s"
    )
    print(f"  gaps vary by {fit.bursts.gap_cv:.3f}; the rate wavers by " + describe_bursts(fit))
    wanted, *found = (list_figures(measure_workload(one)) for one in (trace, *generated))
    print(f"  {'figure':36}{'trace':>10}{'generated':>11}{'spread':>9}{'tolerance':>11}")
    return sum(
        not print_figure(name, value, [one[name] for one in found if name in one])
        for name, value in wanted.items()
    )


def describe_bursts(fit: WorkloadFit) -> str:
    """The noises around the rate."""
    pairs = zip(fit.bursts.scale_s, fit.bursts.variance_ratio, strict=True)
    return ", ".join(f"{v**0.5:.1%} over {s:.3g} s" for s, v in pairs) or "nothing"


def list_figures(statistics: WorkloadStatistics) -> dict[str, float]:
    """The figures that are compared, by name."""
    figures: dict[str, float | None] = {
        "requests": statistics.num_requests,
        "variation of gaps": statistics.gap_cv,
        "rank correlation of lengths": statistics.rank_correlation,
    }
    for at in statistics.dispersion:
        figures[f"index of dispersion, {at.window_s:g} s"] = at.index_of_dispersion
    pairs = (("prompt", statistics.prompt_tokens), ("output", statistics.output_tokens))
    for name, lengths in pairs:
        figures[f"{name} tokens mean"] = lengths.mean
        figures[f"{name} tokens, spread over mean"] = lengths.cv
        figures[f"{name} tokens p50"] = lengths.quantiles[2]
        figures[f"{name} tokens p95"] = lengths.quantiles[4]
    prefixes = statistics.prefixes
    if prefixes is not None:
        figures["share of prompt blocks seen before"] = prefixes.block_hit_ratio
        figures["share of requests with a prefix seen"] = prefixes.request_hit_ratio
        figures["blocks used once only"] = prefixes.single_use_ratio
        if prefixes.shared_ratio_quantiles and prefixes.lag_s_quantiles:
            figures["share of the prompt, p50"] = prefixes.shared_ratio_quantiles[1]
            figures["last used before, p50, s"] = prefixes.lag_s_quantiles[1]
            figures["last used before, p90, s"] = prefixes.lag_s_quantiles[2]
    return {name: value for name, value in figures.items() if value is not None}


def print_figure(name: str, measured: float, values: list[float]) -> bool:
    """One row; whether the mean of the generated ones is within tolerance."""
    mean, spread = float(np.mean(values)), float(np.std(values))
    miss, tolerance, text = abs(mean - measured), 0.0, ""
    for start, relative in RELATIVE_TOLERANCES.items():
        if name.startswith(start):
            miss, tolerance, text = miss / abs(measured), relative, f"{relative:.0%}"
            break
    for start, absolute in ABSOLUTE_TOLERANCES.items():
        if name.startswith(start):
            tolerance, text = absolute, f"{absolute:g}"
    flag = "" if miss <= tolerance else "  missed"
    print(f"  {name:36}{measured:10.4g}{mean:11.4g}{spread:9.2g}{text:>11}{flag}")
    return miss <= tolerance


def time_week(week: WorkloadFit, seed: int) -> bool:
    """Generate the whole week in chunks of two sizes, and some requests one by one."""
    print(f"\n{week.provenance.source}; {week.provenance.notes[1]}")
    digests, cpu_s, num_requests = set(), [], 0
    for max_requests in (1_000_000, 123_457):
        sha = hashlib.sha256()
        hashing_s, num_requests, started = 0.0, 0, time.process_time()
        for chunk in week.make_stream(seed=seed).iter_chunks(max_requests=max_requests):
            hashing_s -= time.process_time()
            num_requests += chunk.num_requests
            sha.update(chunk.arrival_s.tobytes())
            hashing_s += time.process_time()
        cpu_s.append(time.process_time() - started - hashing_s)
        digests.add(sha.hexdigest())
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    plain_per_s, per_s = time_plain_loop(week), num_requests / cpu_s[0]
    ratio = per_s / plain_per_s
    print(f"  {num_requests:,} requests in {cpu_s[0]:.1f} CPU-s: {per_s:,.0f} per CPU-second")
    print(f"  plain loop, one at a time: {plain_per_s:,.0f} per CPU-second, ratio {ratio:.0f}")
    verdict = "the same" if len(digests) == 1 else "NOT the same"
    print(f"  in chunks of 1,000,000 and of 123,457: {verdict} arrivals")
    print(f"  peak memory of this process {peak_bytes / 2**20:.0f} MiB")
    return len(digests) == 1 and cpu_s[0] <= MAX_CPU_S and peak_bytes <= MAX_BYTES


def time_plain_loop(week: WorkloadFit) -> float:
    """Requests per CPU-second of the obvious program: exponential gaps, a table of lengths."""
    rng = random.Random(1)
    prompts, outputs = (column.tolist() for column in week.lengths.table)
    knots, rates = week.rate.knot_s.tolist(), week.rate.rate_per_s.tolist()
    started, at_s, made = time.process_time(), 0.0, []
    for _ in range(NUM_PLAIN):
        at_s += rng.expovariate(rates[bisect(knots, at_s) - 1])
        pair = rng.randrange(len(prompts))
        made.append((at_s, prompts[pair], outputs[pair]))
    return len(made) / (time.process_time() - started)


if __name__ == "__main__":
    sys.exit(main())
