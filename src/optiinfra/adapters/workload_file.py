"""A fitted workload as a file, JSON: written whole, read with every number checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from optiinfra.adapters.text_file import read_text_file
from optiinfra.domain.errors import InputError
from optiinfra.twin.provenance import Provenance
from optiinfra.twin.workload import Bursts, JointLengths, PrefixFit, RateCurve, WorkloadFit

FORMAT = "optiinfra-workload"
VERSION = 1
_MAX_BYTES = 64 * 2**20
_MAX_ITEMS = 1_000_000

_Numbers = tuple[FiniteFloat, ...]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)


class _ProvenanceSection(_Section):
    source: str
    digest: str
    num_rows: int = Field(ge=0)
    span_s: FiniteFloat
    started_at: str | None
    is_synthetic: bool
    notes: tuple[str, ...]


class _RateSection(_Section):
    span_s: FiniteFloat
    knot_s: _Numbers = Field(max_length=_MAX_ITEMS)
    rate_per_s: _Numbers = Field(max_length=_MAX_ITEMS)


class _BurstsSection(_Section):
    gap_cv: FiniteFloat
    scale_s: _Numbers = Field(max_length=100)
    variance_ratio: _Numbers = Field(max_length=100)


class _LengthsSection(_Section):
    prompt_levels: _Numbers = Field(max_length=10_000)
    prompt_tokens: _Numbers = Field(max_length=10_000)
    output_levels: _Numbers = Field(max_length=10_000)
    output_tokens: tuple[_Numbers, ...] = Field(max_length=1_000, min_length=1)


class _PrefixesSection(_Section):
    block_tokens: int
    upper_blocks: tuple[int, ...] = Field(max_length=1_000)
    hit_ratio: _Numbers
    shared_ratio: tuple[_Numbers, ...]
    lag_s: _Numbers


class _File(_Section):
    format: str
    version: int
    provenance: _ProvenanceSection
    rate: _RateSection
    bursts: _BurstsSection
    lengths: _LengthsSection
    prefixes: _PrefixesSection | None
    notes: tuple[str, ...]


def write_workload(fit: WorkloadFit, path: Path) -> None:
    """Write a fit; equal fits give equal bytes. Raises ValueError for one with regimes in it.

    Regimes are changes on top of a fit: apply them again after reading.
    """
    if fit.regimes:
        message = "a fit with changed regimes is not written: write it as fitted"
        raise ValueError(message)
    prefixes = None if fit.prefixes is None else _PrefixesSection(**_list_fields(fit.prefixes))
    content = _File(
        format=FORMAT,
        version=VERSION,
        provenance=_ProvenanceSection(**_list_fields(fit.provenance)),
        rate=_RateSection(**_list_fields(fit.rate)),
        bursts=_BurstsSection(**_list_fields(fit.bursts)),
        lengths=_LengthsSection(**_list_fields(fit.lengths)),
        prefixes=prefixes,
        notes=fit.notes,
    )
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(json.dumps(content.model_dump(mode="json"), indent=1) + "\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_workload(path: Path) -> WorkloadFit:
    """The fit in a file.

    Raises InputError for a file that is no such fit, of another version, or holds a figure that
    cannot be (NaN, levels that fall, shares above 1).
    """
    text = read_text_file(path, what="workload", max_bytes=_MAX_BYTES)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"The file is not JSON ({error}).", line=getattr(error, "lineno", None))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        _refuse(path, "The file is not a fitted workload.", field="format")
    if content.get("version") != VERSION:
        _refuse(
            path,
            f"The file has version {content.get('version')!r}, not {VERSION}.",
            field="version",
        )
    try:
        found = _File.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        _refuse(path, f"{first['msg']}: {str(first['input'])[:80]}.", field=place)
    return _build(path, found)


def _build(path: Path, found: _File) -> WorkloadFit:
    """The values, whose own checks say what cannot be."""
    section = "rate"
    try:
        rate = RateCurve(
            _to_array(found.rate.knot_s), _to_array(found.rate.rate_per_s), found.rate.span_s
        )
        section = "bursts"
        bursts = Bursts(**dict(found.bursts))
        section = "lengths"
        rows = found.lengths.output_tokens
        if len({len(row) for row in rows}) != 1:
            _refuse(path, "The classes have different numbers of quantiles.", field=section)
        lengths = JointLengths(
            _to_array(found.lengths.prompt_levels),
            _to_array(found.lengths.prompt_tokens),
            _to_array(found.lengths.output_levels),
            np.array(rows, np.float64),
        )
        section = "prefixes"
        prefixes = None if found.prefixes is None else PrefixFit(**dict(found.prefixes))
    except ValueError as error:
        _refuse(path, f"It cannot be: {error}.", field=section)
    provenance = Provenance(**dict(found.provenance))
    return WorkloadFit(rate, bursts, lengths, prefixes, provenance, notes=found.notes)


def _to_array(numbers: tuple[float, ...]) -> NDArray[np.float64]:
    return np.array(numbers, np.float64)


def _list_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, arrays as lists."""
    pairs = {name: getattr(value, name) for name in type(value).__dataclass_fields__}
    return {
        name: item.tolist() if isinstance(item, np.ndarray) else item
        for name, item in pairs.items()
    }


def _refuse(
    path: Path, problem: str, *, field: str | None = None, line: int | None = None
) -> NoReturn:
    raise InputError(
        problem,
        remedy="Fit it again: `optiinfra generate-trace --like TRACE --save-fit FILE`.",
        file=str(path),
        field=field,
        line=line,
    )
