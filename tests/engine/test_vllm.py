"""vLLM on a CPU under load: what its series say against what its clients measured."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from tests.engine.figures import Figure, write_figures
from tests.engine.load import Clients, Load
from tests.engine.places import VLLM_MODEL, VLLM_PYTHON, VLLM_READY, require
from tests.engine.serving import Server, run_server
from tests.engine.watched import compute_median, watch

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1_800)]

MAX_DIFFERENCE = 0.05
MIN_TTFT_S = 0.2
NUM_SLOTS = 4  # fewer than clients, so that requests wait
LOAD = Load(num_clients=12, num_requests=48, num_prompt_words=120, num_output_tokens=32)
WARM_UP = Load(num_clients=2, num_requests=4, num_prompt_words=120, num_output_tokens=8, seed=2)
COMMAND = (
    f"{VLLM_PYTHON} -m vllm.entrypoints.openai.api_server --host 127.0.0.1 --port {{port}} "
    f"--model {VLLM_MODEL} --served-model-name smol --enforce-eager --dtype bfloat16 "
    f"--max-model-len 1024 --max-num-seqs {NUM_SLOTS}"
).split()
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_NUM_THREADS": "2",
}


@pytest.fixture(scope="module")
def vllm() -> Iterator[Server]:
    require(VLLM_READY)
    with run_server("vllm", COMMAND, ENVIRONMENT, ready_s=900) as server:
        yield server


def test_the_series_of_vllm_say_what_the_clients_measured(vllm: Server) -> None:
    clients = Clients(vllm.url, "smol")
    watched = watch(clients, WARM_UP, LOAD)
    measured = watched.measured
    grow = watched.compute_growth
    ttft_s = grow("ttft_s_sum_total") / grow("ttft_s_count_total")
    output_tokens_per_s = grow("output_tokens_total") / watched.elapsed_s
    finished = grow("requests_finished_total")
    running = compute_median([v for v, _ in watched.list_under_load("num_requests_running")])
    waiting = compute_median([v for v, _ in watched.list_under_load("num_requests_waiting")])
    figures = [
        Figure("Requests finished", "count", len(measured.answers), finished),
        Figure("First tokens", "count", len(measured.answers), grow("ttft_s_count_total")),
        Figure("Prompt tokens", "count", measured.num_prompt_tokens, grow("prompt_tokens_total")),
        Figure("Output tokens", "count", measured.num_output_tokens, grow("output_tokens_total")),
        Figure("Mean TTFT", "s", measured.mean_ttft_s, ttft_s),
        Figure("Throughput", "output tokens/s", measured.output_tokens_per_s, output_tokens_per_s),
        Figure("Running + waiting", "requests", LOAD.num_clients, running + waiting),
    ]
    facts = {
        "version": _ask_version(),
        "ready after": f"{vllm.ready_s:.0f} s",
        "load": LOAD,
        "elapsed": f"client {measured.elapsed_s:.2f} s, series {watched.elapsed_s:.2f} s",
        "readings": len(watched.readings),
        "running, waiting": f"{running:g}, {waiting:g}",
        "left out": dict(watched.state.problems),
    }
    write_figures("vllm", figures, facts)

    assert watched.state.sources == {"vllm"}
    assert finished == len(measured.answers) == LOAD.num_requests
    assert grow("ttft_s_count_total") == LOAD.num_requests
    assert grow("output_tokens_total") == measured.num_output_tokens
    assert grow("prompt_tokens_total") == measured.num_prompt_tokens
    assert measured.mean_ttft_s >= MIN_TTFT_S, "the bar is for TTFT that can be told from noise"
    assert ttft_s == pytest.approx(measured.mean_ttft_s, rel=MAX_DIFFERENCE)
    assert output_tokens_per_s == pytest.approx(measured.output_tokens_per_s, rel=MAX_DIFFERENCE)
    assert watched.integrate("output_tokens_per_s") == pytest.approx(
        measured.num_output_tokens, rel=MAX_DIFFERENCE
    )
    # vLLM sets both gauges after a step. When requests end together, what a page says for seconds
    # is what that step left, as its own log does: no more than may be, and all of it at some time.
    assert running <= NUM_SLOTS
    assert running + waiting <= LOAD.num_clients
    seen = [v for v, _ in watched.list_under_load("num_requests_running")]
    assert max(seen) == NUM_SLOTS


def _ask_version() -> str:
    code = (
        "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in "
        "('vllm-cpu', 'torch', 'transformers')), sep=', ')"
    )
    command = [str(VLLM_PYTHON), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
