"""Every bad trace file: one paragraph with file, line and field, quickly and in bounded memory."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from optiinfra.adapters.traces import TraceFormat, read_traces
from optiinfra.domain.errors import InputError

HEADER = "arrival_s,prompt_tokens,output_tokens\n"
JSON = '{"timestamp": 0, "input_length": 5, "output_length": 6}\n'

BAD = {
    "unknown column": ("arrival_s,prompt_tokens,output_tokens,user\n", 1, "user", "unknown column"),
    "near miss": ("arrival,prompt_tokens,output_tokens\n1,2,3\n", 1, "arrival", "Did you mean"),
    "missing column": ("arrival_s,prompt_tokens\n1,2\n", 1, "output_tokens", "missing"),
    "twice": ("arrival_s,arrival_s,prompt_tokens\n", 1, "arrival_s", "twice"),
    "no header": ("1,2,3\n4,5,6\n", 1, "1", "first line names the columns"),
    "semicolons": ("arrival_s;prompt_tokens;output_tokens\n1;2;3\n", 1, None, "by commas"),
    "only comments": ("# synthetic: seed 7\n", None, None, "no header"),
    "no rows": (HEADER, None, None, "empty"),
    "only blanks": (HEADER + "\n\n", None, None, "empty"),
    "empty file": ("", None, None, "empty"),
    "negative prompt": (HEADER + "0,1,1\n1,-5,1\n", 3, "prompt_tokens", "-5 tokens"),
    "negative output": (HEADER + "0,1,-1\n", 2, "output_tokens", "-1 tokens"),
    "the earlier of two": (HEADER + "0,1,-1\n1,-5,1\n", 2, "output_tokens", "-1 tokens"),
    "absurd": (HEADER + "0,10000001,1\n", 2, "prompt_tokens", "10,000,001 tokens"),
    "over 2^31": (HEADER + "0,1,4294967297\n", 2, "output_tokens", "4,294,967,297"),
    "over 2^63": (HEADER + "0,99999999999999999999,1\n", 2, "prompt_tokens", "18 digits"),
    "float": (HEADER + "0,12.0,1\n", 2, "prompt_tokens", "not a whole number"),
    "exponent": (HEADER + "0,1e3,1\n", 2, "prompt_tokens", "plain whole number"),
    "count nan": (HEADER + "0,nan,1\n", 2, "prompt_tokens", "not a whole number"),
    "count word": (HEADER + "0,many,1\n", 2, "prompt_tokens", "not a number"),
    "empty count": (HEADER + "0,,1\n", 2, "prompt_tokens", "missing"),
    "nan": (HEADER + "0,1,1\nnan,1,1\n", 3, "arrival_s", "nan"),
    "inf": (HEADER + "inf,1,1\n", 2, "arrival_s", "inf"),
    "word": (HEADER + "noon,1,1\n", 2, "arrival_s", "not a number"),
    "underscore": (HEADER + "1_0,1,1\n", 2, "arrival_s", "not a number"),
    "time back": (HEADER + "0,1,1\n5,1,1\n\n4,1,1\n", 5, "arrival_s", "goes back by 1 s"),
    "milliseconds": (HEADER + "0,1,1\n40000000,1,1\n", 3, "arrival_s", "463 days"),
    "too few": (HEADER + "0,1,1\n0,1\n", 3, None, "2 values where the header names 3"),
    "too many": (HEADER + "0,1,1,1\n", 2, None, "4 values"),
    "late comment": (HEADER + "0,1,1\n# end\n", 3, None, "above the header only"),
    "open quote": (HEADER + '"0,1,1\n', 2, None, "not CSV"),
    "nothing left": (HEADER + "0,1,0\n", None, None, "no request has both"),
    "started_at": ("# started_at: noon\n" + HEADER + "0,1,1\n", None, "started_at", "'noon'"),
    "no zone": (
        "# started_at: 2026-01-01T00:00:00\n" + HEADER + "0,1,1\n", None, "started_at", "zone",
    ),
    "block tokens": (
        "# prefix_block_tokens: 0\n" + HEADER + "0,1,1\n", None, "prefix_block_tokens", "'0'",
    ),
    "too many ids": (
        "arrival_s,prompt_tokens,output_tokens,prefix_hash\n0,512,1,a b\n", 2, "prefix_hash",
        "2 ids for 512 prompt tokens",
    ),
    "no deployment": (
        "arrival_s,prompt_tokens,output_tokens,deployment\n0,1,1,a\n1,1,1, \n", 3, "deployment",
        "missing",
    ),
    "bad instant": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,1\nyesterday,1,1\n",
        3, "TIMESTAMP", "date and time",
    ),
    "mixed zones": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15,1,1\n2023-11-16 18:16Z,1,1\n",
        3, "TIMESTAMP", "a time zone here",
    ),
    "azure column": ("TIMESTAMP,ContextTokens,Tokens\n", 1, "Tokens", "Did you mean"),
    "json array": ('[{"timestamp": 0}]', None, None, "one JSON array"),
    "json of another kind": ('{"a": 1}\n', 1, None, "no known form (fields a)"),
    "broken json": (JSON + '{"timestamp": 1,\n', 2, None, "not JSON"),
    "broken first json": ('{"timestamp": 1,\n', 1, None, "not JSON"),
    "json number": (JSON + "5\n", 2, None, "not a JSON object"),
    "json field": (JSON + JSON.replace("0", '0, "turn": 1'), 2, "turn", "unknown column"),
    "json missing": (JSON + '{"timestamp": 0, "input_length": 5}\n', 2, "output_length", "missing"),
    "json null": (JSON + JSON.replace("6", "null"), 2, "output_length", "not a whole number"),
    "json float": (JSON.replace("5", "5.5"), 1, "input_length", "not a whole number: 5.5"),
    "json bool": (JSON.replace("5", "true"), 1, "input_length", "not a whole number: true"),
    "json text": (JSON.replace("5", '"5"'), 1, "input_length", "not a whole number"),
    "json two a line": (JSON.strip() + JSON + JSON, 1, None, "not JSON"),
    "json nan": (JSON.replace("0", "NaN", 1), 1, "timestamp", "nan"),
    "json negative": (JSON + "\n" + JSON.replace("5", "-5"), 3, "input_length", "-5 tokens"),
    "json hash": (JSON.replace("6}", '6, "hash_ids": [1.5]}'), 1, "hash_ids", "list of ids"),
    "json time back": (JSON.replace("0", "9") + JSON, 2, "timestamp", "goes back by 0.009 s"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_content_names_line_and_field(name: str, tmp_path: Path) -> None:
    content, line, field, words = BAD[name]
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_traces(path)
    error = caught.value
    assert error.file == str(path)
    assert error.line == line
    assert field is None or error.field == field
    assert words in str(error)
    assert "\n" not in str(error)
    assert error.remedy


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_traces(tmp_path / "no.csv")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a directory"):
        read_traces(tmp_path)


def test_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe or a device"):
        read_traces(tmp_path / "pipe")


def test_ten_gigabytes_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "zeros.csv"
    with path.open("wb") as stream:
        stream.truncate(10 * 2**30)
    with pytest.raises(InputError, match="not text"):
        read_traces(path)


def test_zeros_after_a_good_beginning(tmp_path: Path) -> None:
    path = tmp_path / "late.csv"
    with path.open("wb") as stream:
        stream.write(HEADER.encode() + b"0,1,1\n" * 20_000)
        stream.truncate(3 * 2**30)
    with pytest.raises(InputError, match="not text") as caught:
        read_traces(path)
    assert caught.value.line == 20_002
    with path.open("ab") as stream:
        stream.truncate(10 * 2**30)
    with pytest.raises(InputError, match="more than 4 GiB"):
        read_traces(path)


def test_a_compression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optiinfra.adapters.traces.blocks.MAX_FILE_BYTES", 2**20)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(HEADER.encode() + b"0,1,1\n" * 2_000_000))
    with pytest.raises(InputError, match="more than"):
        read_traces(path)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    whole = gzip.compress(HEADER.encode() + b"0,1,1\n" * 100)
    for data in (whole[:-9], whole[:12] + b"garbage" + whole[12:], b"\x1f\x8b\x00"):
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged"):
            read_traces(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes(range(1, 256)) * 40, "not text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not text|not UTF-8"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd"),
        (HEADER.encode("utf-16"), "UTF-16"),
        (HEADER.encode() + b"0,1,1\n0,\xff\xfe,1\n", "line 3: this is not UTF-8"),
        (HEADER.encode() + b"1" * (9 * 2**20), "longer than"),
        (b"PAR1" + b"garbage" * 100, "damaged"),
    ],
)
def test_not_a_trace_at_all(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_traces(path)


def test_too_many_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optiinfra.adapters.traces.assembly.MAX_REQUESTS", 3)
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "0,1,1\n" * 4)
    with pytest.raises(InputError, match="more than 3 requests"):
        read_traces(path)


def test_too_many_prompt_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "0,10000000,1,a\n" * 11
    header = "arrival_s,prompt_tokens,output_tokens,prefix_hash\n"
    path.write_text("# prefix_block_tokens: 1\n" + header + rows)
    with pytest.raises(InputError, match="more than 100,000,000 blocks"):
        read_traces(path)


def test_too_many_deployments(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"0,1,1,d{i}\n" for i in range(300))
    path.write_text("arrival_s,prompt_tokens,output_tokens,deployment\n" + rows)
    with pytest.raises(InputError, match="300 deployments"):
        read_traces(path)


def test_the_named_form_must_fit_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "0,1,1\n")
    with pytest.raises(InputError, match="the file is text"):
        read_traces(path, trace_format=TraceFormat.PARQUET)
    with pytest.raises(InputError, match="not JSON"):
        read_traces(path, trace_format=TraceFormat.MOONCAKE)


GOOD = {"arrival_s": [0.0, 1.0], "prompt_tokens": [1, 2], "output_tokens": [3, 4]}


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"prompt_tokens": [1.0, 2.0]}, "prompt_tokens", "type double"),
        ({"arrival_s": ["0", "1"]}, "arrival_s", "type string"),
        ({"prompt_tokens": [1, None]}, "prompt_tokens", "row 2: the value is missing"),
        ({"output_tokens": [1, -4]}, "output_tokens", "row 2: -4 tokens"),
        ({"arrival_s": [1.0, 0.5]}, "arrival_s", "row 2: time goes back"),
        ({"user": [1, 2]}, "user", "unknown column"),
        ({"prefix_hash": [[1.5], []]}, "prefix_hash", "type list"),
        ({"deployment": [1, 2]}, "deployment", "type int64"),
    ],
)
def test_bad_parquet(
    change: dict[str, list[object]], field: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(GOOD | change), path)
    with pytest.raises(InputError, match=words) as caught:
        read_traces(path)
    assert (caught.value.field, caught.value.line) == (field, None)


def test_empty_and_packed_and_oversized_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(GOOD), path)
    (tmp_path / "a.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match="inside gzip"):
        read_traces(tmp_path / "a.gz")
    monkeypatch.setattr("optiinfra.adapters.traces.parquet_rows.MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="declares 6 values"):
        read_traces(path)
    pq.write_table(pa.table(GOOD).slice(0, 0), path)
    with pytest.raises(InputError, match="the trace is empty"):
        read_traces(path)


def test_a_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(GOOD), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged"):
        read_traces(path)
