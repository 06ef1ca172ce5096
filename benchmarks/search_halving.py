"""What 1,000 candidates cost beside 100: successive halving on the length of the trace.

    python -m benchmarks.search_halving [--requests 100000] [--runs 3]

Llama-3.1-8B on nine GPU types, batch arguments on a fine grid, one generated conversation, one
thread. CPU time of the whole search, small and large alternating; the winner of the small search on
the whole trace is printed beside that of the halved one. It has to be of the same cost and GPU, and
the large search, which has those shapes as well, may find nothing dearer.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from decimal import Decimal
from itertools import product

from benchmarks.simulator_speed import ARGUMENTS, SLO, get_cpu_s
from optiinfra.domain.analysis import Candidate, Verdict
from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.engine_flags import set_arguments
from optiinfra.domain.fleet import Deployment, Limits
from optiinfra.domain.gpu_catalogue import get_gpu
from optiinfra.domain.prices import Offer
from optiinfra.domain.trace import Trace
from optiinfra.twin.halving import DEFAULT_RUNGS, Rung
from optiinfra.twin.search import search_shapes
from optiinfra.twin.shapes import Shape, find_obstacle
from optiinfra.twin.stand import Stand
from optiinfra.twin.workload import generate_conversation

MAX_RATIO = 2.0
NUM_SMALL, NUM_LARGE = 100, 1_000
PRICES = {  # made up, so that no type wins at a glance; USD per GPU-hour
    "H100-SXM": "2.50",
    "H200-SXM": "3.40",
    "A100-80-SXM": "1.60",
    "A100-80-PCIE": "1.50",
    "L40S": "1.10",
    "H100-PCIE": "2.30",
    "B200": "5.50",
    "RTX-PRO-6000": "1.80",
    "MI300X": "2.90",
}
SEQS = (48, 64, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024)
TOKENS = (512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
LIMITS = Limits(min_replicas=2, max_replicas=32)


def list_grid(trace: Trace, deployment: Deployment) -> list[Shape]:
    """More than a thousand shapes that can serve the trace, GPU types taking turns."""
    shapes: list[Shape] = []
    for tp, seqs, tokens, (name, price) in product((1, 2), SEQS, TOKENS, PRICES.items()):
        if tokens < seqs:
            continue
        gpu = get_gpu(name)
        arguments = set_arguments(
            ARGUMENTS,
            tensor_parallel_size=tp,
            max_num_seqs=seqs,
            max_num_batched_tokens=tokens,
            max_model_len=16_384,
        )
        if find_obstacle(deployment, gpu, arguments, trace) is None:
            offer = Offer(
                gpu=name,
                cloud="benchmark",
                instance_type=f"{name} x8",
                num_gpus=8,
                list_cost_usd_per_h=Decimal(price) * 8,
            )
            shapes.append(Shape(gpu, arguments, (offer,)))
    return shapes


def run(
    shapes: list[Shape], stand: Stand, deployment: Deployment, rungs: tuple[Rung, ...]
) -> tuple[float, Candidate, int]:
    """CPU seconds of a search, its winner, and how many candidates it judged on the whole trace."""
    started = get_cpu_s()
    candidates, _ = search_shapes(shapes, stand, LIMITS, deployment, rungs=rungs)
    spent = get_cpu_s() - started
    keepers = [c for c in candidates if c.verdict is Verdict.KEEPS_SLO]
    winner = min(keepers, key=lambda c: (_get_cost(c), c.service.e2e_s.p95 or 0))
    return spent, winner, len(candidates)


def _get_cost(candidate: Candidate) -> Decimal:
    return candidate.configuration.list_cost_usd_per_h or Decimal(0)


def main() -> int:
    """Print both costs and their ratio; 1 when it is above the bar or a winner differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    architecture = get_architecture("meta-llama/Llama-3.1-8B-Instruct")
    trace = generate_conversation(seed=3, num_requests=options.requests, rate_per_s=40.0)
    stand = Stand(architecture, SLO, trace)
    deployment = Deployment(
        name="chat",
        model=architecture,
        gpu=get_gpu("H100-SXM"),
        num_replicas=4,
        arguments=ARGUMENTS,
        slo=SLO,
    )
    grid = list_grid(trace, deployment)
    large = grid[:NUM_LARGE]
    small = large[:: NUM_LARGE // NUM_SMALL][:NUM_SMALL]
    tiny = generate_conversation(seed=1, num_requests=200, rate_per_s=5.0)
    run(small[:2], stand.with_trace(tiny), deployment, ())  # compiles
    costs: dict[str, list[float]] = {"small": [], "large": []}
    winners: dict[str, Candidate] = {}
    for _ in range(options.runs):
        for name, shapes in (("small", small), ("large", large)):
            spent, winner, num_whole = run(shapes, stand, deployment, DEFAULT_RUNGS)
            costs[name].append(spent)
            winners[name] = winner
            print(
                f"{len(shapes):5} shapes  {spent:7.2f} CPU-s  {num_whole:3} candidates on the "
                f"whole trace  winner {winner.key} ${winner.configuration.list_cost_usd_per_h}/h"
            )
    whole_s, whole, _ = run(small, stand, deployment, ())
    print(
        f"{len(small):5} shapes  {whole_s:7.2f} CPU-s  all on the whole trace  winner {whole.key} "
        f"${whole.configuration.list_cost_usd_per_h}/h"
    )
    ratio = statistics.median(costs["large"]) / statistics.median(costs["small"])
    print(f"{NUM_LARGE:,} cost {ratio:.2f} times what {NUM_SMALL} cost (bar {MAX_RATIO:g})")
    halved, best = winners["small"].configuration, whole.configuration
    is_same = (halved.list_cost_usd_per_h, halved.gpu) == (best.list_cost_usd_per_h, best.gpu)
    is_no_dearer = _get_cost(winners["large"]) <= _get_cost(whole)
    return 0 if ratio <= MAX_RATIO and is_same and is_no_dearer else 1


if __name__ == "__main__":
    sys.exit(main())
