"""The outcome memory among 100,000 outcomes: how long an answer takes, and whose it is.

    python -m benchmarks.outcome_memory [--outcomes 100000] [--questions 10000] [--timed 200]

Qdrant Edge in this process. One customer has half of the outcomes, 99 share the other half; each is
drawn by a seed. Timed are the ten best for the large customer and for a small one, as of now and as
of the middle of all times, with features alone and with words, from the question to the last
explanation; beside it a scan by numpy of all vectors, which knows neither customers nor times. Then
`--questions` questions of random customers as of random times: each answer's customer and time is
looked at.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np

from optiinfra.adapters.qdrant import open_embedded_memory
from optiinfra.domain.memories import Collection, CostKnowledge, Memory
from optiinfra.domain.situations import DIMENSIONS, SCALES, Situation, to_vector
from optiinfra.ports.outcome_memory import MAX_BATCH, Match, OutcomeMemory, Question

START = datetime(2026, 1, 1, tzinfo=UTC)
NUM_CUSTOMERS = 100
WORDS = (
    "replicas", "night", "peak", "spot", "zone", "interruption", "fp8", "quantised", "quality",
    "held", "missed", "prefix", "cache", "batch", "tokens", "latency", "rollback", "approved",
    "reserved", "commitment", "saving",
)  # fmt: skip
CHOICES = {
    "action": ("reduce_cost", "restore_slo", "scale", "quantise"),
    "model_family": ("llama", "qwen", "mistral", "deepseek", "gemma"),
    "gpu": ("H100-SXM", "A100-80-SXM", "L4", "L40S"),
    "gpu_after": ("H100-SXM", "A100-80-SXM", "L4", "L40S"),
    "engine": ("vllm", "sglang", "tgi"),
    "purchase_option": ("on_demand", "spot", "reserved"),
    "purchase_option_after": ("on_demand", "spot", "reserved"),
}
SMALL, LARGE = UUID(int=2), UUID(int=1)


def draw_situation(rng: np.random.Generator) -> Situation:
    """Nine in ten features are known."""
    values: dict[str, float | str] = {
        name: float(np.exp(rng.uniform(np.log(scale.low), np.log(scale.high))))
        if scale.is_log
        else float(rng.uniform(scale.low, scale.high))
        for name, scale in SCALES.items()
    }
    values |= {name: str(rng.choice(words)) for name, words in CHOICES.items()}
    known = {name: value for name, value in values.items() if rng.random() < 0.9}
    return Situation(**known)  # type: ignore[arg-type]


def draw_text(rng: np.random.Generator, num_words: int) -> str:
    """Words of this trade."""
    return " ".join(rng.choice(WORDS, num_words))


def get_time(number: int) -> datetime:
    """When it became known: a minute after the one before."""
    return START + timedelta(minutes=number)


def fill(memory: OutcomeMemory, num: int, rng: np.random.Generator) -> list[list[float]]:
    """Remember as many outcomes; their vectors."""
    vectors = []
    for first in range(0, num, MAX_BATCH):
        batch = []
        for number in range(first, min(num, first + MAX_BATCH)):
            situation = draw_situation(rng)
            vectors.append(to_vector(situation))
            customer = LARGE if number % 2 else UUID(int=2 + number // 2 % (NUM_CUSTOMERS - 1))
            detail = CostKnowledge("completed", 100.0, float(rng.uniform(0, 150)))
            batch.append(
                Memory(
                    id=UUID(int=10_000 + number),
                    customer_id=customer,
                    situation=situation,
                    text=draw_text(rng, 12),
                    known_at=get_time(number),
                    detail=detail,
                    is_simulated=True,
                )
            )
        memory.remember(batch)
    return vectors


def ask(rng: np.random.Generator, customer: UUID, as_of: datetime, num_words: int) -> Question:
    """A question of that customer."""
    return Question(
        Collection.COST_OPTIMIZATION_KNOWLEDGE,
        customer,
        as_of=as_of,
        situation=draw_situation(rng),
        text=draw_text(rng, num_words),
    )


def measure(answer: Callable[[], object], num: int) -> tuple[float, float, float]:
    """Milliseconds: median and 95th percentile of the wall clock, and median of the CPU."""
    walls, cpus = [], []
    for _ in range(num):
        wall, cpu = time.perf_counter(), time.process_time()
        answer()
        walls.append(1000 * (time.perf_counter() - wall))
        cpus.append(1000 * (time.process_time() - cpu))
    return statistics.median(walls), float(np.quantile(walls, 0.95)), statistics.median(cpus)


def count_wrong(question: Question, matches: list[Match]) -> tuple[int, int]:
    """Memories of another customer, and of later."""
    others = sum(m.memory.customer_id != question.customer_id for m in matches)
    return others, sum(m.memory.known_at > question.as_of for m in matches)


def main() -> None:
    """Fill, time, and look at every answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outcomes", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--timed", type=int, default=200)
    options = parser.parse_args()
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as name:
        memory = open_embedded_memory(Path(name))
        start = time.perf_counter()
        vectors = np.asarray(fill(memory, options.outcomes, rng), dtype=np.float32)
        print(f"{options.outcomes:,} outcomes kept in {time.perf_counter() - start:.0f} s")
        now, middle = get_time(options.outcomes), get_time(options.outcomes // 2)

        def scan() -> None:
            scores = vectors @ rng.normal(size=DIMENSIONS).astype(np.float32)
            np.argpartition(scores, -10)[-10:]

        base, _, base_cpu = measure(scan, options.timed)
        print(f"scan by numpy: {base:.1f} ms, CPU {base_cpu:.1f} ms")
        for label, customer, as_of, num_words in (
            ("half of all, now", LARGE, now, 0),
            ("half of all, now, with words", LARGE, now, 3),
            ("half of all, as of the middle", LARGE, middle, 0),
            ("half a percent of all, now", SMALL, now, 0),
            ("half a percent of all, as of the middle, with words", SMALL, middle, 3),
        ):
            found = measure(
                lambda customer=customer, as_of=as_of, num_words=num_words: memory.recall(  # type: ignore[misc]
                    ask(rng, customer, as_of, num_words)
                ),
                options.timed,
            )
            wall, late, cpu = found
            print(
                f"{label}: median {wall:.1f} ms, p95 {late:.1f} ms, CPU {cpu:.1f} ms;"
                f" {wall / base:.1f} times the scan"
            )
        others = later = num = 0
        for _ in range(options.questions):
            customer = UUID(int=int(rng.integers(1, NUM_CUSTOMERS + 1)))
            as_of = get_time(int(rng.integers(options.outcomes)))
            question = ask(rng, customer, as_of, int(rng.integers(0, 4)))
            matches = memory.recall(question)
            wrong = count_wrong(question, matches)
            others, later, num = others + wrong[0], later + wrong[1], num + len(matches)
        print(
            f"{options.questions:,} questions, {num:,} answers: {others} of another customer,"
            f" {later} of later"
        )
        memory.close()


if __name__ == "__main__":
    main()
