"""Command lines of the three engines, and the round trip through the fields."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiinfra.adapters.command_line import format_command_line, read_command_line
from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.engine_arguments import Engine
from optiinfra.domain.engine_defaults import VERSIONS, resolve_arguments
from optiinfra.domain.errors import InputError
from optiinfra.domain.gpu_catalogue import get_gpu

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.mark.parametrize(
    ("command", "values"),
    [
        (f"vllm serve {MODEL} --max-num-seqs 64", {"max_num_seqs": 64}),
        (f"vllm serve {MODEL} --max_num_seqs=64", {"max_num_seqs": 64}),
        (f"vllm serve --model {MODEL} -tp 2", {"tensor_parallel_size": 2}),
        (f"vllm serve --trust-remote-code {MODEL} -tp=2", {"tensor_parallel_size": 2}),
        (f"vllm serve {MODEL} --max-model-len 8k", {"max_model_len": 8000}),
        (f"vllm serve {MODEL} --max-model-len 8K", {"max_model_len": 8192}),
        (f"vllm serve {MODEL} --no-enable-prefix-caching", {"has_prefix_caching": False}),
        (f"vllm serve {MODEL} --dtype half", {"dtype": "float16"}),
        (f"vllm serve {MODEL} --quantization awq_marlin", {"quantization": "awq"}),
        (f"vllm serve {MODEL} --max-num-seqs 8 --max-num-seqs 9", {"max_num_seqs": 9}),
        (
            (
                "HF_TOKEN=a CUDA_VISIBLE_DEVICES=0,1 python3 -m vllm.entrypoints.openai.api_server "
                f"--model {MODEL} \\\n  --gpu-memory-utilization 0.95 --port 8000 # in production"
            ),
            {"gpu_memory_utilization": 0.95},
        ),
        (
            f"exec /usr/bin/vllm serve '{MODEL}' --served-model-name a b --data-parallel-size 2",
            {"data_parallel_size": 2},
        ),
        (
            (
                f"python -m sglang.launch_server --model-path {MODEL} --tp 2 --disable-radix-cache "
                "--mem-fraction-static 0.85 --max-running-requests 128"
            ),
            {
                "tensor_parallel_size": 2,
                "has_prefix_caching": False,
                "gpu_memory_utilization": 0.85,
                "max_num_seqs": 128,
            },
        ),
        (
            (
                f"PREFIX_CACHING=0 MAX_BATCH_SIZE=32 text-generation-launcher --model-id {MODEL} "
                "--num-shard 2 --max-concurrent-requests 64 --cuda-memory-fraction 0.8"
            ),
            {
                "has_prefix_caching": False,
                "max_num_seqs": 32,
                "tensor_parallel_size": 2,
                "max_concurrent_requests": 64,
                "gpu_memory_utilization": 0.72,
            },
        ),
    ],
)
def test_spellings(command: str, values: dict[str, Any]) -> None:
    line = read_command_line(command)
    assert line.model == MODEL
    assert line.flags.values == values


def test_what_is_ignored_and_what_is_worth_a_word() -> None:
    line = read_command_line(
        f"vllm serve {MODEL} --port 8000 --api-key=x --enforce-eager --ssl-keyfile k"
    )
    assert line.flags.ignored == ["--port", "--api-key", "--ssl-keyfile"]
    assert line.flags.remarks == ["`--enforce-eager`: steps are simulated as with CUDA graphs."]


@pytest.mark.parametrize(
    ("command", "field", "said"),
    [
        ("", "command", "does not start an engine"),
        ("docker run vllm/vllm-openai", "command", "does not start an engine"),
        (f"vllm serve '{MODEL}", "command", "cannot be split"),
        (f"vllm serve {MODEL} && echo done", "command", "shell syntax"),
        (f"vllm serve {MODEL} another/model", "command", "belongs to no flag"),
        (f"vllm serve {MODEL} --max-num-seq 4", "--max-num-seq", "--max-num-seqs"),
        (f"vllm serve {MODEL} --max-num-seqs", "--max-num-seqs", "without a value"),
        (f"vllm serve {MODEL} --max-num-seqs many", "--max-num-seqs", "whole number"),
        (f"vllm serve {MODEL} --max-num-seqs 0", "--max-num-seqs", "1 or more"),
        (f"vllm serve {MODEL} --max-num-seqs -1", "--max-num-seqs", "1 or more"),
        (
            f"vllm serve {MODEL} --gpu-memory-utilization nan",
            "--gpu-memory-utilization",
            "share above 0",
        ),
        (
            f"vllm serve {MODEL} --gpu-memory-utilization 90",
            "--gpu-memory-utilization",
            "share above 0",
        ),
        (f"vllm serve {MODEL} --cpu-offload-gb 10", "--cpu-offload-gb", "not simulated"),
        (
            f"vllm serve {MODEL} --speculative-config '{{}}'",
            "--speculative-config",
            "speculative decoding",
        ),
        (f"vllm serve {MODEL} --quantization torchao", "--quantization", "not simulated"),
        (
            f"vllm serve {MODEL} --mem-fraction-static 0.8",
            "--mem-fraction-static",
            "vLLM calls it --gpu-memory-utilization",
        ),
        ("vllm serve " + "x" * 40_000, "command", "longer than"),
    ],
)
def test_what_is_refused(command: str, field: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_command_line(command)
    assert caught.value.field == field
    assert said in str(caught.value)


def test_what_is_off_is_harmless() -> None:
    line = read_command_line(f"vllm serve {MODEL} --cpu-offload-gb 0 --nnodes 1")
    assert line.flags.ignored == ["--cpu-offload-gb", "--nnodes"]


_COUNTS = {
    "tensor_parallel_size": st.sampled_from([1, 2, 4, 8]),
    "max_num_seqs": st.integers(1, 512),
    "max_num_batched_tokens": st.integers(1024, 65_536),
    "max_model_len": st.integers(1, 131_072),
    "gpu_memory_utilization": st.integers(1, 90).map(lambda n: n / 100),
    "dtype": st.sampled_from(["bfloat16", "float16"]),
    "kv_cache_dtype": st.sampled_from(["fp8"]),
    "quantization": st.sampled_from(["fp8", "awq", "gptq"]),
    "has_prefix_caching": st.booleans(),
}
_BY_ENGINE = {
    Engine.VLLM: {
        **_COUNTS,
        "block_size": st.sampled_from([16, 32, 64]),
        "data_parallel_size": st.sampled_from([1, 2]),
        "has_expert_parallel": st.booleans(),
    },
    Engine.SGLANG: {
        **_COUNTS,
        "block_size": st.sampled_from([1, 64]),
        "data_parallel_size": st.sampled_from([1, 2]),
        "has_prefix_caching": st.just(False),  # there is no flag that says it is on
    },
    Engine.TGI: _COUNTS,
}


@st.composite
def _given_arguments(draw: st.DrawFn) -> tuple[Engine, dict[str, Any]]:
    engine = draw(st.sampled_from(list(Engine)))
    return engine, draw(st.fixed_dictionaries({}, optional=_BY_ENGINE[engine]))


@given(_given_arguments())
def test_arguments_survive_the_way_to_a_command_and_back(
    case: tuple[Engine, dict[str, Any]],
) -> None:
    engine, values = case
    gpu, model = get_gpu("H100-SXM"), get_architecture(MODEL)
    arguments = resolve_arguments(
        engine, version=VERSIONS[engine].default, given=values, gpu=gpu, architecture=model
    )
    line = read_command_line(format_command_line(arguments, model=MODEL))
    assert (line.engine, line.model) == (engine, MODEL)
    again = resolve_arguments(
        engine,
        version=VERSIONS[engine].default,
        given=line.flags.values,
        gpu=gpu,
        architecture=model,
    )
    assert again == arguments
