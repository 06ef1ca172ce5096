"""Laws of writing and reading traces."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optiinfra.adapters.traces import read_traces, write_chunks, write_csv, write_trace
from optiinfra.domain.errors import InputError
from optiinfra.domain.trace import PrefixHashes, RequestChunk, Trace
from optiinfra.twin.workload.chunks import resize_chunks
from optiinfra.twin.workload.prefixes import number_densely

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    gaps = draw(st.lists(st.floats(0, 1e5, allow_subnormal=False), min_size=0, max_size=30))
    n = len(gaps) + 1
    tokens = st.lists(st.integers(1, 10_000_000), min_size=n, max_size=n)
    prompts = np.array(draw(tokens), np.int32)
    hashes = None
    if draw(st.booleans()):
        block = draw(st.sampled_from([65_536, 1_000_000]))
        lengths = -(-prompts.astype(np.int64) // block)
        pool = draw(st.integers(1, 50))
        ids = np.arange(int(lengths.sum())) * 7919 % pool
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        hashes = PrefixHashes(offsets, number_densely(ids), block)
    started_at = draw(st.none() | st.just(datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)))
    return Trace(
        arrival_s=np.concatenate(([0.0], np.cumsum(gaps))),
        prompt_tokens=prompts,
        output_tokens=np.array(draw(tokens), np.int32),
        source="drawn",
        is_synthetic=draw(st.booleans()),
        started_at=started_at,
        prefix_hashes=hashes,
        notes=("first", "second"),
    )


@SETTINGS
@given(trace=traces())
def test_what_is_written_is_read(trace: Trace, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv(trace, path)
    read = read_traces(path)[None]
    assert read.digest == trace.digest
    assert np.array_equal(read.arrival_s, trace.arrival_s)
    assert read.is_synthetic == trace.is_synthetic
    assert read.started_at == trace.started_at
    assert read.notes[:2] == trace.notes
    write_csv(read, tmp_path / "again.csv")
    assert read_traces(tmp_path / "again.csv")[None].notes == read.notes


@SETTINGS
@given(times=st.lists(st.floats(0, 1e6), min_size=2, max_size=20))
def test_only_sorted_files_are_read(times: list[float], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"{time!r},1,1\n" for time in times)
    path.write_text("arrival_s,prompt_tokens,output_tokens\n" + rows)
    first_back = next((i for i in range(1, len(times)) if times[i] < times[i - 1]), None)
    if first_back is None:
        trace = read_traces(path)[None]
        assert trace.arrival_s[0] == 0.0
        assert np.all(np.diff(trace.arrival_s) >= 0)
        return
    with pytest.raises(InputError) as caught:
        read_traces(path)
    assert caught.value.line == first_back + 2


@SETTINGS
@given(data=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_traces(path)


CELLS = st.sampled_from(
    ["0", "1", "-1", "1.5", "nan", "inf", "1e3", "", " ", '"', '""', "#", "é", "0x1", "9" * 30, "a"]
)


@SETTINGS
@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6))
def test_any_cells_are_read_or_refused(rows: list[list[str]], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    body = "".join(",".join(row) + "\n" for row in rows)
    path.write_text("arrival_s,prompt_tokens,output_tokens\n" + body)
    try:
        trace = read_traces(path)[None]
    except InputError as error:
        assert error.file == str(path)  # noqa: PT017
    else:
        assert trace.num_requests <= len(rows)


def test_metadata_and_notes_are_single_lines(tmp_path: Path) -> None:
    trace = Trace(np.zeros(1), np.ones(1, np.int32), np.ones(1, np.int32), "x")
    write_csv(trace, tmp_path / "a.csv", {"synthetic": "seed 7"})
    assert read_traces(tmp_path / "a.csv")[None].notes == ("synthetic: seed 7",)
    with pytest.raises(ValueError, match="single lines"):
        write_csv(trace, tmp_path / "b.csv", {"synthetic": "seed\n0,0,0"})
    assert not (tmp_path / "b.csv").exists()


@settings(SETTINGS, max_examples=20)
@given(trace=traces(), size=st.integers(1, 40))
def test_parquet_and_chunks_hold_the_same(trace: Trace, size: int, tmp_path: Path) -> None:
    write_trace(trace, tmp_path / "t.parquet")
    read = read_traces(tmp_path / "t.parquet")[None]
    assert read.digest == trace.digest
    assert (read.is_synthetic, read.started_at) == (trace.is_synthetic, trace.started_at)
    assert read.notes[:2] == trace.notes
    columns = (trace.arrival_s, trace.prompt_tokens, trace.output_tokens)
    whole = RequestChunk(*columns, prefix_hashes=trace.prefix_hashes)
    for name in ("chunks.csv", "chunks.parquet"):
        path = tmp_path / name
        chunks = resize_chunks([whole], size)
        assert write_chunks(chunks, path, notes=["synthetic: seed 1", "x"]) == trace.num_requests
        read = read_traces(path)[None]
        assert read.digest == trace.digest
        assert {"synthetic: seed 1", "x"} <= set(read.notes)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_stream_that_breaks_off_leaves_the_old_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert write_chunks([], path, notes=[]) == 0
    before = path.read_bytes()

    def break_off() -> Iterator[RequestChunk]:
        yield RequestChunk(np.zeros(1), np.ones(1, np.int32), np.ones(1, np.int32))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_chunks(break_off(), path, notes=[])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError):  # a table without rows is no trace
        read_traces(path)
