"""From a source to a file: fitted, kept, reconstructed; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from optiinfra.adapters.traces import generation, read_traces, write_csv
from optiinfra.adapters.traces.generation import TraceRequest, generate_trace
from optiinfra.domain.errors import InputError
from optiinfra.domain.trace import Trace
from optiinfra.twin.workload import LoadBurst, generate_conversation
from optiinfra.twin.workload.change_list import ChangeList


@pytest.fixture
def like(tmp_path: Path) -> Path:
    path = tmp_path / "like.csv"
    trace = generate_conversation(seed=4, num_requests=1_500, rate_per_s=3.0)
    write_csv(replace(trace, is_synthetic=False, notes=("measured",)), path)
    return path


def test_without_a_source_a_conversation_is_generated(tmp_path: Path) -> None:
    out = tmp_path / "folder" / "t.csv"
    made = generate_trace(TraceRequest(seed=3, out=out, span_s=40.0, rate_per_s=10.0))
    again = generate_conversation(seed=3, num_requests=400, rate_per_s=10.0)
    assert made.num_requests == 400
    read = read_traces(out)[None]
    assert read.digest == again.digest
    assert read.is_synthetic
    assert "synthetic: generated conversation, seed 3" in read.notes


def test_a_fit_is_kept_and_used_again(like: Path, tmp_path: Path) -> None:
    fit, one, two = (tmp_path / name for name in ("fit.json", "one.csv", "two.parquet"))
    generate_trace(TraceRequest(seed=7, like=like, save_fit=fit, out=one, num_requests=900))
    made = generate_trace(TraceRequest(seed=7, fitted=fit, out=two, num_requests=900))
    assert (made.num_requests, made.is_synthetic) == (900, True)
    digests = {read_traces(path)[None].digest for path in (one, two)}
    assert len(digests) == 1
    trace = read_traces(two)[None]
    assert trace.is_synthetic
    assert {"synthetic: generated after like.csv, seed 7", "measured"} <= set(trace.notes)


def test_kept_requests_are_the_traces_own(like: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept.csv"
    changes = ChangeList(rate_factor=2.0, bursts=(LoadBurst(10.0, 20.0, 0.0),))
    request = TraceRequest(
        seed=1, like=like, out=out, is_kept=True, is_measured=True, changes=changes
    )
    made = generate_trace(request)
    source, kept = (read_traces(path)[None] for path in (like, out))
    assert not kept.is_synthetic
    assert kept.span_s == pytest.approx(source.span_s / 2)
    assert 0 < kept.num_requests < source.num_requests
    assert kept.notes[0] == "measured"
    assert made.source_statistics is not None
    assert made.source_statistics.num_requests == source.num_requests
    assert made.statistics is not None
    assert made.statistics.num_requests == kept.num_requests


def test_statistics_of_a_trace_alone(like: Path, tmp_path: Path) -> None:
    made = generate_trace(TraceRequest(seed=0, like=like, is_measured=True))
    assert (made.num_requests, made.statistics) == (0, None)
    assert made.source_statistics is not None
    assert sorted(tmp_path.iterdir()) == [like]


def test_statistics_of_a_long_stream_are_of_its_beginning(
    like: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "CHUNK_REQUESTS", 400)
    monkeypatch.setattr(generation, "MAX_REQUESTS_MEASURED", 1_000)
    request = TraceRequest(
        seed=0, like=like, out=tmp_path / "t.csv", num_requests=3_000, is_measured=True
    )
    made = generate_trace(request)
    assert made.num_requests == 3_000
    assert made.statistics is not None
    assert made.statistics.num_requests == 1_200


def test_a_week_is_reconstructed_and_says_so(tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    rows = [f"{120 * k},{2e5 + k},{1e5},{4e5}" for k in range(48)]
    points.write_text("\n".join(["minute_of_week,x_rpm,x_rpm_min,x_rpm_max", *rows]))
    out = tmp_path / "week.csv"
    request = TraceRequest(seed=1, azure_week=points, out=out, num_requests=300, span_s=7 * 86_400)
    with pytest.raises(InputError, match="measured days alone"):
        generate_trace(request)
    points.write_text(points.read_text().replace("00000.0", "00.0").replace("2000", "2"))
    made = generate_trace(request)
    assert made.num_requests == 300
    assert all("reconstructed" in note for note in made.notes[:3])
    assert "reconstructed" in out.read_text()


def test_one_of_several_deployments_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    rows = [f"{k},{10 + k % 7},{5 + k % 3},{'ab'[k % 2]}" for k in range(400)]
    path.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens,deployment", *rows]))
    request = TraceRequest(seed=0, like=path, out=tmp_path / "t.csv", num_requests=50)
    assert generate_trace(replace(request, deployment="b")).num_requests == 50
    with pytest.raises(InputError, match=r"2 deployments.*a, b"):
        generate_trace(request)
    with pytest.raises(InputError, match=r"no deployment 'c'"):
        generate_trace(replace(request, deployment="c"))


def test_what_cannot_be_generated_leaves_nothing(like: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.csv"
    ones = np.ones(50, np.int32)
    write_csv(Trace(np.arange(50.0), ones, ones, "short"), short)
    out = tmp_path / "t.csv"
    late = ChangeList(bursts=(LoadBurst(1e6, 1.0, 2.0),))
    for request, problem in (
        (TraceRequest(seed=0, like=short, out=out), "too few"),
        (TraceRequest(seed=0, like=like, out=out, changes=late), "after the end"),
        (TraceRequest(seed=0, like=like, out=out, changes=late, is_kept=True), "no request comes"),
        (TraceRequest(seed=0, like=like, out=out, span_s=1e9), "knots"),
        (TraceRequest(seed=0, like=like, out=tmp_path), "cannot be written"),
        (TraceRequest(seed=0, like=like, out=like / "t.csv"), "cannot be written"),
    ):
        with pytest.raises(InputError, match=problem):
            generate_trace(request)
    assert sorted(tmp_path.iterdir()) == [like, short]
