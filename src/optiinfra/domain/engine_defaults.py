"""What an engine takes for an argument that was not given, by version, GPU and way of serving.

vLLM: `EngineArgs.get_batch_defaults` and `CacheConfig` (0.11 to 0.27, `vllm serve`). SGLang:
`ServerArgs._handle_gpu_memory_settings` and `ModelRunner.init_memory_pool` (0.5). TGI: the
launcher's `main.rs` and `compute_optimal` (3.x).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from optiinfra.domain.architectures import Architecture
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.engine_flags import (
    ARGUMENT_FIELDS,
    CHUNKED_PREFILL,
    MAX_CONCURRENT,
    TGI_WIGGLE_ROOM,
    FlagKind,
    get_flag,
    spell_field,
    spell_value,
)
from optiinfra.domain.errors import InputError
from optiinfra.domain.gpus import GPU

_MIB = 2**20
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class VersionRange:
    """The version taken when none is given, and the oldest with known defaults and scheduler."""

    default: str
    known_from: tuple[int, int]
    simulated_from: tuple[int, int]
    older: str  # why nothing older is simulated


VERSIONS: Mapping[Engine, VersionRange] = MappingProxyType(
    {
        Engine.VLLM: VersionRange("0.19.0", (0, 11), (0, 8), "its V0 scheduler is another one"),
        Engine.SGLANG: VersionRange("0.5.5", (0, 5), (0, 4), "its scheduler is another one"),
        Engine.TGI: VersionRange("3.3.6", (3, 0), (3, 0), "it does not chunk prefills"),
    }
)
NAMES: Mapping[Engine, str] = MappingProxyType(
    {Engine.VLLM: "vLLM", Engine.SGLANG: "SGLang", Engine.TGI: "TGI"}
)
_VLLM_CUDAGRAPH_PROFILING = (0, 21)  # from here gpu_memory_utilization is 0.92 (vLLM #38284)


def parse_version(text: str) -> tuple[int, int]:
    """Major and minor of `0.19.0`, `v0.11.2.post1` or `3.3`; InputError otherwise."""
    match = re.fullmatch(r"v?(\d{1,4})\.(\d{1,4})([.+\-]?[0-9A-Za-z.+\-]*)?", text.strip())
    if match is None:
        raise InputError(
            f"'{text}' is not a version.",
            remedy="Write it as the engine prints it, for example '0.19.0'.",
            field="engine_version",
        )
    return int(match[1]), int(match[2])


def _get_vllm_defaults(
    version: tuple[int, int], gpu: GPU, architecture: Architecture, given: Mapping[str, Any]
) -> dict[str, Any]:
    """VLLM under `vllm serve`: large batches on GPUs of 70 GiB and more, but for the A100."""
    is_large = gpu.memory_bytes >= 70 * _GIB and "a100" not in gpu.name.lower()
    tokens, seqs = (8192, 1024) if is_large else (2048, 256)
    max_model_len = given.get("max_model_len") or architecture.max_position_embeddings
    if not given.get(CHUNKED_PREFILL, True):
        tokens = max(tokens, max_model_len)
    return {
        "max_num_batched_tokens": tokens,
        "max_num_seqs": min(seqs, given.get("max_num_batched_tokens", tokens)),
        "gpu_memory_utilization": 0.92 if version >= _VLLM_CUDAGRAPH_PROFILING else 0.9,
        "block_size": 16,
        "has_prefix_caching": True,
    }


# Below this memory in MiB: chunk size, largest CUDA graph with fewer than 4 ranks, and with more.
_SGLANG_CLASSES = (
    (20 * 1024, 2048, 8, 8),
    (35 * 1024, 2048, 24, 80),
    (60 * 1024, 4096, 32, 160),
    (160 * 1024, 8192, 256, 512),
)
_SGLANG_LARGEST = (16384, 512, 512)


def _get_sglang_defaults(gpu: GPU, given: Mapping[str, Any]) -> dict[str, Any]:
    """SGLang sizes chunks, graphs and its memory share by the GPU's memory."""
    memory_mib = gpu.memory_bytes / _MIB
    tp = given.get("tensor_parallel_size", 1)
    chunk, graph_small, graph_large = next(
        (row[1:] for row in _SGLANG_CLASSES if memory_mib < row[0]), _SGLANG_LARGEST
    )
    chunk = given.get("max_num_batched_tokens", chunk)
    graph = graph_small if tp < 4 else graph_large  # noqa: PLR2004  # as SGLang has it
    reserved_mib = 512 + max(chunk, 2048) * 1.5 + graph * 2 + tp / 8 * 1024
    if memory_mib > 60 * 1024:
        reserved_mib = max(reserved_mib, 10 * 1024)
    return {
        "max_num_batched_tokens": chunk,
        # From the KV cache's size: between 2048 and 4096, and 2048 unless the cache is very large.
        "max_num_seqs": 2048,
        "gpu_memory_utilization": round((memory_mib - reserved_mib) / memory_mib, 3),
        "block_size": 1,
        "has_prefix_caching": True,
    }


def _get_tgi_defaults(
    gpu: GPU, architecture: Architecture, given: Mapping[str, Any]
) -> dict[str, Any]:
    """TGI budgets as many prefill tokens as the GPUs' peak computes in one second."""
    experts = (
        architecture.num_moe_layers
        * architecture.num_experts_per_token
        * architecture.expert_params
    )
    flops_per_token = 2 * (architecture.dense_params + experts)
    budget = int(gpu.bf16_flops * given.get("tensor_parallel_size", 1) / flops_per_token)
    max_model_len = given.get("max_model_len") or architecture.max_position_embeddings
    return {
        "max_num_batched_tokens": min(budget if budget > 100 else 4096, max_model_len),  # noqa: PLR2004
        "max_num_seqs": given.get(MAX_CONCURRENT, 128),
        "gpu_memory_utilization": TGI_WIGGLE_ROOM,
        "block_size": 1,
        "has_prefix_caching": gpu.has_bf16,  # flashinfer needs compute capability 8, as bf16 does
    }


def get_defaults(
    engine: Engine,
    *,
    version: str,
    gpu: GPU,
    architecture: Architecture,
    given: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Every field of EngineArguments as the engine sets it, when only `given` is said.

    `given` matters because some defaults follow from others. InputError for a version whose
    scheduler is not simulated.
    """
    number = parse_version(version)
    versions = VERSIONS[engine]
    if number < versions.simulated_from:
        oldest = ".".join(map(str, versions.simulated_from))
        raise InputError(
            f"{NAMES[engine]} {version} is not simulated: {versions.older}.",
            remedy=f"Versions from {oldest} on are; upgrade, or state the version you move to.",
            field="engine_version",
        )
    common: dict[str, Any] = {
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "data_parallel_size": 1,
        "has_expert_parallel": False,
        "max_model_len": architecture.max_position_embeddings,
        "dtype": "bfloat16" if gpu.has_bf16 else "float16",
        "kv_cache_dtype": "auto",
        "quantization": None,
    }
    if engine is Engine.VLLM:
        return common | _get_vllm_defaults(number, gpu, architecture, given)
    if engine is Engine.SGLANG:
        return common | _get_sglang_defaults(gpu, given)
    return common | _get_tgi_defaults(gpu, architecture, given)


def resolve_arguments(
    engine: Engine,
    *,
    version: str,
    given: Mapping[str, Any],
    gpu: GPU,
    architecture: Architecture,
) -> EngineArguments:
    """The arguments with every omitted one at its default and named in `assumed`.

    `given` maps fields of EngineArguments (and CHUNKED_PREFILL, MAX_CONCURRENT) to values; a value
    of None or "auto" leaves the choice to the engine. InputError, with the engine's own flag as the
    field, for what the engine itself would refuse at start.
    """
    said = {name: value for name, value in given.items() if value is not None and value != "auto"}
    defaults = get_defaults(engine, version=version, gpu=gpu, architecture=architecture, given=said)
    values = {name: said.get(name, defaults[name]) for name in ARGUMENT_FIELDS}
    if engine is Engine.TGI and MAX_CONCURRENT in said:
        values["max_num_seqs"] = min(values["max_num_seqs"], said[MAX_CONCURRENT])
    assumed = tuple(name for name in ARGUMENT_FIELDS if name not in said)
    arguments = EngineArguments(engine=engine, version=version, assumed=assumed, **values)
    _check_batch(arguments, has_chunked_prefill=said.get(CHUNKED_PREFILL, True))
    _check_parallelism(arguments, architecture)
    _check_formats(arguments, gpu)
    return arguments


def _refuse(arguments: EngineArguments, field: str, problem: str, remedy: str) -> InputError:
    """An error at the engine's own name of a field."""
    name = spell_field(arguments.engine, field)
    return InputError(problem, remedy=remedy, field=name)


def _check_batch(arguments: EngineArguments, *, has_chunked_prefill: bool) -> None:
    """VLLM refuses a token budget below the sequences, or below a prompt that cannot be chunked."""
    if arguments.engine is not Engine.VLLM:
        return
    tokens, seqs = arguments.max_num_batched_tokens, arguments.max_num_seqs
    if tokens < seqs:
        raise _refuse(
            arguments,
            "max_num_batched_tokens",
            f"max_num_batched_tokens ({tokens}) is below max_num_seqs ({seqs}).",
            "vLLM does not start so: raise the one or lower the other.",
        )
    if not has_chunked_prefill and tokens < (arguments.max_model_len or 0):
        raise _refuse(
            arguments,
            "max_num_batched_tokens",
            f"max_num_batched_tokens ({tokens}) is below max_model_len ({arguments.max_model_len}) "
            "while chunked prefill is off.",
            "vLLM does not start so: raise the budget, lower max_model_len or chunk prefills.",
        )


def _check_parallelism(arguments: EngineArguments, architecture: Architecture) -> None:
    """Heads are split evenly over ranks; one pipeline stage is simulated."""
    tp = arguments.tensor_parallel_size
    if architecture.num_attention_heads % tp:
        raise _refuse(
            arguments,
            "tensor_parallel_size",
            f"{architecture.name} has {architecture.num_attention_heads} attention heads, which "
            f"{tp} ranks cannot share evenly.",
            "Take a tensor parallel size that divides the number of heads.",
        )
    if arguments.pipeline_parallel_size > 1:
        raise _refuse(
            arguments,
            "pipeline_parallel_size",
            "Pipeline parallelism is not simulated.",
            "Use tensor parallelism, or leave this deployment out of the fleet file.",
        )


_BITS_16 = ("bfloat16", "float16")
_KV_FORMATS = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")


def _check_formats(arguments: EngineArguments, gpu: GPU) -> None:
    """Number formats that the GPU has and the twin knows."""
    if arguments.dtype not in _BITS_16:
        raise _refuse(
            arguments,
            "dtype",
            f"dtype {arguments.dtype} is not simulated.",
            f"Use one of {', '.join(_BITS_16)} or auto.",
        )
    if arguments.dtype == "bfloat16" and not gpu.has_bf16:
        raise _refuse(
            arguments,
            "dtype",
            f"{gpu.name} has no bfloat16 units.",
            "Use float16 (in vLLM: --dtype half).",
        )
    if arguments.kv_cache_dtype not in _KV_FORMATS:
        raise _refuse(
            arguments,
            "kv_cache_dtype",
            f"A KV cache in {arguments.kv_cache_dtype} is not simulated.",
            f"Use one of {', '.join(_KV_FORMATS)}.",
        )


_NOTES: Mapping[Engine, str] = MappingProxyType(
    {
        Engine.VLLM: "",
        Engine.SGLANG: (
            " SGLang sets its largest batch from the KV cache at start, at least 2048; its memory "
            "share leaves out activations, so the KV cache is slightly under-estimated."
        ),
        Engine.TGI: (
            " TGI sets its prefill budget from the GPU's peak at start, and refuses requests "
            "beyond max_concurrent_requests where the simulation queues them."
        ),
    }
)
_NOT_WORTH_SAYING = frozenset(
    {"pipeline_parallel_size", "data_parallel_size", "has_expert_parallel", "quantization"}
)


def describe_assumed(arguments: EngineArguments) -> str | None:
    """One sentence on the defaults that were taken, with their values; None when all were given."""
    parts: list[str] = []
    for name in arguments.assumed:
        value = getattr(arguments, name)
        if name in _NOT_WORTH_SAYING and value in (1, False, None):
            continue
        flag = get_flag(arguments.engine, name)
        if flag is not None and flag.kind is FlagKind.SWITCH:
            title = name.removeprefix("has_").replace("_", " ")
            parts.append(f"{title} {'on' if value else 'off'}")
        else:
            text = str(value) if flag is None else spell_value(flag, value)
            parts.append(f"{spell_field(arguments.engine, name)} {text}")
    if not parts:
        return None
    title = f"{NAMES[arguments.engine]} {arguments.version}"
    return f"Defaults of {title} on this GPU: {', '.join(parts)}.{_NOTES[arguments.engine]}"
