"""Settings between their text and their type: refused when written, typed when read."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any, TypeAlias

from optiinfra.database.checked_rows import check_values
from optiinfra.database.column_rules import find_float_fault
from optiinfra.database.json_limits import MAX_JSON_BYTES, TOO_LARGE, find_json_fault
from optiinfra.database.models import AgentConfig, ConfigType
from optiinfra.database.refusals import Fault, make_refusal
from optiinfra.domain.errors import ConstraintError

ConfigValue: TypeAlias = str | int | float | bool | dict[str, Any] | list[Any] | None
MAX_BYTES = MAX_JSON_BYTES
NUMBER = "number"  # the other naming of integer and float
_WORDS = {"true": True, "false": False}


def parse_type(word: str) -> ConfigType | None:
    """The type of that word; None for `number`, which the value decides."""
    if word == NUMBER:
        return None
    check_values(AgentConfig, {"config_type": word})
    return ConfigType(word)


def format_value(
    value: ConfigValue, type_: ConfigType | None, *, key: str
) -> tuple[str, ConfigType]:
    """The value as text, and its type; ConstraintError, which never shows it, where they clash."""
    if type_ is None:
        type_ = ConfigType.INTEGER if isinstance(value, int) else ConfigType.FLOAT
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match type_:
        case ConfigType.STRING if isinstance(value, str):
            text = value
        case ConfigType.BOOLEAN if isinstance(value, bool):
            text = str(value).lower()
        case ConfigType.INTEGER if isinstance(value, int) and is_number:
            text = _dump(value, key)
        case ConfigType.FLOAT if (
            isinstance(value, int | float) and find_float_fault(value, bounds=[]) is None
        ):
            text = repr(float(value))
        case ConfigType.JSON:
            text = _dump(value, key)
        case _:
            raise _make_refusal(key, f"is no {type_.value}")
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise _make_refusal(key, f"is longer than {MAX_BYTES} bytes; keep large things in files")
    check_values(AgentConfig, {"config_value": text})
    return text, type_


def parse_value(text: str, type_: ConfigType, *, key: str) -> ConfigValue:
    """The value that the text stands for; ConstraintError where it is none of its type."""
    with suppress(ValueError, KeyError):  # whose text would repeat the value
        match type_:
            case ConfigType.STRING:
                return text
            case ConfigType.INTEGER:
                return int(text)
            case ConfigType.FLOAT if math.isfinite(number := float(text)):
                return number
            case ConfigType.BOOLEAN:
                return _WORDS[text.lower()]
            case ConfigType.JSON:
                parsed: ConfigValue = json.loads(text)
                return parsed
    raise _make_refusal(key, f"is no {type_.value}")


def _dump(value: ConfigValue, key: str) -> str:
    """JSON, which is measured before it is made."""
    fault = find_json_fault(value)
    if fault is not None:  # where in the value it is would tell something of it
        raise _make_refusal(
            key, fault.why if fault.why == TOO_LARGE else f"is no {ConfigType.JSON.value}"
        )
    return json.dumps(value, allow_nan=False)


def _make_refusal(key: str, why: str) -> ConstraintError:
    column = AgentConfig.config_value.property.columns[0]
    return make_refusal(column, Fault(f"of the setting {key!r} {why}", None))
