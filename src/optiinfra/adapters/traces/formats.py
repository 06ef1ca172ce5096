"""The forms a trace comes in: their columns, and how a file's first lines tell which it is."""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from optiinfra.adapters.traces.blocks import TextFile
from optiinfra.domain.errors import InputError


class TraceFormat(StrEnum):
    """Which form a file has."""

    AZURE = "azure"  # CSV of the Azure LLM inference dataset, 2023 and 2024
    MOONCAKE = "mooncake"  # JSON lines with block hashes, time in ms
    VLLM = "vllm"  # JSON lines of a measured vLLM run
    CSV = "csv"  # our own
    PARQUET = "parquet"  # our own


class Kind(StrEnum):
    """What a column holds."""

    SECONDS = "a number of seconds"
    MILLISECONDS = "a number of milliseconds"
    INSTANT = "a date and time"
    COUNT = "a whole number"
    IDS = "a list of ids"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Column:
    """A column under the name it has in the file."""

    name: str
    kind: Kind
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a form, and which of them says what."""

    columns: tuple[Column, ...]
    arrival: str
    prompt_tokens: str
    output_tokens: str
    prefix_hash: str | None = None
    deployment: str | None = None
    prefix_block_tokens: int = 512  # where the file does not say

    @property
    def names(self) -> tuple[str, ...]:
        """Every column this form may have."""
        return tuple(column.name for column in self.columns)


_OWN = Layout(
    columns=(
        Column("arrival_s", Kind.SECONDS),
        Column("prompt_tokens", Kind.COUNT),
        Column("output_tokens", Kind.COUNT),
        Column("prefix_hash", Kind.IDS, is_required=False),
        Column("deployment", Kind.TEXT, is_required=False),
    ),
    arrival="arrival_s",
    prompt_tokens="prompt_tokens",
    output_tokens="output_tokens",
    prefix_hash="prefix_hash",
    deployment="deployment",
)
LAYOUTS = {
    TraceFormat.AZURE: Layout(
        columns=(
            Column("TIMESTAMP", Kind.INSTANT),
            Column("ContextTokens", Kind.COUNT),
            Column("GeneratedTokens", Kind.COUNT),
        ),
        arrival="TIMESTAMP",
        prompt_tokens="ContextTokens",
        output_tokens="GeneratedTokens",
    ),
    TraceFormat.MOONCAKE: Layout(
        columns=(
            Column("timestamp", Kind.MILLISECONDS),
            Column("input_length", Kind.COUNT),
            Column("output_length", Kind.COUNT),
            Column("hash_ids", Kind.IDS, is_required=False),
        ),
        arrival="timestamp",
        prompt_tokens="input_length",
        output_tokens="output_length",
        prefix_hash="hash_ids",
    ),
    TraceFormat.VLLM: Layout(
        columns=(
            Column("request_id", Kind.TEXT, is_required=False),
            Column("input_toks", Kind.COUNT),
            Column("output_toks", Kind.COUNT),
            Column("arrival_time", Kind.SECONDS, is_required=False),
            Column("queued_ts", Kind.SECONDS),
            Column("scheduled_ts", Kind.SECONDS),
            Column("first_token_ts", Kind.SECONDS),
            Column("last_token_ts", Kind.SECONDS),
        ),
        arrival="queued_ts",
        prompt_tokens="input_toks",
        output_tokens="output_toks",
    ),
    TraceFormat.CSV: _OWN,
    TraceFormat.PARQUET: _OWN,
}


@dataclass(frozen=True, slots=True)
class Prelude:
    """What stands before the data rows of a CSV file."""

    num_bytes: int
    first_line: int  # number of the first data row's line
    header: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_prelude(file: TextFile) -> Prelude:
    """The leading `# key: value` comments and the header line of a CSV file."""
    metadata: dict[str, str] = {}
    notes: list[str] = []
    num_bytes = 0
    for number, raw in enumerate(file.head.splitlines(keepends=True), 1):
        num_bytes += len(raw)
        line = raw.decode("utf-8", errors="replace").strip()
        if not line:
            continue
        if not line.startswith("#"):
            header = tuple(name.strip() for name in next(csv.reader([line])))
            return Prelude(num_bytes, number + 1, header, metadata, tuple(notes))
        key, colon, value = line.removeprefix("#").partition(":")
        if colon and key.strip() == "note":
            notes.append(value.strip())
        elif colon:
            metadata[key.strip()] = value.strip()
    raise InputError(
        "there is no header line.",
        remedy="Name the columns in the first line: arrival_s,prompt_tokens,output_tokens.",
        file=str(file.path),
    )


def sniff_format(file: TextFile) -> TraceFormat:
    """Which form the file has, by its content; its name does not matter."""
    head = file.head.lstrip()
    if head.startswith(b"PAR1"):
        return TraceFormat.PARQUET
    if head.startswith(b"{"):
        return _sniff_json(file)
    if head.startswith(b"["):
        raise InputError(
            "this is one JSON array.",
            remedy="Write one JSON object a line (`jq -c '.[]'`), or our own CSV.",
            file=str(file.path),
        )
    header = read_prelude(file).header
    if set(header) & set(LAYOUTS[TraceFormat.AZURE].names):
        return TraceFormat.AZURE
    return TraceFormat.CSV


def _sniff_json(file: TextFile) -> TraceFormat:
    first = file.head.lstrip().split(b"\n", 1)[0]
    try:
        names = set(json.loads(first))
    except (ValueError, RecursionError):
        names = set()  # cut off at the head's end, or broken: the reader will say where
        for candidate in (TraceFormat.VLLM, TraceFormat.MOONCAKE):
            layout = LAYOUTS[candidate]
            names |= {name for name in layout.names if f'"{name}"'.encode() in first}
    if LAYOUTS[TraceFormat.VLLM].arrival in names:
        return TraceFormat.VLLM
    if names & set(LAYOUTS[TraceFormat.MOONCAKE].names):
        return TraceFormat.MOONCAKE
    raise InputError(
        f"these are JSON lines of no known form (fields {', '.join(sorted(names)) or 'none'}).",
        remedy="Known are Mooncake (timestamp, input_length, output_length) and measured vLLM "
        "runs (queued_ts, …). Or write our own CSV: arrival_s,prompt_tokens,output_tokens.",
        file=str(file.path),
        line=1,
    )


def check_names(file: str, line: int | None, names: Sequence[str], layout: Layout) -> None:
    """Raise where a column is unknown, twice there, or missing."""
    for name in names:
        if name not in layout.names:
            raise _unknown_column(file, line, names, layout, name)
        if names.count(name) > 1:
            raise InputError(
                f"column {name!r} is there twice.",
                remedy="Keep one of them.",
                file=file,
                line=line,
                field=name,
            )
    for column in layout.columns:
        if column.is_required and column.name not in names:
            raise InputError(
                f"column {column.name!r} is missing (found: {', '.join(names)}).",
                remedy=f"Add it; it holds {column.kind}.",
                file=file,
                line=line,
                field=column.name,
            )


def _unknown_column(
    file: str, line: int | None, names: Sequence[str], layout: Layout, name: str
) -> InputError:
    known = ", ".join(layout.names)
    if len(names) == 1 and any(mark in name for mark in ";\t"):
        remedy = "Separate the columns by commas."
    elif not any(char.isalpha() for char in "".join(names)):
        remedy = f"The first line names the columns: {known}."
    elif close := difflib.get_close_matches(name, layout.names, n=1):
        remedy = f"Did you mean {close[0]!r}? Known columns: {known}."
    else:
        remedy = f"Remove or rename it. Known columns: {known}."
    return InputError(
        f"unknown column {name[:80]!r}.", remedy=remedy, file=file, line=line, field=name[:80]
    )
