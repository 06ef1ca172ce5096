"""A serving engine's command line, as in a script or a pod, read into engine, model and flags."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from optiinfra.adapters.engine_flags import GivenFlags, read_flag_words
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.engine_flags import find_flag, list_flag_words, normalize_flag
from optiinfra.domain.errors import InputError

_MAX_LENGTH = 32_768
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_MODULES = {
    "vllm.entrypoints.openai.api_server": Engine.VLLM,
    "vllm.entrypoints.cli.main": Engine.VLLM,
    "sglang.launch_server": Engine.SGLANG,
}
_MODEL_FLAGS = {
    Engine.VLLM: ("model",),
    Engine.SGLANG: ("model-path", "model"),
    Engine.TGI: ("model-id",),
}
_LAUNCH = {
    Engine.VLLM: ("vllm", "serve"),
    Engine.SGLANG: ("python", "-m", "sglang.launch_server", "--model-path"),
    Engine.TGI: ("text-generation-launcher", "--model-id"),
}


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What one command starts; `model` is None where it names none."""

    engine: Engine
    model: str | None
    flags: GivenFlags


def read_command_line(text: str) -> CommandLine:
    """`vllm serve MODEL ...`, `python -m vllm.entrypoints...`, SGLang's or TGI's launcher.

    Understands leading variables, line continuations, `exec`, `sudo`, `env` and quotes. InputError
    with field `command` or the flag.
    """
    words = _split(text)
    variables: list[str] = []
    while words and (words[0] in {"exec", "sudo", "env", "nohup"} or _VARIABLE.fullmatch(words[0])):
        word = words.pop(0)
        if _VARIABLE.fullmatch(word):
            variables.append(word)
    engine, words = _read_program(words)
    model, words = _take_model(engine, words)
    flags, positional = read_flag_words(engine, [*_read_variables(engine, variables), *words])
    if model is None and positional and engine is Engine.VLLM:
        model, positional = positional[0], positional[1:]
    if positional:
        raise InputError(
            f"The command has a word that belongs to no flag: '{positional[0]}'.",
            remedy="Quote values with spaces, and give only the command that starts the engine.",
            field="command",
        )
    return CommandLine(engine=engine, model=model, flags=flags)


def format_command_line(arguments: EngineArguments, *, model: str) -> str:
    """The command that starts the engine so, quoted for a shell; assumed arguments are left out."""
    words = list_flag_words(arguments)
    variables = [word for word in words if _VARIABLE.fullmatch(word)]
    flags = [word for word in words if word not in variables]
    return shlex.join([*variables, *_LAUNCH[arguments.engine], model, *flags])


def _split(text: str) -> list[str]:
    """Words as a POSIX shell would see them, without running anything."""
    if len(text) > _MAX_LENGTH:
        raise InputError(
            f"The command is longer than {_MAX_LENGTH} characters.",
            remedy="Give only the command that starts the engine.",
            field="command",
        )
    try:
        words = shlex.split(re.sub(r"\\\r?\n", " ", text), comments=True)
    except ValueError as error:
        raise InputError(
            f"The command cannot be split into words: {error}.",
            remedy="Close every quote.",
            field="command",
        ) from error
    for word in words:
        if word in {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>&1"} or "$(" in word:
            raise InputError(
                f"The command holds shell syntax: '{word}'.",
                remedy="Give only the command that starts the engine, with its values filled in.",
                field="command",
            )
    return words


def _read_program(words: list[str]) -> tuple[Engine, list[str]]:
    """The engine that the first words start, and the words after them."""
    program = words[0].rsplit("/", 1)[-1] if words else ""
    if program == "vllm" and words[1:2] == ["serve"]:
        return Engine.VLLM, words[2:]
    if program == "sglang" and words[1:2] == ["serve"]:
        return Engine.SGLANG, words[2:]
    if program == "text-generation-launcher":
        return Engine.TGI, words[1:]
    if re.fullmatch(r"python(\d(\.\d+)?)?", program):
        rest = words[1:]
        while rest and rest[0] in {"-u", "-O"}:
            rest = rest[1:]
        if rest[:1] == ["-m"] and len(rest) > 1 and rest[1] in _MODULES:
            after = rest[2:]
            return _MODULES[rest[1]], after[1:] if after[:1] == ["serve"] else after
    raise InputError(
        f"The command does not start an engine known here: '{' '.join(words[:3])}'.",
        remedy="It begins with `vllm serve`, `python -m vllm.entrypoints.openai.api_server`, "
        "`python -m sglang.launch_server` or `text-generation-launcher`.",
        field="command",
    )


def _take_model(engine: Engine, words: list[str]) -> tuple[str | None, list[str]]:
    """The model that a flag, or for `vllm serve` the first word, names; and the other words."""
    if engine is Engine.VLLM and words and not words[0].startswith("-"):
        return words[0], words[1:]
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.startswith("-") and normalize_flag(name) in _MODEL_FLAGS[engine]:
            if equals:
                return value, words[:index] + words[index + 1 :]
            if index + 1 < len(words):
                return words[index + 1], words[:index] + words[index + 2 :]
    return None, words


def _read_variables(engine: Engine, variables: list[str]) -> list[str]:
    """TGI reads every flag from a variable too; other engines' variables are left alone."""
    if engine is not Engine.TGI:
        return []
    words: list[str] = []
    for variable in variables:
        name, _, value = variable.partition("=")
        if find_flag(engine, name) is not None or normalize_flag(name) in _MODEL_FLAGS[engine]:
            words.append(f"--{normalize_flag(name)}={value}")
    return words
