"""Measured runs of vLLM, request by request."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.traces.assembly import Assembly, Origin
from optiinfra.adapters.traces.blocks import open_text
from optiinfra.adapters.traces.formats import LAYOUTS, TraceFormat
from optiinfra.adapters.traces.json_rows import iter_json_rows
from optiinfra.adapters.traces.rows import Rows, find_first
from optiinfra.domain.errors import InputError
from optiinfra.domain.measurement import MeasuredRequests

_STAMPS = ("queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts")
_REQUESTS = "requests.jsonl"
_MAX_META_BYTES = 2**20


def read_measured_requests(path: Path) -> MeasuredRequests:
    """The requests of a measured vLLM run: a JSON-lines file, or the folder with requests.jsonl.

    The engine's own monotonic stamps are used: TTFT is queued to first token, so the client's and
    the network's share is not in it. Rows are sorted by queued_ts.

    Raises:
        InputError: as `read_traces`; also where a request's stamps go back.
    """
    if path.is_dir():
        path /= _REQUESTS
    layout = LAYOUTS[TraceFormat.VLLM]
    source = f"{path.parent.name}/{path.name}" if path.name == _REQUESTS else path.name
    notes = (
        "TTFT and end-to-end run from the engine's queued_ts, without network or client",
        *_read_meta_notes(path),
    )
    assembly = Assembly(layout, Origin(str(path), source, notes=notes[1:]), is_sorted_here=True)
    columns: list[NDArray[np.float64]] = []
    for rows in iter_json_rows(open_text(path), layout):
        _check_outputs(rows)
        assembly.add(rows)
        columns.append(_take_stamps(rows))
    trace = assembly.finish()[None]
    stamps = np.concatenate(columns, axis=1)
    queued, scheduled, first, last = stamps[:, np.argsort(stamps[0], kind="stable")]
    gaps = trace.output_tokens - 1
    tpot_s = np.full(gaps.size, np.nan)
    np.divide(last - first, gaps, out=tpot_s, where=gaps > 0)
    return MeasuredRequests(
        trace=trace,
        queue_s=scheduled - queued,
        ttft_s=first - queued,
        tpot_s=tpot_s,
        e2e_s=last - queued,
        notes=notes,
    )


def _take_stamps(rows: Rows) -> NDArray[np.float64]:
    stamps = np.stack([rows.get_numbers(name) for name in _STAMPS])
    for i, name in enumerate(_STAMPS):
        row = find_first(~np.isfinite(stamps[i]) | ((stamps[i] < stamps[i - 1]) & (i > 0)))
        if row is not None:
            raise rows.make_error(
                row,
                f"{name} is {stamps[i, row]}, before {_STAMPS[i - 1]} or not a number.",
                remedy="Leave out requests that did not finish.",
                field=name,
            )
    return stamps


def _check_outputs(rows: Rows) -> None:
    for name in ("input_toks", "output_toks"):
        row = find_first(rows.get_numbers(name) == 0)
        if row is not None:
            raise rows.make_error(
                row, "0 tokens.", remedy="Leave out requests that did not finish.", field=name
            )


def _read_meta_notes(path: Path) -> tuple[str, ...]:
    """Model and engine from the meta.json beside the file, where there is one."""
    meta_path = path.with_name("meta.json")
    if not meta_path.is_file():
        return ()
    try:
        with meta_path.open("rb") as stream:
            meta = json.loads(stream.read(_MAX_META_BYTES))
        return (f"measured on vLLM {meta['vllm_version']}, {meta['model']}",)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"the file cannot be used ({error!r}).",
            remedy="It holds `model` and `vllm_version`; repair or remove it.",
            file=str(meta_path),
        ) from error
