"""What is generated after a fit is like what was fitted, within stated tolerances."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiinfra.adapters.traces import read_traces
from optiinfra.domain.trace import Trace
from optiinfra.twin.workload import (
    CONVERSATION_LENGTHS,
    Bursts,
    PrefixFit,
    RateCurve,
    RequestStream,
    WorkloadFit,
    fit_workload,
    measure_workload,
)
from optiinfra.twin.workload.chunks import join_chunks, resize_chunks
from optiinfra.twin.workload.dispersion import measure_dispersion
from optiinfra.twin.workload.prefix_fit import PrefixDrawer
from optiinfra.twin.workload.prefix_statistics import find_shared_prefixes
from optiinfra.twin.workload.rate import extend_rate

SPAN_S = 7200.0
SHARING = PrefixFit(
    block_tokens=64,
    upper_blocks=(8, 20, 400),
    hit_ratio=(0.1, 0.5, 0.9),
    shared_ratio=(tuple(np.linspace(0.1, 1.0, 21)),) * 3,
    lag_s=tuple(np.linspace(1.0, 200.0, 21)),
)


def make_stream(**changes: object) -> RequestStream:
    fields: dict[str, object] = {
        "rate": RateCurve(np.array([0.0, 4000.0, SPAN_S]), np.array([2.0, 6.0, 3.0]), SPAN_S),
        "lengths": CONVERSATION_LENGTHS,
        "seed": 11,
        "source": "made",
        "bursts": Bursts(1.3, (40.0,), (0.06,)),
    }
    return RequestStream(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trace() -> Trace:
    return make_stream(prefixes=SHARING).to_trace()


@pytest.fixture(scope="module")
def fit(trace: Trace) -> WorkloadFit:
    return fit_workload(trace)


def average_index(traces: list[Trace], window_s: float) -> float:
    found = [measure_dispersion(trace.arrival_s, window_s) for trace in traces]
    return float(np.mean([at.index_of_dispersion for at in found if at is not None]))


def check_likeness(trace: Trace, fit: WorkloadFit, num_streams: int = 6) -> list[Trace]:
    """Several streams of the fit against the trace."""
    traces = [fit.make_stream(seed=seed).to_trace() for seed in range(num_streams)]
    wanted = measure_workload(trace)
    assert np.mean([t.num_requests for t in traces]) == pytest.approx(trace.num_requests, rel=0.05)
    for at in wanted.dispersion:
        if at.num_windows >= 100:  # of fewer windows the trace's own figure is luck
            found_index = average_index(traces, at.window_s)
            assert found_index == pytest.approx(at.index_of_dispersion, rel=0.3)
    for name in ("prompt_tokens", "output_tokens"):
        column = np.concatenate([getattr(t, name) for t in traces])
        lengths = getattr(wanted, name)
        assert column.mean() == pytest.approx(lengths.mean, rel=0.03)
        assert column.std() / column.mean() == pytest.approx(lengths.cv, rel=0.06)
        middle = np.quantile(column, [0.25, 0.5, 0.75, 0.95])
        assert middle == pytest.approx(np.array(lengths.quantiles[1:5]), rel=0.06, abs=2)
    correlations = [measure_workload(t).rank_correlation for t in traces]
    assert correlations == pytest.approx([wanted.rank_correlation] * len(traces), abs=0.05)
    return traces


def test_streams_are_like_the_trace(trace: Trace, fit: WorkloadFit) -> None:
    traces = check_likeness(trace, fit)
    by_tenth = np.histogram(trace.arrival_s, 10, (0, SPAN_S))[0]
    drawn = np.mean([np.histogram(t.arrival_s, 10, (0, SPAN_S))[0] for t in traces], axis=0)
    assert drawn == pytest.approx(by_tenth, rel=0.12)


def test_prefixes_are_shared_as_much(trace: Trace, fit: WorkloadFit) -> None:
    wanted = measure_workload(trace).prefixes
    found = measure_workload(fit.make_stream(seed=3).to_trace()).prefixes
    assert wanted is not None
    assert found is not None
    assert found.block_hit_ratio == pytest.approx(wanted.block_hit_ratio, abs=0.05)
    assert found.request_hit_ratio == pytest.approx(wanted.request_hit_ratio, abs=0.05)
    assert found.shared_ratio_quantiles == pytest.approx(wanted.shared_ratio_quantiles, abs=0.05)
    assert found.lag_s_quantiles == pytest.approx(wanted.lag_s_quantiles, rel=0.3)


def test_bursts_are_found_again(fit: WorkloadFit) -> None:
    assert fit.bursts.gap_cv == pytest.approx(1.3, abs=0.15)
    assert sum(fit.bursts.variance_ratio) == pytest.approx(0.06, abs=0.04)


def test_a_fit_says_what_it_was_fitted_to(trace: Trace, fit: WorkloadFit) -> None:
    provenance = fit.provenance
    assert (provenance.source, provenance.digest) == (trace.source, trace.digest)
    assert (provenance.num_rows, provenance.span_s) == (trace.num_requests, trace.span_s)
    assert provenance.is_synthetic
    stream = fit.make_stream(seed=1, num_requests=500)
    assert stream.span_s == pytest.approx(500 / fit.rate.rate_per_s_mean)
    made = stream.to_trace()
    assert made.num_requests == 500
    assert made.notes[0] == f"synthetic: generated after {trace.source}, seed 1"


def test_chunks_share_prefixes_across_their_ends(fit: WorkloadFit) -> None:
    stream = fit.make_stream(seed=2, num_requests=3_000)
    whole = stream.to_trace()
    ids, offsets = [], [0]
    for chunk in stream.iter_chunks(max_requests=700):
        assert chunk.prefix_hashes is not None
        assert chunk.prefix_hashes.offsets[0] == 0
        ids.append(chunk.prefix_hashes.ids)
        offsets.extend((offsets[-1] + chunk.prefix_hashes.offsets[1:]).tolist())
    assert whole.prefix_hashes is not None
    assert np.array_equal(np.concatenate(ids), whole.prefix_hashes.ids)
    assert offsets == whole.prefix_hashes.offsets.tolist()
    assert whole.prefix_hashes.num_ids == len(set(whole.prefix_hashes.ids.tolist()))


@pytest.mark.parametrize("sizes", [(3, 7), (7, 3), (100, 100)])
def test_chunks_are_cut_and_joined_with_their_prefixes(
    fit: WorkloadFit, sizes: tuple[int, int]
) -> None:
    (whole,) = fit.make_stream(seed=2, num_requests=40).iter_chunks()
    chunks = list(resize_chunks(resize_chunks([whole], sizes[0]), sizes[1]))
    assert [c.num_requests for c in chunks[:-1]] == [sizes[1]] * (len(chunks) - 1)
    joined = join_chunks(chunks)
    assert joined.prefix_hashes is not None
    assert whole.prefix_hashes is not None
    assert np.array_equal(joined.prefix_hashes.ids, whole.prefix_hashes.ids)
    assert np.array_equal(joined.prefix_hashes.offsets, whole.prefix_hashes.offsets)
    assert np.array_equal(joined.arrival_s, whole.arrival_s)
    assert [c.first_request for c in chunks] == [sizes[1] * k for k in range(len(chunks))]


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(1, 900), min_size=1, max_size=30), max_size=4), st.data())
def test_drawn_prefixes_are_trees_of_exactly_the_prompts_blocks(
    parts: list[list[int]], data: st.DataObject
) -> None:
    drawer = PrefixDrawer(SHARING, np.random.default_rng(data.draw(st.integers(0, 9))))
    parent_of: dict[int, int] = {}
    now_s = 0.0
    for tokens in parts:
        arrival_s = now_s + np.arange(1.0, len(tokens) + 1)
        now_s = float(arrival_s[-1])
        hashes = drawer.draw(arrival_s, np.array(tokens, np.int32))
        assert np.diff(hashes.offsets).tolist() == [-(-count // 64) for count in tokens]
        for start, stop in zip(hashes.offsets[:-1], hashes.offsets[1:], strict=True):
            before = -1
            for one in hashes.ids[start:stop].tolist():  # an id always follows the same id
                assert parent_of.setdefault(one, before) == before
                before = one


def test_old_requests_are_forgotten() -> None:
    drawer = PrefixDrawer(SHARING, np.random.default_rng(1))
    for k in range(5):
        drawer.draw(np.linspace(k * 1000.0, k * 1000.0 + 999.0, 500), np.full(500, 640, np.int32))
    assert drawer._arrival_s[0] >= 4999.0 - 200.0
    assert drawer._ids.size == drawer._num_blocks.sum()


def test_curves_are_cut_and_repeated_by_days() -> None:
    days = RateCurve(np.array([0.0, 50_000.0, 100_000.0]), np.array([1.0, 3.0, 2.0]), 120_000.0)
    assert extend_rate(days, 120_000.0) is days
    cut = extend_rate(days, 25_000.0)
    assert (cut.span_s, cut.compute_rate_per_s([25_000.0])[0]) == (25_000.0, 2.0)
    longer = extend_rate(days, 200_000.0)
    assert longer.compute_rate_per_s([50_000.0, 136_400.0]).tolist() == [3.0, 3.0]
    hours = RateCurve(np.array([0.0, 50.0]), np.array([1.0, 3.0]), 100.0)
    assert extend_rate(hours, 250.0).compute_rate_per_s([150.0])[0] == 3.0
    with pytest.raises(ValueError, match="knots"):
        extend_rate(hours, 1e9)


def test_too_little_to_fit(trace: Trace) -> None:
    few = replace(
        trace,
        arrival_s=trace.arrival_s[:99],
        prompt_tokens=trace.prompt_tokens[:99],
        output_tokens=trace.output_tokens[:99],
        prefix_hashes=None,
    )
    with pytest.raises(ValueError, match="too few"):
        fit_workload(few)
    with pytest.raises(ValueError, match="too few"):
        fit_workload(replace(trace, arrival_s=np.zeros(trace.num_requests), prefix_hashes=None))


@pytest.mark.parametrize(
    "changes",
    [
        {"block_tokens": 0},
        {"upper_blocks": (8, 8, 400)},
        {"hit_ratio": (0.1, 0.5)},
        {"hit_ratio": (0.1, 0.5, 1.5)},
        {"hit_ratio": (0.1, 0.5, float("nan"))},
        {"lag_s": (1.0,)},
        {"lag_s": tuple(np.linspace(2.0, 1.0, 21))},
        {"lag_s": (float("nan"),) * 21},
    ],
)
def test_impossible_sharing(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        replace(SHARING, **changes)  # type: ignore[arg-type]


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["azure_llm_2023/AzureLLMInferenceTrace_conv.csv", "mooncake/synthetic_trace.jsonl"]
)
def test_streams_are_like_real_traces(name: str, real_data_dir: Path) -> None:
    real = read_traces(real_data_dir / name)[None]
    traces = check_likeness(real, fit_workload(real))
    if real.prefix_hashes is None:
        return
    shared = [find_shared_prefixes(t.prefix_hashes, t.arrival_s) for t in (real, *traces)]  # type: ignore[arg-type]
    hits = [float(one.num_shared.sum() / one.num_blocks.sum()) for one in shared]
    assert np.mean(hits[1:]) == pytest.approx(hits[0], abs=0.05)
    lags = [float(np.nanmedian(one.lag_s)) for one in shared]
    assert np.mean(lags[1:]) == pytest.approx(lags[0], rel=0.2)
