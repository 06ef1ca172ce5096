"""Reading a trace file of any known form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from optiinfra.adapters.traces.assembly import Assembly, Origin
from optiinfra.adapters.traces.blocks import TextFile, open_text
from optiinfra.adapters.traces.csv_rows import iter_csv_rows
from optiinfra.adapters.traces.formats import (
    LAYOUTS,
    Prelude,
    TraceFormat,
    read_prelude,
    sniff_format,
)
from optiinfra.adapters.traces.json_rows import iter_json_rows
from optiinfra.adapters.traces.limits import MAX_PREFIX_BLOCK_TOKENS, MAX_PREFIX_IDS
from optiinfra.adapters.traces.parquet_rows import iter_parquet_rows, read_parquet_metadata
from optiinfra.domain.errors import InputError
from optiinfra.domain.trace import Trace

_NOTES = {
    TraceFormat.MOONCAKE: ("arrivals come in whole milliseconds, several requests at one instant",),
    TraceFormat.VLLM: ("arrivals are the engine's queued_ts; rows are sorted by it",),
}


def read_traces(
    path: Path, *, trace_format: TraceFormat | None = None
) -> Mapping[str | None, Trace]:
    """The traces in a file by deployment; one under None where there is no such column.

    The form is found from the content unless given. Forms, limits and rules: docs/inputs.md.

    Raises:
        InputError: names file, line and field, and says what to do.
    """
    file = open_text(path)
    if trace_format is None:
        trace_format = sniff_format(file)
    _check_container(file, trace_format)
    layout = LAYOUTS[trace_format]
    prelude = None
    metadata: dict[str, str] = {}
    if trace_format in {TraceFormat.AZURE, TraceFormat.CSV}:
        prelude = read_prelude(file)
        metadata = prelude.metadata
    elif trace_format is TraceFormat.PARQUET:
        metadata = read_parquet_metadata(file)
    origin = _make_origin(path, metadata, layout.prefix_block_tokens, trace_format, prelude)
    assembly = Assembly(layout, origin, is_sorted_here=trace_format is TraceFormat.VLLM)
    if prelude is not None:
        rows = iter_csv_rows(file, prelude, layout)
    elif trace_format is TraceFormat.PARQUET:
        rows = iter_parquet_rows(file, layout, max_values=MAX_PREFIX_IDS * 2)
    else:
        rows = iter_json_rows(file, layout)
    for some in rows:
        if some.num_rows:
            assembly.add(some)
    return assembly.finish()


def _check_container(file: TextFile, trace_format: TraceFormat) -> None:
    """Raise where the form asked for cannot be in this kind of file."""
    is_parquet = file.head.startswith(b"PAR1")
    if is_parquet != (trace_format is TraceFormat.PARQUET):
        found = "Parquet" if is_parquet else "text"
        raise InputError(
            f"the file is {found}, not of the form {trace_format.value!r}.",
            remedy="Leave the format out to have it found from the content.",
            file=str(file.path),
        )


def _make_origin(
    path: Path,
    metadata: Mapping[str, str],
    prefix_block_tokens: int,
    trace_format: TraceFormat,
    prelude: Prelude | None,
) -> Origin:
    notes = list(_NOTES.get(trace_format, ()))
    if prelude is not None:
        notes += prelude.notes
    else:
        notes += [text for text in metadata.get("note", "").split("\n") if text]
    synthetic = metadata.get("synthetic")
    if synthetic is not None and synthetic.strip().lower() not in {"", "yes", "true"}:
        notes.append(f"synthetic: {synthetic}")
    if (block := metadata.get("prefix_block_tokens")) is not None:
        if not block.isdecimal() or not 1 <= int(block[:9]) <= MAX_PREFIX_BLOCK_TOKENS:
            raise _bad_metadata(path, "prefix_block_tokens", block, "a number of tokens, as 512")
        prefix_block_tokens = int(block)
    return Origin(
        file=str(path),
        source=path.name,
        is_synthetic=synthetic is not None,
        started_at=_read_start(path, metadata.get("started_at")),
        prefix_block_tokens=prefix_block_tokens,
        notes=tuple(notes),
    )


def _read_start(path: Path, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        started_at = datetime.fromisoformat(text)
    except ValueError:
        started_at = None
    if started_at is None or started_at.tzinfo is None:
        raise _bad_metadata(path, "started_at", text, "a time with its zone: 2026-01-31T08:00:00Z")
    return started_at.astimezone(UTC)


def _bad_metadata(path: Path, key: str, value: str, wanted: str) -> InputError:
    return InputError(
        f"the comment says {value[:80]!r}.", remedy=f"Write {wanted}.", file=str(path), field=key
    )
