"""Engine flags as users write them, in YAML or on a command line, read into fields.

Errors are InputErrors whose `field` is the flag; the caller adds the file and the line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from optiinfra.domain.engine_arguments import Engine
from optiinfra.domain.engine_defaults import NAMES
from optiinfra.domain.engine_flags import (
    CHUNKED_PREFILL,
    DEFERRED_QUANTIZATIONS,
    FLAGS,
    QUANTIZATIONS,
    Flag,
    FlagKind,
    find_flag,
    normalize_flag,
    spell_field,
)
from optiinfra.domain.errors import InputError
from optiinfra.domain.other_flags import (
    NOT_SIMULATED,
    WORTH_A_WORD,
    is_harmless,
    is_switch,
    takes_several,
)

_MULTIPLES = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
_MAX_COUNT = 10**9
_ON = {"true": True, "1": True, "false": False, "0": False}


@dataclass(slots=True)
class GivenFlags:
    """What flags say: values by field, names that do not matter, sentences on what is not followed.

    `deferred` is the quantization word that leaves the format to the model's own config.json.
    """

    values: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    deferred: str | None = None


def read_flag_mapping(engine: Engine, mapping: Mapping[str, Any]) -> GivenFlags:
    """Flags as keys (`max_num_seqs` or `--max-num-seqs`) with values as YAML types them."""
    given = GivenFlags()
    seen: dict[str, str] = {}
    for name, value in mapping.items():
        known = find_flag(engine, name)
        label = known[0].field if known else normalize_flag(name)
        if label in seen:
            raise InputError(
                f"`{name}` says again what `{seen[label]}` says.",
                remedy="Keep one of the two.",
                field=name,
            )
        seen[label] = name
        if known is None:
            _read_other(engine, name, given, value=value)
        else:
            flag, is_off = known
            _set_value(engine, given, flag, name, _read_typed(flag, name, value, is_off=is_off))
    return given


def read_flag_words(engine: Engine, words: Sequence[str]) -> tuple[GivenFlags, tuple[str, ...]]:
    """Flags as words of a command line, and the words that belong to no flag.

    `--flag value`, `--flag=value` and bare switches; the last of two equal flags wins, as in
    argparse.
    """
    given, positional = GivenFlags(), []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if not _is_flag(word):
            positional.append(word)
            continue
        name, equals, text = word.partition("=")
        values = [text] if equals else []
        if not equals:
            limit = _count_values(engine, name)
            while len(values) < limit and index < len(words) and not _is_flag(words[index]):
                values.append(words[index])
                index += 1
        known = find_flag(engine, name)
        if known is None:
            _read_other(engine, name, given, value=values[0] if values else True)
            continue
        flag, is_off = known
        value = _read_text(flag, name, values[0] if values else None, is_off=is_off)
        _set_value(engine, given, flag, name, value)
    return given, tuple(positional)


def _is_flag(word: str) -> bool:
    """Whether a word is a flag and not a value such as -1."""
    return word.startswith("-") and re.fullmatch(r"-?\d+(\.\d+)?", word) is None and word != "-"


def _count_values(engine: Engine, name: str) -> int:
    """How many of the following words may belong to a flag."""
    known = find_flag(engine, name)
    if known is not None:
        return 0 if known[0].kind is FlagKind.SWITCH else 1
    normal = normalize_flag(name)
    if takes_several(normal):
        return 1000
    return 0 if is_switch(normal) else 1


def _set_value(engine: Engine, given: GivenFlags, flag: Flag, name: str, value: Any) -> None:
    """Store a value, with the special cases that engines have."""
    if flag.field == "quantization" and value is not None:
        value = _read_quantization(given, name, value)
    if engine is Engine.SGLANG and flag.field == "max_num_batched_tokens" and value == -1:
        given.remarks.append(f"`{name} -1`: prefills are simulated in chunks of 16384 tokens.")
        value = 16384
    if flag.field == CHUNKED_PREFILL and value is False:
        given.remarks.append(f"`{name}`: prefills are simulated in chunks all the same.")
    if flag.kind is FlagKind.COUNT and value is not None and not 1 <= value <= _MAX_COUNT:
        raise InputError(
            f"`{name}` is {value}, which is not a count of 1 or more.",
            remedy="Give a whole number, or leave it out for the engine's default.",
            field=name,
        )
    if flag.kind is FlagKind.RATIO and value is not None:
        if not (math.isfinite(value) and 0 < value <= 1):
            raise InputError(
                f"`{name}` is {value}, which is not a share above 0 and up to 1.",
                remedy="Give for example 0.9.",
                field=name,
            )
        value = round(value * flag.scale, 6)
    given.values[flag.field] = value


def _read_quantization(given: GivenFlags, name: str, text: str) -> str | None:
    """The twin's word for a weight format."""
    normal = text.lower().replace("-", "_")
    if normal in DEFERRED_QUANTIZATIONS:
        given.deferred = text
        return None
    if normal == "none":
        return None
    if normal not in QUANTIZATIONS:
        raise InputError(
            f"Weights in '{text}' are not simulated.",
            remedy=f"Known: {', '.join(sorted(QUANTIZATIONS))}.",
            field=name,
        )
    if QUANTIZATIONS[normal] != normal:
        given.remarks.append(f"`{name} {text}` is simulated as {QUANTIZATIONS[normal]}.")
    return QUANTIZATIONS[normal]


def _read_typed(flag: Flag, name: str, value: Any, *, is_off: bool) -> Any:
    """A YAML value as the field's type; no number in quotes and no word where a switch stands."""
    if value is None:
        return None
    if flag.kind is FlagKind.SWITCH:
        if isinstance(value, bool) or value in (0, 1):
            return bool(value) != is_off
        raise _refuse(name, value, "true or false")
    if flag.kind is FlagKind.COUNT:
        if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?[kKmMgG]", value):
            return _read_count(name, value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _refuse(name, value, "a whole number without quotes")
        return value
    if flag.kind is FlagKind.RATIO:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _refuse(name, value, "a number without quotes")
        return float(value)
    if not isinstance(value, str):
        raise _refuse(name, value, "a word")
    return _read_word(flag, value)


def _read_text(flag: Flag, name: str, text: str | None, *, is_off: bool) -> Any:
    """A word of a command line as the field's type."""
    if flag.kind is FlagKind.SWITCH:
        if text is None:
            return not is_off
        if text.lower() not in _ON:
            raise _refuse(name, text, "true or false, or nothing")
        return _ON[text.lower()] != is_off
    if text is None:
        raise InputError(
            f"`{name}` stands without a value.", remedy="Add the value after it.", field=name
        )
    if flag.kind is FlagKind.COUNT:
        return _read_count(name, text)
    if flag.kind is FlagKind.RATIO:
        try:
            return float(text)
        except ValueError as error:
            raise _refuse(name, text, "a number") from error
    return _read_word(flag, text)


def _read_count(name: str, text: str) -> int:
    """A whole number, also as vLLM abbreviates it: 8k is 8000, 8K is 8192."""
    match = re.fullmatch(r"(-?\d{1,12})|(\d{1,9}(?:\.\d{1,6})?)([kKmMgG])", text.strip())
    if match is None:
        raise _refuse(name, text, "a whole number")
    return int(match[1]) if match[1] else int(float(match[2]) * _MULTIPLES[match[3]])


def _read_word(flag: Flag, text: str) -> str:
    """A word as the field has it."""
    return next((value for value, word in flag.words if word == text), text)


def _refuse(name: str, value: Any, expected: str) -> InputError:
    """A value of the wrong kind."""
    return InputError(f"`{name}` is {value!r}.", remedy=f"Give {expected}.", field=name)


def _read_other(engine: Engine, name: str, given: GivenFlags, *, value: Any) -> None:
    """A flag the twin does not follow: ignored, worth a sentence, or an error."""
    normal = normalize_flag(name)
    refused = NOT_SIMULATED[engine].get(normal)
    if refused is not None and not _is_neutral(normal, value):
        raise InputError(
            f"`{name}`: {refused} is not simulated, and a result without it would mislead.",
            remedy="Leave this deployment out of the fleet file, or describe it without that flag.",
            field=name,
        )
    remark = WORTH_A_WORD[engine].get(normal)
    if remark is not None:
        given.remarks.append(f"`{name}`: {remark}.")
    elif refused is not None or is_harmless(engine, normal):
        given.ignored.append(f"--{normal}")
    else:
        raise InputError(
            f"{NAMES[engine]} has no flag `{name}` that is known here.",
            remedy=_suggest(engine, normal),
            field=name,
        )


def _is_neutral(normal: str, value: Any) -> bool:
    """Whether a value leaves a feature off: nothing, zero, or a size of one."""
    if value is None or value is False or str(value).lower() in {"0", "null", "none"}:
        return True
    return normal.endswith(("-size", "nnodes")) and str(value) == "1"


def _suggest(engine: Engine, normal: str) -> str:
    """The closest flags, or this engine's name for another engine's flag."""
    for other in Engine:
        known = find_flag(other, normal)
        if other is not engine and known is not None:
            own = spell_field(engine, known[0].field)
            if own != known[0].field:
                return f"{NAMES[engine]} calls it {own}."
    names = [n for flag in FLAGS[engine] for n in (*flag.names, *flag.off_names)]
    names += [f"--{n}" for n in (*WORTH_A_WORD[engine], *NOT_SIMULATED[engine])]
    close = get_close_matches(f"--{normal}", names, n=3, cutoff=0.5)
    if close:
        return f"Closest: {', '.join(close)}."
    return "Remove it; if it changes neither batching, memory nor kernels, nothing is lost."
