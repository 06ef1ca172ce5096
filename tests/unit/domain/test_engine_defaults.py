"""Engine defaults against the engines' own rules, and what engines refuse at start."""

from typing import Any

import pytest

from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.engine_defaults import VERSIONS, describe_assumed, resolve_arguments
from optiinfra.domain.engine_flags import ARGUMENT_FIELDS, CHUNKED_PREFILL
from optiinfra.domain.errors import InputError
from optiinfra.domain.gpu_catalogue import get_gpu


def resolve(
    engine: Engine = Engine.VLLM,
    *,
    gpu: str = "H100-SXM",
    model: str = "meta-llama/Llama-3.1-8B",
    version: str | None = None,
    **given: Any,
) -> EngineArguments:
    return resolve_arguments(
        engine,
        version=version or VERSIONS[engine].default,
        given=given,
        gpu=get_gpu(gpu),
        architecture=get_architecture(model),
    )


@pytest.mark.parametrize(
    ("gpu", "tokens", "seqs"),
    [
        ("H100-SXM", 8192, 1024),
        ("H200-SXM", 8192, 1024),
        ("MI300X", 8192, 1024),
        ("RTX-PRO-6000", 8192, 1024),
        ("A100-80-SXM", 2048, 256),
        ("A100-80-PCIe", 2048, 256),
        ("L40S", 2048, 256),
        ("A10G", 2048, 256),
    ],
)
def test_vllm_serve_by_gpu(gpu: str, tokens: int, seqs: int) -> None:
    arguments = resolve(gpu=gpu)
    assert (arguments.max_num_batched_tokens, arguments.max_num_seqs) == (tokens, seqs)
    assert arguments.gpu_memory_utilization == 0.9
    assert arguments.block_size == 16
    assert arguments.has_prefix_caching
    assert arguments.max_model_len == 131_072
    assert arguments.assumed == ARGUMENT_FIELDS


@pytest.mark.parametrize(("version", "share"), [("0.11.0", 0.9), ("0.20.1", 0.9), ("v0.21", 0.92)])
def test_vllm_memory_share_by_version(version: str, share: float) -> None:
    assert resolve(version=version).gpu_memory_utilization == share


def test_vllm_lowers_the_default_sequences_to_a_given_budget() -> None:
    arguments = resolve(max_num_batched_tokens=512)
    assert arguments.max_num_seqs == 512
    assert "max_num_seqs" in arguments.assumed
    assert "max_num_batched_tokens" not in arguments.assumed


def test_vllm_raises_the_default_budget_where_prefills_are_not_chunked() -> None:
    assert resolve(has_chunked_prefill=False).max_num_batched_tokens == 131_072


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"max_num_seqs": 512, "max_num_batched_tokens": 256}, "--max-num-batched-tokens"),
        ({"max_num_seqs": 4096, "gpu": "L4"}, "--max-num-batched-tokens"),
        (
            {"max_num_batched_tokens": 4096, "max_model_len": 8192, CHUNKED_PREFILL: False},
            "--max-num-batched-tokens",
        ),
        ({"tensor_parallel_size": 3}, "--tensor-parallel-size"),
        ({"pipeline_parallel_size": 2}, "--pipeline-parallel-size"),
        ({"dtype": "float32"}, "--dtype"),
        ({"dtype": "bfloat16", "gpu": "T4"}, "--dtype"),
        ({"kv_cache_dtype": "nvfp4"}, "--kv-cache-dtype"),
        ({"version": "0.7.3"}, "engine_version"),
        ({"version": "latest"}, "engine_version"),
    ],
)
def test_what_vllm_or_the_twin_refuses(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(**given)
    assert caught.value.field == field
    assert caught.value.remedy


def test_a_gpu_without_bf16_runs_in_fp16() -> None:
    assert resolve(gpu="V100-32-SXM").dtype == "float16"
    assert resolve(gpu="V100-32-SXM", dtype="auto").dtype == "float16"


@pytest.mark.parametrize(
    ("gpu", "chunk", "share"),
    [
        ("H100-SXM", 8192, 0.835),  # 10 GiB and a rank's eighth, of 81,559 MiB: see below
        ("L40S", 4096, 0.851),
        ("L4", 2048, 0.837),
        ("B200-SXM", 16384, 0.857),
    ],
)
def test_sglang_sizes_by_memory(gpu: str, chunk: int, share: float) -> None:
    # Reserve in MiB: 512 + 1.5 * chunk + 2 * graph + 1024 / 8, at least 10 GiB on large GPUs.
    # H100: 512 + 12288 + 512 + 128 = 13440, (81559 - 13440) / 81559 = 0.835.
    arguments = resolve(Engine.SGLANG, gpu=gpu)
    assert arguments.max_num_batched_tokens == chunk
    assert arguments.gpu_memory_utilization == pytest.approx(share, abs=0.001)
    assert (arguments.max_num_seqs, arguments.block_size) == (2048, 1)


def test_tgi_budgets_one_second_of_peak_and_caps_requests() -> None:
    arguments = resolve(Engine.TGI)
    # 989e12 FLOPs over 2 * 7.505e9 a token (the embedding is not multiplied) = 65,892 tokens.
    assert arguments.max_num_batched_tokens == pytest.approx(65_892, abs=2)
    assert arguments.max_num_seqs == 128
    assert arguments.gpu_memory_utilization == 0.9
    assert resolve(Engine.TGI, model="microsoft/phi-4").max_num_batched_tokens == 16_384
    assert resolve(Engine.TGI, max_concurrent_requests=64).max_num_seqs == 64
    assert resolve(Engine.TGI, max_num_seqs=256, max_concurrent_requests=200).max_num_seqs == 200
    assert not resolve(Engine.TGI, gpu="T4").has_prefix_caching


def test_what_was_assumed_is_said_in_the_engines_words() -> None:
    sentence = describe_assumed(resolve(max_num_seqs=64))
    assert sentence is not None
    assert sentence.startswith("Defaults of vLLM 0.19.0 on this GPU:")
    assert "--max-num-batched-tokens 8192" in sentence
    assert "prefix caching on" in sentence
    assert "--max-num-seqs" not in sentence
    assert "--mem-fraction-static 0.835" in str(describe_assumed(resolve(Engine.SGLANG)))
    assert "--cuda-memory-fraction 1.0" in str(describe_assumed(resolve(Engine.TGI)))
