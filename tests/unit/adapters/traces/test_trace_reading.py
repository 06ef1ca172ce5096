"""Every form of trace file, as the documents say they look."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from optiinfra.adapters.traces import TraceFormat, read_traces
from optiinfra.domain.errors import InputError
from optiinfra.domain.trace import Trace

AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 18:15:46.6805900,374,44\r\n"
    "2023-11-16 18:15:50.9951690,396,109\r\n"
    "2023-11-16 18:15:51.2224670,879,55"
)
OWN = "arrival_s,prompt_tokens,output_tokens\n5,10,3\n5.25,20,4\n7,30,5\n"
MOONCAKE = (
    '{"timestamp": 0, "input_length": 1025, "output_length": 6, "hash_ids": [7, 8, 9]}\n'
    '{"timestamp": 1500, "input_length": 600, "output_length": 4, "hash_ids": [7, 3]}\n'
)


def read_one(path: Path, content: str | bytes, trace_format: TraceFormat | None = None) -> Trace:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_traces(path, trace_format=trace_format)[None]


def test_azure_2023_keeps_seven_decimals(tmp_path: Path) -> None:
    trace = read_one(tmp_path / "conv.csv", AZURE)
    assert trace.arrival_s.tolist() == [0.0, 4.314579, 4.541877]
    assert trace.prompt_tokens.tolist() == [374, 396, 879]
    assert trace.output_tokens.tolist() == [44, 109, 55]
    assert trace.started_at == datetime(2023, 11, 16, 18, 15, 46, 680590, tzinfo=UTC)
    assert trace.source == "conv.csv"
    assert not trace.is_synthetic


def test_azure_2024_with_zones(tmp_path: Path) -> None:
    trace = read_one(
        tmp_path / "a.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01+00:00,2399,6\n",
    )
    assert trace.arrival_s.tolist() == [0.0, 0.99007]
    assert trace.started_at == datetime(2024, 5, 10, 0, 0, 0, 9930, tzinfo=UTC)


def test_mooncake_hashes_and_milliseconds(tmp_path: Path) -> None:
    trace = read_one(tmp_path / "m.jsonl", MOONCAKE)
    assert trace.arrival_s.tolist() == [0.0, 1.5]
    assert trace.prefix_hashes is not None
    assert trace.prefix_hashes.block_tokens == 512
    assert trace.prefix_hashes.offsets.tolist() == [0, 3, 5]
    assert trace.prefix_hashes.ids.tolist() == [0, 1, 2, 0, 3]  # dense, in order of first use


def test_mooncake_without_hashes(tmp_path: Path) -> None:
    line = '{"timestamp": 0, "input_length": 5, "output_length": 6}\n'
    assert read_one(tmp_path / "m.jsonl", line).prefix_hashes is None


def test_blocks_without_an_id_are_shared_by_nobody(tmp_path: Path) -> None:
    content = MOONCAKE.replace("[7, 8, 9]", "[7]") + (
        '{"timestamp": 1600, "input_length": 512, "output_length": 4}\n'
    )
    trace = read_one(tmp_path / "m.jsonl", content)
    assert trace.prefix_hashes is not None
    assert trace.prefix_hashes.offsets.tolist() == [0, 3, 5, 6]
    assert trace.prefix_hashes.ids.tolist() == [0, 1, 2, 0, 3, 4]
    assert "3 prompt blocks without an id are taken as shared by nobody" in trace.notes


def test_vllm_is_sorted_by_the_queue_stamp(tmp_path: Path) -> None:
    row = (
        '{{"request_id": "b-{0}", "input_toks": {0}, "output_toks": 5, "arrival_time": 1e9, '
        '"queued_ts": {1}, "scheduled_ts": 90, "first_token_ts": 91, "last_token_ts": 92}}\n'
    )
    trace = read_one(tmp_path / "r.jsonl", row.format(7, 20.5) + row.format(8, 20.25))
    assert trace.prompt_tokens.tolist() == [8, 7]
    assert trace.arrival_s.tolist() == [0.0, 0.25]


def test_own_csv_is_shifted_to_zero(tmp_path: Path) -> None:
    trace = read_one(tmp_path / "a.csv", OWN)
    assert trace.arrival_s.tolist() == [0.0, 0.25, 2.0]
    assert trace.notes == ()


def test_own_csv_metadata(tmp_path: Path) -> None:
    comments = (
        "# synthetic: seed 7\n# started_at: 2026-01-31T08:00:00+01:00\n# free words\n"
        "# prefix_block_tokens: 16\n# note: a note\n\n"
    )
    body = "arrival_s,prompt_tokens,output_tokens,prefix_hash\n"
    body += "2,17,3,a1 b2\n3,33,3,a1  c3 d4 \n4,9,1,\n"
    trace = read_one(tmp_path / "a.csv", comments + body)
    assert trace.is_synthetic
    assert trace.notes[:2] == ("a note", "synthetic: seed 7")
    assert trace.started_at == datetime(2026, 1, 31, 7, 0, 2, tzinfo=UTC)
    assert trace.prefix_hashes is not None
    assert trace.prefix_hashes.block_tokens == 16
    assert trace.prefix_hashes.ids.tolist() == [0, 1, 0, 2, 3, 4]


def test_requests_without_tokens_are_left_out_and_counted(tmp_path: Path) -> None:
    body = (
        "arrival_s,prompt_tokens,output_tokens,prefix_hash\n"
        "0,1,0,a\n1,1,5,b\n2,0,5,\n3,1,5,a\n4,1,0,c\n"
    )
    trace = read_one(tmp_path / "a.csv", body)
    assert trace.arrival_s.tolist() == [0.0, 2.0]
    assert trace.prefix_hashes is not None
    assert trace.prefix_hashes.ids.tolist() == [0, 1]
    assert trace.notes == (
        "1 of 5 requests left out: 0 prompt tokens",
        "2 of 5 requests left out: 0 output tokens",
    )


def test_deployments_are_separate_traces(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "# started_at: 2026-01-01T00:00:00Z\n"
        "arrival_s,prompt_tokens,output_tokens,deployment\n"
        '1,10,1,chat\n2,20,2,"code, fast"\n4,30,3,chat\n'
    )
    traces = read_traces(path)
    assert list(traces) == ["chat", "code, fast"]
    assert traces["chat"].prompt_tokens.tolist() == [10, 30]
    assert traces["chat"].arrival_s.tolist() == [0.0, 3.0]
    assert traces["code, fast"].arrival_s.tolist() == [0.0]
    assert traces["code, fast"].started_at == datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert traces["chat"].source == "a.csv (chat)"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda data: data,
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"\n\n"),
        lambda data: data.rstrip(b"\n"),
        gzip.compress,
        lambda data: gzip.compress(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")),
        lambda data: data.replace(b",", b" , "),
        lambda data: b"# a comment\n" + data,
    ],
    ids=["plain", "bom", "crlf", "blank", "no-end", "gzip", "all", "spaces", "comment"],
)
@pytest.mark.parametrize("content", [OWN, AZURE.replace("\r", ""), MOONCAKE])
def test_the_wrapping_does_not_matter(tmp_path: Path, content: str, wrap: object) -> None:
    assert callable(wrap)
    name = str(wrap(b",x\n"))
    if (content == MOONCAKE and "comment" in name) or (content != OWN and " , " in name):
        return  # JSON has no comments, and a date no spaces around it
    plain = read_one(tmp_path / "plain", content)
    wrapped = read_one(tmp_path / "wrapped", wrap(content.encode()))
    assert wrapped.digest == plain.digest


def test_parquet_equals_csv(tmp_path: Path) -> None:
    table = pa.table(
        {
            "arrival_s": pa.array([5, 5.25, 7]),
            "prompt_tokens": pa.array([10, 20, 30], pa.int32()),
            "output_tokens": pa.array([3, 4, 5], pa.uint16()),
        },
        metadata={"synthetic": "seed 3", "started_at": "2026-01-31T08:00:00Z", "note": "one"},
    )
    pq.write_table(table, tmp_path / "a.bin")
    trace = read_traces(tmp_path / "a.bin")[None]
    assert trace.digest == read_one(tmp_path / "a.csv", OWN).digest
    assert trace.is_synthetic
    assert trace.notes == ("one", "synthetic: seed 3")


@pytest.mark.parametrize(
    "hashes",
    [
        pa.array([[1, 2], [1, 3], None]),
        pa.array([["a", "b"], ["a", "c"], []], pa.list_(pa.string())),
        pa.array([[9, 8], [9, 7], []], pa.large_list(pa.int32())),
        pa.array(["a b", "a c", ""]),
    ],
    ids=["ints", "texts", "large", "spaces"],
)
def test_parquet_prefix_hashes(tmp_path: Path, hashes: pa.Array) -> None:
    columns = {
        "arrival_s": [0, 1, 2],
        "prompt_tokens": [600, 700, 5],
        "output_tokens": [1, 1, 1],
        "prefix_hash": hashes,
        "deployment": pa.array(["x", "x", "x"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    trace = read_traces(tmp_path / "a.parquet")["x"]
    assert trace.prefix_hashes is not None
    assert trace.prefix_hashes.ids.tolist() == [0, 1, 0, 2, 3]


def test_the_same_traffic_has_one_digest_in_every_form(tmp_path: Path) -> None:
    azure = read_one(tmp_path / "a", AZURE)
    own = "arrival_s,prompt_tokens,output_tokens\n0,374,44\n4.314579,396,109\n4.541877,879,55\n"
    assert read_one(tmp_path / "b", own).digest == azure.digest


def test_a_form_may_be_named(tmp_path: Path) -> None:
    assert read_one(tmp_path / "a", OWN, TraceFormat.CSV).num_requests == 3
    with pytest.raises(InputError, match="unknown column 'arrival_s'"):
        read_one(tmp_path / "a", OWN, TraceFormat.AZURE)


def test_lines_are_counted_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optiinfra.adapters.traces.blocks.BLOCK_BYTES", 64)
    rows = "".join(f"{i},{i + 1},1\n" for i in range(200))
    content = "arrival_s,prompt_tokens,output_tokens\n" + rows
    trace = read_one(tmp_path / "a.csv", content)
    assert trace.prompt_tokens.tolist() == list(range(1, 201))
    assert np.array_equal(trace.arrival_s, np.arange(200.0))
    with pytest.raises(InputError) as caught:
        read_one(tmp_path / "a.csv", content + "\n3,1,1\n")
    assert (caught.value.line, caught.value.field) == (203, "arrival_s")
