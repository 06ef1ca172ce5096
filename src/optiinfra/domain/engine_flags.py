"""How each engine spells the arguments the twin understands, and a change as a diff of real flags.

Sources: vLLM `vllm/engine/arg_utils.py` (0.11 to 0.27), SGLang `docs/advanced_features/
server_arguments.md` (0.5), TGI `docs/source/reference/launcher.md` (3.x).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from optiinfra.domain.analysis import FlagChange
from optiinfra.domain.engine_arguments import Engine, EngineArguments

SET = "set"  # the value of a switch that is on the command line


class FlagKind(StrEnum):
    """What stands after a flag."""

    COUNT = "count"  # a whole number
    RATIO = "ratio"  # a share of one
    TEXT = "text"  # a word
    SWITCH = "switch"  # nothing: the flag itself says on or off


@dataclass(frozen=True, slots=True)
class Flag:
    """One field of EngineArguments in an engine's spelling; the first name is the one written.

    `off_names` turn a switch off. `scale` times the flag's value is the field's. `words` are
    (field value, engine's word) where the two differ. Names in capitals are environment variables.
    """

    field: str
    kind: FlagKind
    names: tuple[str, ...] = ()
    off_names: tuple[str, ...] = ()
    scale: float = 1.0
    words: tuple[tuple[str, str], ...] = ()


# Read with the flags, needed to resolve the others, but not a field of EngineArguments.
CHUNKED_PREFILL = "has_chunked_prefill"
MAX_CONCURRENT = "max_concurrent_requests"

# TGI plans with 90 % of what --cuda-memory-fraction leaves (TGI_WIGGLE_ROOM, globals.py of 3.x).
TGI_WIGGLE_ROOM = 0.90

_COUNT, _RATIO, _TEXT, _SWITCH = FlagKind.COUNT, FlagKind.RATIO, FlagKind.TEXT, FlagKind.SWITCH
_HALF = (("float16", "float16"), ("float16", "half"))

FLAGS: Mapping[Engine, tuple[Flag, ...]] = MappingProxyType(
    {
        Engine.VLLM: (
            Flag("tensor_parallel_size", _COUNT, ("--tensor-parallel-size", "-tp")),
            Flag("pipeline_parallel_size", _COUNT, ("--pipeline-parallel-size", "-pp")),
            Flag("data_parallel_size", _COUNT, ("--data-parallel-size", "-dp")),
            Flag(
                "has_expert_parallel",
                _SWITCH,
                ("--enable-expert-parallel", "-ep"),
                ("--no-enable-expert-parallel",),
            ),
            Flag("max_num_seqs", _COUNT, ("--max-num-seqs",)),
            Flag("max_num_batched_tokens", _COUNT, ("--max-num-batched-tokens",)),
            Flag("max_model_len", _COUNT, ("--max-model-len",)),
            Flag("gpu_memory_utilization", _RATIO, ("--gpu-memory-utilization",)),
            Flag("block_size", _COUNT, ("--block-size",)),
            Flag("dtype", _TEXT, ("--dtype",), words=_HALF),
            Flag("kv_cache_dtype", _TEXT, ("--kv-cache-dtype",)),
            Flag("quantization", _TEXT, ("--quantization", "-q")),
            Flag(
                "has_prefix_caching",
                _SWITCH,
                ("--enable-prefix-caching",),
                ("--no-enable-prefix-caching",),
            ),
            Flag(
                CHUNKED_PREFILL,
                _SWITCH,
                ("--enable-chunked-prefill",),
                ("--no-enable-chunked-prefill",),
            ),
        ),
        Engine.SGLANG: (
            Flag("tensor_parallel_size", _COUNT, ("--tp-size", "--tensor-parallel-size", "--tp")),
            Flag("pipeline_parallel_size", _COUNT, ("--pp-size", "--pipeline-parallel-size")),
            Flag("data_parallel_size", _COUNT, ("--dp-size", "--data-parallel-size", "--dp")),
            Flag("max_num_seqs", _COUNT, ("--max-running-requests",)),
            Flag("max_num_batched_tokens", _COUNT, ("--chunked-prefill-size",)),
            Flag("max_model_len", _COUNT, ("--context-length",)),
            Flag("gpu_memory_utilization", _RATIO, ("--mem-fraction-static",)),
            Flag("block_size", _COUNT, ("--page-size",)),
            Flag("dtype", _TEXT, ("--dtype",), words=_HALF),
            Flag(
                "kv_cache_dtype",
                _TEXT,
                ("--kv-cache-dtype",),
                words=(("fp8", "fp8_e4m3"), ("bfloat16", "bf16")),
            ),
            Flag("quantization", _TEXT, ("--quantization",)),
            Flag("has_prefix_caching", _SWITCH, (), ("--disable-radix-cache",)),
        ),
        Engine.TGI: (
            Flag("tensor_parallel_size", _COUNT, ("--num-shard",)),
            Flag("max_num_seqs", _COUNT, ("--max-batch-size",)),
            Flag(MAX_CONCURRENT, _COUNT, ("--max-concurrent-requests",)),
            Flag("max_num_batched_tokens", _COUNT, ("--max-batch-prefill-tokens",)),
            Flag("max_model_len", _COUNT, ("--max-total-tokens",)),
            Flag(
                "gpu_memory_utilization",
                _RATIO,
                ("--cuda-memory-fraction",),
                scale=TGI_WIGGLE_ROOM,
            ),
            Flag("dtype", _TEXT, ("--dtype",)),
            Flag(
                "kv_cache_dtype",
                _TEXT,
                ("--kv-cache-dtype",),
                words=(("fp8", "fp8_e4m3fn"), ("fp8_e4m3", "fp8_e4m3fn")),
            ),
            Flag("quantization", _TEXT, ("--quantize",)),
            Flag("has_prefix_caching", _SWITCH, ("PREFIX_CACHING=1",), ("PREFIX_CACHING=0",)),
        ),
    }
)

ARGUMENT_FIELDS = tuple(
    f.name for f in fields(EngineArguments) if f.name not in {"engine", "version", "assumed"}
)


# Words of the engines for weights that the twin knows how to size; every other word is refused.
QUANTIZATIONS: Mapping[str, str] = MappingProxyType(
    {
        "fp8": "fp8",
        "fp8_per_tensor": "fp8",
        "fp8_per_block": "fp8",
        "w8a8_fp8": "fp8",
        "modelopt_fp8": "fp8",
        "int8": "int8",
        "w8a8_int8": "int8",
        "eetq": "int8",
        "awq": "awq",
        "awq_marlin": "awq",
        "gptq": "gptq",
        "gptq_marlin": "gptq",
        "marlin": "gptq",
        "int4": "int4",
        "bitsandbytes_nf4": "int4",
        "bitsandbytes_fp4": "fp4",
        "fp4": "fp4",
        "modelopt_fp4": "fp4",
        "mxfp4": "fp4",
    }
)
# These leave the format to the model's own config.json.
DEFERRED_QUANTIZATIONS = frozenset({"compressed_tensors", "modelopt", "quark", "auto_round"})


def normalize_flag(name: str) -> str:
    """One form for `max_num_seqs`, `--max-num-seqs`, `--max_num_seqs` and `MAX_NUM_SEQS=..`."""
    return name.split("=", 1)[0].lstrip("-").replace("_", "-").lower()


def find_flag(engine: Engine, name: str) -> tuple[Flag, bool] | None:
    """The flag of that name and whether the name turns a switch off; None when it is not one."""
    normal = normalize_flag(name)
    for flag in FLAGS[engine]:
        if normal in {normalize_flag(n) for n in flag.names}:
            return flag, False
        if normal in {normalize_flag(n) for n in flag.off_names}:
            return flag, True
    return None


def get_flag(engine: Engine, field: str) -> Flag | None:
    """The flag that sets a field, or None where the engine has none."""
    return next((flag for flag in FLAGS[engine] if flag.field == field), None)


def spell_field(engine: Engine, field: str) -> str:
    """The engine's name of a field, for messages; the field's own where the engine has none."""
    flag = get_flag(engine, field)
    if flag is None:
        return field
    return (flag.names or flag.off_names)[0].split("=")[0]


def spell_value(flag: Flag, value: Any) -> str:
    """A field's value as it stands on the command line."""
    if flag.kind is FlagKind.RATIO:
        return repr(round(float(value) / flag.scale, 6))
    text = str(value)
    return next((word for field_value, word in flag.words if field_value == text), text)


def _list_words(flag: Flag, arguments: EngineArguments) -> tuple[str, ...]:
    """The words that set one field, () where nothing needs to be said."""
    value = getattr(arguments, flag.field)
    if flag.kind is FlagKind.SWITCH:
        return (flag.names if value else flag.off_names)[:1]
    return () if value is None else (flag.names[0], spell_value(flag, value))


def list_flag_words(arguments: EngineArguments) -> tuple[str, ...]:
    """Flags and values of every argument that is not assumed; environment variables come first."""
    words: list[str] = []
    for flag in FLAGS[arguments.engine]:
        if flag.field in ARGUMENT_FIELDS and flag.field not in arguments.assumed:
            spelled = _list_words(flag, arguments)
            words[:0] = spelled if _is_variable(spelled) else ()
            words.extend(() if _is_variable(spelled) else spelled)
    return tuple(words)


def _is_variable(words: tuple[str, ...]) -> bool:
    """Whether the first word sets an environment variable."""
    return bool(words) and re.match(r"[A-Z_]+=", words[0]) is not None


def set_arguments(arguments: EngineArguments, **changes: Any) -> EngineArguments:
    """The arguments with some values set: what was assumed of them is now said."""
    assumed = tuple(name for name in arguments.assumed if name not in changes)
    return replace(arguments, **changes, assumed=assumed)


def diff_arguments(before: EngineArguments, after: EngineArguments) -> tuple[FlagChange, ...]:
    """What to change on the command line, in the engine's spelling, in the order of FLAGS.

    A field that is assumed is not on the command line: None. Where both are assumed and differ (the
    default of another GPU), both values are written out. Raises ValueError when the engine changes
    or has no flag for a changed field.
    """
    if before.engine is not after.engine:
        raise ValueError("a change of engine is not a change of flags")
    spelled = {flag.field for flag in FLAGS[before.engine]}
    for name in ARGUMENT_FIELDS:
        if name not in spelled and getattr(before, name) != getattr(after, name):
            message = f"{before.engine.value} has no flag for {name}"
            raise ValueError(message)
    changes: list[FlagChange] = []
    for flag in FLAGS[before.engine]:
        if flag.field in ARGUMENT_FIELDS:
            changes.extend(_diff_flag(flag, before, after))
    return tuple(changes)


def _diff_flag(flag: Flag, before: EngineArguments, after: EngineArguments) -> list[FlagChange]:
    """The changes of one field: none, one, or two where a switch has two names."""
    is_assumed = [flag.field in arguments.assumed for arguments in (before, after)]
    if all(is_assumed):
        if getattr(before, flag.field) == getattr(after, flag.field):
            return []
        is_assumed = [False, False]
    old, new = (
        () if assumed else _list_words(flag, arguments)
        for assumed, arguments in zip(is_assumed, (before, after), strict=True)
    )
    if old == new:
        return []
    if flag.kind is not FlagKind.SWITCH:
        return [
            FlagChange(
                flag=flag.names[0],
                before=old[1] if old else None,
                after=new[1] if new else None,
            )
        ]
    gone = [FlagChange(flag=word, before=SET, after=None) for word in old]
    return gone + [FlagChange(flag=word, before=None, after=SET) for word in new]
