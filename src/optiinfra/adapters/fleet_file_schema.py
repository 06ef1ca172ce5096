"""The keys of a fleet file, their types and ranges. docs/fleet-file.md explains each of them."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from optiinfra.adapters.fleet_file_yaml import Document, KeyPath, format_path
from optiinfra.domain.errors import InputError

Name = Annotated[str, Field(min_length=1, max_length=200)]
Positive = Annotated[float, Field(gt=0, le=1e18)]
Ratio = Annotated[float, Field(gt=0, le=1)]
Price = Annotated[float, Field(gt=0, lt=1e6)]


class _Section(BaseModel):
    """No unknown key, no conversion of types, no NaN and no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class CustomerSection(_Section):
    """Whose fleet this is."""

    name: Name
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)]


class SLOSection(_Section):
    """Thresholds per request; a deployment's own values stand over the fleet's."""

    ttft_s: Positive | None = None
    tpot_s: Positive | None = None
    attainment_ratio: Ratio | None = None


class LimitsSection(_Section):
    """What recommendations may not go beyond."""

    min_replicas: Annotated[int, Field(ge=1, le=10_000)] = 2
    max_replicas: Annotated[int, Field(ge=1, le=10_000)] = 64
    headroom_ratio: Annotated[float, Field(ge=0, le=10)] = 0.0
    clouds: list[Name] = []
    regions: list[Name] = []
    gpus: list[Name] = []


class PriceSection(_Section):
    """A price of the user's own for candidates."""

    gpu: Name
    cloud: Name | None = None
    region: Name | None = None
    instance_type: Name | None = None
    gpus_per_instance: Annotated[int, Field(ge=1, le=1024)] | None = None
    price_usd_per_gpu_h: Price | None = None
    price_usd_per_instance_h: Price | None = None


class GPUSection(_Section):
    """A GPU type by its datasheet; rates are dense, without sparsity."""

    name: Name
    memory_mib: Annotated[int, Field(ge=1024, le=2**24)]
    memory_gb_per_s: Positive
    bf16_tflops: Positive
    fp8_tflops: Positive | None = None
    link_gb_per_s: Positive
    power_w: Positive
    has_bf16: bool = True
    is_nvlink: bool = False
    achievable_flops_ratio: Ratio | None = None
    achievable_bandwidth_ratio: Ratio | None = None


class DeploymentSection(_Section):
    """One model behind one endpoint."""

    name: Name
    model: Name | None = None
    engine: Literal["vllm", "sglang", "tgi"] | None = None
    engine_version: Name | None = None
    arguments: dict[str, Any] | None = None  # typed flag by flag, by adapters/engine_flags.py
    command: Annotated[str, Field(min_length=1, max_length=32_768)] | None = None
    gpu: Name
    replicas: Annotated[int, Field(ge=1, le=10_000)]
    purchase_option: Literal["on_demand", "spot", "reserved"] = "on_demand"
    cloud: Name | None = None
    region: Name | None = None
    instance_type: Name | None = None
    gpus_per_instance: Annotated[int, Field(ge=1, le=1024)] | None = None
    price_usd_per_gpu_h: Price | None = None
    price_usd_per_instance_h: Price | None = None
    price: Literal["unknown"] | None = None
    slo: SLOSection = SLOSection()


class FleetSection(_Section):
    """The whole file."""

    customer: CustomerSection
    slo: SLOSection = SLOSection()
    limits: LimitsSection = LimitsSection()
    prices: Annotated[list[PriceSection], Field(max_length=1000)] = []
    rate_profile: list[Annotated[float, Field(ge=0, le=1e12)]] = []
    gpus: Annotated[list[GPUSection], Field(max_length=100)] = []
    deployments: Annotated[list[DeploymentSection], Field(min_length=1, max_length=100)]


_SECTIONS: dict[tuple[str, ...], type[_Section]] = {
    (): FleetSection,
    ("customer",): CustomerSection,
    ("slo",): SLOSection,
    ("limits",): LimitsSection,
    ("prices",): PriceSection,
    ("gpus",): GPUSection,
    ("deployments",): DeploymentSection,
    ("deployments", "slo"): SLOSection,
}
_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text (in quotes, where it looks like a number)",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "finite_number": "a finite number",
    "string_pattern_mismatch": "an address such as platform@example.com",
}


def parse_fleet_section(document: Document) -> FleetSection:
    """The document as typed sections; InputError at the first key that does not fit."""
    try:
        return FleetSection.model_validate(document.values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        errors = [_translate(document, dict(problem)) for problem in problems]
        # A misspelt key is both unknown and missing; the first says more.
        errors.sort(key=lambda e: (e.line or 0, "is missing" in e.problem))
        first = errors[0]
        others = len({(e.line, e.field) for e in errors} - {(first.line, first.field)})
        if others:
            first.remedy += f" ({others} more after it.)"
        raise first from error


def _translate(document: Document, problem: dict[str, Any]) -> InputError:
    """Pydantic's error at the file's line, with what to do."""
    kind, given = str(problem["type"]), problem.get("input")
    path = _trim_path(document, problem["loc"], is_missing=kind == "missing")
    key = path[-1] if path else ""
    if isinstance(key, int):
        key = format_path(path)
    if kind == "extra_forbidden":
        section = _SECTIONS.get(tuple(p for p in path[:-1] if isinstance(p, str)), FleetSection)
        known = list(section.model_fields)
        close = get_close_matches(str(key), known, n=3, cutoff=0.5) or known
        return document.refuse(
            path, f"`{key}` is not a key known here.", remedy=f"Did you mean {', '.join(close)}?"
        )
    if kind == "missing":
        return document.refuse(path, f"`{key}` is missing.", remedy="Add it.")
    if isinstance(given, str) and kind in {"float_type", "int_type"}:
        remedy = "Remove the quotes." if re.fullmatch(r"[\d.eE+-]+", given) else "Write a number."
        return document.refuse(path, f"`{key}` is the text '{given}'.", remedy=remedy)
    if given is None:
        return document.refuse(path, f"`{key}` has no value.", remedy="Fill it in, or remove it.")
    expected = _EXPECTED.get(kind)
    sentence, remedy = f"`{key}` is {_shorten(given)}.", f"Write {expected}."
    if kind in {"string_too_short", "too_short"}:
        sentence, remedy = f"`{key}` is empty.", "Fill it in."
    elif expected is None:
        words = str(problem["msg"]).replace("Input should", f"`{key}` should")
        sentence, remedy = f"{words}.", f"It is {_shorten(given)}."
    return document.refuse(path, sentence, remedy=remedy)


def _trim_path(document: Document, loc: KeyPath, *, is_missing: bool) -> KeyPath:
    """Pydantic's location without the names of union members that it adds."""
    path: KeyPath = ()
    for part in loc:
        if (*path, part) not in document.lines:
            return (*path, part) if is_missing else path
        path = (*path, part)
    return path


def _shorten(value: object) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  # a line's worth
