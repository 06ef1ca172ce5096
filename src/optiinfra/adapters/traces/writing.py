"""Writing requests in our own form, CSV or Parquet, chunk by chunk; nothing is half-written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from optiinfra.domain.trace import PrefixHashes, RequestChunk, Trace

PARQUET_SUFFIX = ".parquet"
_SYNTHETIC = "synthetic: "


def write_csv(trace: Trace, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write the trace so that `read_traces` gives the same columns, digest included.

    `metadata` becomes `# key: value` lines above the header, such as `synthetic: seed 7`; start,
    block size and notes are added from the trace.
    """
    _write(_write_csv_chunks, [_to_chunk(trace)], path, _describe(trace, metadata or {}))


def write_trace(trace: Trace, path: Path) -> None:
    """Write the trace as Parquet where the name ends so, else as CSV; both read back the same."""
    _write(_choose(path), [_to_chunk(trace)], path, _describe(trace, {}))


def write_chunks(chunks: Iterable[RequestChunk], path: Path, *, notes: Iterable[str]) -> int:
    """Write a generated stream as it comes, in bounded memory; how many requests it had.

    Marked synthetic; a note `synthetic: …` says how. An empty stream is an empty table.
    """
    how, rest = _split_notes(notes)
    comments = [("synthetic", how), *(("note", text) for text in rest)]
    counter = _Counter(chunks)
    _write(_choose(path), counter, path, comments)
    return counter.num_requests


class _Counter:
    """Chunks that are counted as they pass."""

    def __init__(self, chunks: Iterable[RequestChunk]) -> None:
        self.chunks = chunks
        self.num_requests = 0

    def __iter__(self) -> Iterator[RequestChunk]:
        for chunk in self.chunks:
            self.num_requests += chunk.num_requests
            yield chunk


_Comments = list[tuple[str, str]]
_Writer = Callable[[Iterable[RequestChunk], BinaryIO, _Comments], None]


def _describe(trace: Trace, metadata: Mapping[str, str]) -> _Comments:
    """What stands above the columns."""
    comments = dict(metadata)
    how, rest = _split_notes(trace.notes)
    if trace.is_synthetic:
        comments.setdefault("synthetic", how)
    if trace.started_at is not None:
        comments["started_at"] = trace.started_at.isoformat()
    return [*comments.items(), *(("note", note) for note in rest)]


def _split_notes(notes: Iterable[str]) -> tuple[str, list[str]]:
    """How something was made, from its first note of that, and the other notes."""
    texts = list(notes)
    first = next((text for text in texts if text.startswith(_SYNTHETIC)), None)
    if first is None:
        return "yes", texts
    texts.remove(first)
    return first.removeprefix(_SYNTHETIC), texts


def _to_chunk(trace: Trace) -> RequestChunk:
    columns = (trace.arrival_s, trace.prompt_tokens, trace.output_tokens)
    return RequestChunk(*columns, prefix_hashes=trace.prefix_hashes)


def _choose(path: Path) -> _Writer:
    return _write_parquet_chunks if path.suffix == PARQUET_SUFFIX else _write_csv_chunks


def _write(write: _Writer, chunks: Iterable[RequestChunk], path: Path, comments: _Comments) -> None:
    if any(len(f"{key}: {value}".splitlines()) != 1 for key, value in comments):
        message = "metadata and notes are single lines"
        raise ValueError(message)
    with _replacing(path) as stream:
        write(chunks, stream, comments)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream beside the path that takes its place when all is written, and is gone otherwise."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as stream:
            yield stream
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _write_csv_chunks(
    chunks: Iterable[RequestChunk], stream: BinaryIO, comments: _Comments
) -> None:
    lines = [f"# {key}: {value}\n" for key, value in comments]
    options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
    for number, chunk in enumerate(chunks):
        hashes = chunk.prefix_hashes
        columns = _make_columns(chunk)
        if hashes is not None:
            columns["prefix_hash"] = pc.binary_join(_list_ids(hashes, pa.string()), " ")
        if number == 0:
            if hashes is not None:
                lines.append(f"# prefix_block_tokens: {hashes.block_tokens}\n")
            stream.write("".join([*lines, ",".join(columns) + "\n"]).encode())
            lines = []
        pa_csv.write_csv(pa.table(columns), stream, options)
    if lines:
        stream.write("".join([*lines, "arrival_s,prompt_tokens,output_tokens\n"]).encode())


def _write_parquet_chunks(
    chunks: Iterable[RequestChunk], stream: BinaryIO, comments: _Comments
) -> None:
    import pyarrow.parquet as pq

    metadata = {key: value for key, value in comments if key != "note"}
    metadata["note"] = "\n".join(value for key, value in comments if key == "note")
    empty = RequestChunk(np.zeros(0), np.zeros(0, np.int32), np.zeros(0, np.int32))
    with ExitStack() as stack:
        writer = None
        for chunk in chain(chunks, [empty]):  # the last one makes a table of an empty stream
            columns = _make_columns(chunk)
            if chunk.prefix_hashes is not None:
                columns["prefix_hash"] = _list_ids(chunk.prefix_hashes, pa.int32())
                metadata["prefix_block_tokens"] = str(chunk.prefix_hashes.block_tokens)
            table = pa.table(columns)
            if writer is None:
                schema = table.schema.with_metadata(metadata)
                writer = stack.enter_context(pq.ParquetWriter(stream, schema))
            if chunk.num_requests:
                writer.write_table(table)


def _make_columns(chunk: RequestChunk) -> dict[str, pa.Array]:
    return {
        "arrival_s": pa.array(chunk.arrival_s),
        "prompt_tokens": pa.array(chunk.prompt_tokens),
        "output_tokens": pa.array(chunk.output_tokens),
    }


def _list_ids(hashes: PrefixHashes, item: pa.DataType) -> pa.Array:
    offsets = pa.array(hashes.offsets.astype(np.int32))  # at most 100 M ids are ever read
    return pa.ListArray.from_arrays(offsets, pa.array(hashes.ids).cast(item))
