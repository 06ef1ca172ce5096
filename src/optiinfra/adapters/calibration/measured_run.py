"""The folder of a measured vLLM run: its requests, and how and on what the engine ran."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from optiinfra.adapters.text_file import read_text_file
from optiinfra.adapters.traces import read_measured_requests
from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.errors import InputError
from optiinfra.domain.gpu_catalogue import find_gpu, get_gpu

if TYPE_CHECKING:
    from pathlib import Path

    from optiinfra.domain.architectures import Architecture
    from optiinfra.domain.gpus import GPU
    from optiinfra.domain.measurement import MeasuredRequests

META = "meta.json"
HARDWARE = "model_config.json"
_GIGA = 1e9
_DEFAULT_UTILIZATION = 0.9


@dataclass(frozen=True)
class MeasuredRun:
    """One engine on one trace. Where the run gives a memory bandwidth, the GPU has it."""

    name: str
    requests: MeasuredRequests
    architecture: Architecture
    gpu: GPU
    arguments: EngineArguments


def read_measured_run(folder: Path) -> MeasuredRun:
    """The run in a folder with requests.jsonl, meta.json and model_config.json.

    Raises InputError that names the file and the key that is missing or cannot be used; also for a
    request that is longer than the context.
    """
    meta = _read_object(folder / META)
    flags = _get(meta, "engine_kwargs", folder / META)
    instance, memory = _read_instance(folder / HARDWARE)
    path = folder / META
    architecture = get_architecture(str(_get(meta, "model", path)))
    arguments = EngineArguments(
        engine=Engine.VLLM,
        version=str(_get(meta, "vllm_version", path)),
        max_num_seqs=_get_count(flags, "max_num_seqs", path),
        max_num_batched_tokens=_get_count(flags, "max_num_batched_tokens", path),
        gpu_memory_utilization=_get_number(
            memory, "mem_util", folder / HARDWARE, default=_DEFAULT_UTILIZATION, high=1.0
        ),
        tensor_parallel_size=_get_count(flags, "tensor_parallel_size", path, default=1),
        data_parallel_size=_get_count(flags, "data_parallel_size", path, default=1),
        has_expert_parallel=bool(flags.get("enable_expert_parallel")),
        max_model_len=_get_count(flags, "max_model_len", path)
        if flags.get("max_model_len") is not None
        else None,
        dtype=str(flags.get("dtype", "bfloat16")),
        kv_cache_dtype=str(flags.get("kv_cache_dtype", "auto")),
        quantization=flags.get("quantization"),
        has_prefix_caching=bool(flags.get("enable_prefix_caching", True)),
    )
    requests = read_measured_requests(folder)
    _check_lengths(folder, requests, arguments, architecture)
    return MeasuredRun(
        name=folder.name,
        requests=requests,
        architecture=architecture,
        gpu=_get_gpu(instance, memory, folder / HARDWARE),
        arguments=arguments,
    )


def _check_lengths(
    folder: Path,
    requests: MeasuredRequests,
    arguments: EngineArguments,
    architecture: Architecture,
) -> None:
    context = arguments.max_model_len or architecture.max_position_embeddings
    tokens = requests.trace.prompt_tokens.astype("int64") + requests.trace.output_tokens
    if int(tokens.max()) > context:
        raise InputError(
            f"A request has {int(tokens.max())} tokens, the context {context}.",
            remedy="Leave out what the engine cannot have served.",
            file=str(folder / "requests.jsonl"),
        )


def _get_gpu(instance: dict[str, Any], memory: dict[str, Any], path: Path) -> GPU:
    """The catalogue's GPU; where a bare name stands for several, by its memory."""
    name = str(_get(instance, "hardware", path))
    size = memory.get("mem_size")
    gpu = find_gpu(name) or find_gpu(f"{name}-{size}-SXM") or get_gpu(name)
    if memory.get("mem_bw") is None:
        return gpu
    return replace(gpu, memory_bytes_per_s=_get_number(memory, "mem_bw", path) * _GIGA)


def _read_instance(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first instance and its memory; all instances of a run are alike."""
    document = _read_object(path)
    try:
        instance = document["nodes"][0]["instances"][0]
        memory = dict(instance.get("npu_mem", {}))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            "It names no instance.",
            remedy="Give nodes[0].instances[0] with hardware and npu_mem.",
            file=str(path),
            field="nodes",
        ) from error
    return instance, memory


def _read_object(path: Path) -> dict[str, Any]:
    text = read_text_file(path, what="description of the run")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"This is not JSON: {error}.", remedy="Give the run's own file.", file=str(path)
        ) from error
    if not isinstance(document, dict):
        raise InputError(
            "This is not a JSON object.", remedy="Give the run's own file.", file=str(path)
        )
    return document


def _get(document: dict[str, Any], key: str, path: Path) -> Any:
    if document.get(key) is None:
        raise InputError(
            f"`{key}` is missing.", remedy="Give the run's own file.", file=str(path), field=key
        )
    return document[key]


def _get_count(
    document: dict[str, Any], key: str, path: Path, *, default: int | None = None
) -> int:
    if default is not None and document.get(key) is None:
        return default
    number = _get_number(document, key, path)
    if number < 1 or number != int(number):
        raise InputError(
            f"`{key}` is {number:g}.",
            remedy="It is a whole number of 1 or more.",
            file=str(path),
            field=key,
        )
    return int(number)


def _get_number(
    document: dict[str, Any],
    key: str,
    path: Path,
    *,
    default: float | None = None,
    high: float = 1e12,
) -> float:
    value = document.get(key, default) if default is not None else _get(document, key, path)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= high:
        raise InputError(
            f"`{key}` is {str(value)[:80]!r}.",
            remedy=f"It is a number above 0 and up to {high:g}.",
            file=str(path),
            field=key,
        )
    return float(value)
