"""Settings between their text and their type: refused when written, typed when read."""

from __future__ import annotations

import json
import math
from typing import Any, TypeAlias

from optiinfra.database.models import ConfigType
from optiinfra.domain.errors import InputError

ConfigValue: TypeAlias = str | int | float | bool | dict[str, Any] | list[Any] | None
MAX_BYTES = 1_048_576
NUMBER = "number"  # the other naming of integer and float
_WORDS = {"true": True, "false": False}


def parse_type(word: str) -> ConfigType | None:
    """The type of that word; None for `number`, which the value decides."""
    if word == NUMBER:
        return None
    try:
        return ConfigType(word)
    except ValueError as error:
        raise InputError(
            f"{word!r} is not a type of a setting.",
            remedy=f"Use one of {', '.join(ConfigType)}, or {NUMBER}.",
            field="config_type",
        ) from error


def format_value(
    value: ConfigValue, type_: ConfigType | None, *, key: str
) -> tuple[str, ConfigType]:
    """The value as text, and its type; InputError, which never shows it, where they clash."""
    if type_ is None:
        type_ = ConfigType.INTEGER if isinstance(value, int) else ConfigType.FLOAT
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match type_:
        case ConfigType.STRING if isinstance(value, str) and "\0" not in value:
            text = value
        case ConfigType.BOOLEAN if isinstance(value, bool):
            text = str(value).lower()
        case ConfigType.INTEGER if isinstance(value, int) and is_number:
            text = str(value)
        case ConfigType.FLOAT if (
            isinstance(value, int | float) and is_number and math.isfinite(value)
        ):
            text = repr(float(value))
        case ConfigType.JSON:
            text = _dump(value, key)
        case _:
            raise _refuse(key, type_)
    if len(text.encode()) > MAX_BYTES:
        raise InputError(
            f"The setting {key!r} is longer than {MAX_BYTES} bytes.",
            remedy="Keep large things in files.",
            field=key,
        )
    return text, type_


def parse_value(text: str, type_: ConfigType, *, key: str) -> ConfigValue:
    """The value that the text stands for; InputError where it stands for none of its type."""
    try:
        match type_:
            case ConfigType.STRING:
                return text
            case ConfigType.INTEGER:
                return int(text)
            case ConfigType.FLOAT:
                number = float(text)
                return number if math.isfinite(number) else _raise(ValueError(key))
            case ConfigType.BOOLEAN:
                return _WORDS[text.lower()]
            case ConfigType.JSON:
                parsed: ConfigValue = json.loads(text)
                return parsed
    except (ValueError, KeyError) as error:
        raise _refuse(key, type_) from error


def _raise(error: Exception) -> float:
    raise error


def _dump(value: ConfigValue, key: str) -> str:
    """JSON, given up on as soon as it is too long and not once it is whole."""
    parts, size = [], 0
    try:
        for part in json.JSONEncoder(allow_nan=False).iterencode(value):
            size += len(part)
            if size > MAX_BYTES:
                raise InputError(
                    f"The setting {key!r} is longer than {MAX_BYTES} bytes.",
                    remedy="Keep large things in files.",
                    field=key,
                )
            parts.append(part)
    except (TypeError, ValueError, RecursionError) as error:
        raise _refuse(key, ConfigType.JSON) from error
    return "".join(parts)


def _refuse(key: str, type_: ConfigType) -> InputError:
    return InputError(
        f"The value of the setting {key!r} is no {type_.value}.",
        remedy="Write a value of its type, or another type.",
        field=key,
    )
