"""The performance model of closed loops: by hand, and what must hold whatever the deployment."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.fleet import make_architecture, make_arguments, make_gpu
from tests.factories.points import LOADS, MODELS, make_curve, make_point_deployment

from optiinfra.twin.calibration.constants import START
from optiinfra.twin.performance.anchor_points import find_anchors
from optiinfra.twin.performance.anchors import compute_anchored_running, predict_points
from optiinfra.twin.performance.closed_loop import (
    LoopConstants,
    compute_running,
    predict_service,
    predict_tpot,
    predict_wait,
)
from optiinfra.twin.performance.model_free import predict_model_free
from optiinfra.twin.performance.points import MeasuredCurve, PointTable, build_table
from optiinfra.twin.performance.work import Layout
from optiinfra.twin.step_time import build_step_time_model, compute_step_s

ONES = np.ones(1)
NO_SHARING = LoopConstants(prefill_sharing_ratio=0.0)


def build_one(deployment_engine: str = "vllm", clients: float = 16.0) -> PointTable:
    deployment = make_point_deployment(engine=deployment_engine)
    return build_table([MeasuredCurve(deployment, clients * ONES, ONES, ONES)])


def test_tpot_by_hand() -> None:
    """16 clients, 1,024 + 512 tokens: a decode step and 15/512 of a prefill beside it."""
    model = build_step_time_model(make_architecture(), make_gpu(), make_arguments(), START)
    context = 16 * (1024 + 256)
    decode_s = compute_step_s(model, num_decodes=16, context_tokens=context)
    prompt = {"prefill_tokens": 1024, "num_prefills": 1, "attention_pairs": 1024**2 / 2}
    mixed_s = compute_step_s(model, num_decodes=16, context_tokens=context, **prompt)
    alone_s = compute_step_s(model, num_decodes=0, context_tokens=0, **prompt)
    beside = predict_tpot(build_one(), START, NO_SHARING, 16 * ONES)
    assert beside.tpot_s[0] == pytest.approx(decode_s + 15 / 512 * (mixed_s - decode_s))
    apart = predict_tpot(build_one("sglang"), START, NO_SHARING, 16 * ONES)
    assert apart.tpot_s[0] == pytest.approx(decode_s + 15 / 512 * (alone_s - model.fixed_s))
    assert apart.tpot_s[0] > beside.tpot_s[0]


def test_ttft_by_hand() -> None:
    """Prefill 0.1 s, TPOT 0.02 s, 16 clients: the busy share of prefills is 1.6 / 10.34."""
    loop = LoopConstants(prefill_ratio=1.0, burst_share=0.05, waited_steps=2.0, collision_ratio=1.0)
    table = build_one()
    service_s = predict_service(
        table, loop, prefill_s=0.1 * ONES, tpot_s=0.02 * ONES, running=16 * ONES
    )
    busy = 16 * 0.1 / (512 * 0.02 + 0.1)
    expected = 0.1 * (1 + 0.05 * 16) + 2 * 0.02 + busy * 0.1 / (2 * (1 - 0.9 * busy))
    assert service_s[0] == pytest.approx(expected)
    # Half of 16 clients find a place: the other half waits one whole answer, by Little's law.
    wait_s = predict_wait(table, tpot_s=0.02 * ONES, running=8 * ONES)
    assert wait_s[0] == pytest.approx(512 * 0.02)


def test_clients_of_equal_lengths_come_in_waves_where_prefills_go_first() -> None:
    """16 clients under SGLang: half of the others' prefills come before the first token."""
    tables = {}
    for engine in ("sglang", "vllm"):
        deployment = make_point_deployment(engine=engine, has_equal_lengths=True)
        tables[engine] = build_table([MeasuredCurve(deployment, 16 * ONES, ONES, ONES)])
    one = predict_tpot(build_one("sglang", 1.0), START, NO_SHARING, ONES)
    mixed = predict_tpot(build_one("sglang"), START, NO_SHARING, 16 * ONES)
    waves = predict_tpot(tables["sglang"], START, NO_SHARING, 16 * ONES)
    spared_s = mixed.tpot_s - waves.tpot_s
    assert spared_s == pytest.approx(15 / 512 * one.prefill_s / 2)
    beside = predict_tpot(build_one("vllm"), START, NO_SHARING, 16 * ONES)
    same = predict_tpot(tables["vllm"], START, NO_SHARING, 16 * ONES)
    assert same.tpot_s == pytest.approx(beside.tpot_s)  # vLLM decodes meanwhile
    loop = LoopConstants(prefill_ratio=1.0, waited_steps=2.0)
    service_s = predict_service(
        tables["sglang"], loop, prefill_s=0.1 * ONES, tpot_s=0.02 * ONES, running=16 * ONES
    )
    assert service_s == pytest.approx(0.1 * (1 + 16 / 2) + 2 * 0.02)


@settings(deadline=None)
@given(
    model=st.sampled_from([*MODELS, "deepseek-ai/DeepSeek-V3", "openai/gpt-oss-120b"]),
    gpu=st.sampled_from(["H100-SXM", "B200-SXM", "L40S", "MI300X"]),
    engine=st.sampled_from(["vllm", "sglang", "trtllm"]),
    size=st.sampled_from([1, 2, 4, 8]),
    clients=st.floats(1.0, 500.0),
    more=st.floats(1.0, 4.0),
    prompt=st.integers(16, 8192),
)
def test_more_clients_and_longer_prompts_are_never_faster(
    model: str, gpu: str, engine: str, *, size: int, clients: float, more: float, prompt: int
) -> None:
    layout = Layout(tensor_parallel_size=size, expert_ranks=size)
    short = make_point_deployment(model, gpu, engine, layout=layout, prompt_tokens=prompt)
    long = replace(short, prompt_tokens=2 * prompt)
    loads = np.array([clients, clients * more * 1.001])
    rows = [MeasuredCurve(d, loads, np.ones(2), np.ones(2)) for d in (short, long)]
    table = build_table(rows)
    # Clients that fit and clients alone: a full KV cache bounds the batch, and with it TPOT.
    tpot_s = predict_tpot(table, START, NO_SHARING, table.concurrency).tpot_s
    assert tpot_s[1] >= tpot_s[0] > 0
    assert tpot_s[2] >= tpot_s[0]
    assert np.all(compute_running(table) <= table.concurrency)


def test_two_anchors_find_a_deviation_that_is_a_power_of_the_load() -> None:
    """Twice as slow, and slower still with load: both ends say so, and so does the middle."""
    curve = make_curve(make_point_deployment())
    slower = replace(curve, tpot_s=curve.tpot_s * 2.0 * (curve.concurrency / 4) ** 0.1)
    table = build_table([slower])
    alone = LoopConstants(model_share=1.0)
    predicted = predict_points(build_table([curve]), START, alone, num_anchors=2)
    assert predicted.tpot_s[1:-1] == pytest.approx(curve.tpot_s[1:-1])
    # Log residuals that lie ln(16) / 10 apart leave the model a little less of its share.
    predicted = predict_points(table, START, alone, num_anchors=2)
    free_s = predict_model_free(table).tpot_s[1:-1]
    share = 1.0 / (1.0 + (0.1 * math.log(16) / 0.7) ** 2)
    expected_s = slower.tpot_s[1:-1] ** share * free_s ** (1 - share)
    assert predicted.tpot_s[1:-1] == pytest.approx(expected_s)
    assert np.isnan(predicted.tpot_s[[0, -1]]).all()
    one = predict_points(table, START, LoopConstants(), num_anchors=1)
    assert one.tpot_s[1:] == pytest.approx(2.0 * curve.tpot_s[1:])
    none = predict_points(table, START, LoopConstants(), num_anchors=0, factor=2.0 * np.ones(5))
    assert none.tpot_s == pytest.approx(2.0 * curve.tpot_s)
    with pytest.raises(ValueError, match="not 3"):
        find_anchors(table, 3)


def test_anchors_that_the_model_does_not_explain_leave_the_curve() -> None:
    """Thirtyfold from 4 to 64 clients, where the model sees twofold: nearly the curve alone."""
    curve = make_curve(make_point_deployment())
    odd = replace(curve, tpot_s=curve.tpot_s * (curve.concurrency / 4) ** 1.2)
    table = build_table([odd])
    predicted = predict_points(table, START, LoopConstants(model_share=1.0), num_anchors=2)
    free_s = predict_model_free(table).tpot_s
    inner = slice(1, -1)
    assert np.all(np.abs(np.log(predicted.tpot_s / free_s))[inner] < 0.1)
    assert np.any(np.abs(np.log(odd.tpot_s / free_s))[inner] > 0.3)


def test_an_engine_that_looks_rarely_for_requests_adds_half_its_interval() -> None:
    """Every 31 steps of 20 ms: 0.3 s, which anchors do not scale with the service."""
    curve = make_curve(make_point_deployment())
    loop = LoopConstants()
    interval = np.array([1.0, 31.0, 31.0, 31.0, 31.0])
    later = replace(
        curve, ttft_s=curve.ttft_s + (interval - 1) / 2 * curve.tpot_s, receive_interval=interval
    )
    table = build_table([later])
    none = predict_points(table, START, loop, num_anchors=0)
    assert none.ttft_s == pytest.approx(later.ttft_s)
    doubled = replace(later, ttft_s=later.ttft_s + curve.ttft_s)
    alone = replace(loop, model_share=1.0)
    for count, last in ((1, 5), (2, 4)):
        predicted = predict_points(build_table([doubled]), START, alone, num_anchors=count)
        assert predicted.ttft_s[1:last] == pytest.approx(doubled.ttft_s[1:last], rel=1e-6)
    with pytest.raises(ValueError, match="positive and finite"):
        replace(later, receive_interval=0 * interval)


def test_a_queue_at_the_high_anchor_tells_how_many_run() -> None:
    """64 clients of which 32 run: TTFT holds one answer's time, interior points almost none."""
    curve = make_curve(make_point_deployment())
    wait_s = 512 * curve.tpot_s[-1]
    ttft_s = curve.ttft_s.copy()
    ttft_s[-1] += wait_s
    table = build_table([replace(curve, ttft_s=ttft_s)])
    running = compute_anchored_running(table, START, LoopConstants())
    assert running[:4] == pytest.approx(curve.concurrency[:4])
    assert running[4] == pytest.approx(64 / (1 + wait_s / (curve.ttft_s[-1] + wait_s)), rel=0.01)
    predicted = predict_points(table, START, LoopConstants(), num_anchors=2)
    assert predicted.ttft_s[1:4] == pytest.approx(curve.ttft_s[1:4], rel=0.12)
    free = predict_model_free(table)
    assert free.ttft_s[3] > 5 * curve.ttft_s[3]


def test_the_curve_without_a_model_by_hand() -> None:
    """TPOT 10 ms at 1 client and 20 ms at 32: halfway of 32^0.8 = 16, at 6.07 clients, 13.2 ms."""
    deployment = make_point_deployment()
    curve = MeasuredCurve(
        deployment, np.array([1.0, 16.0, 32.0]), np.array([1.0, 9.0, 32.0]), np.array([10, 1, 20.0])
    )
    free = predict_model_free(build_table([curve]))
    assert free.tpot_s[1] == pytest.approx(10 + 10 * (16**0.8 - 1) / (32**0.8 - 1))
    assert free.ttft_s[1] == pytest.approx(16.0)


def test_points_must_be_points() -> None:
    deployment = make_point_deployment()
    ramp = np.array(LOADS)
    with pytest.raises(ValueError, match="positive and finite"):
        MeasuredCurve(deployment, ramp, ramp, np.array([1, 2, math.nan, 3, 4]))
    with pytest.raises(ValueError, match="ascend"):
        MeasuredCurve(deployment, ramp[::-1].copy(), ramp, ramp)
    with pytest.raises(ValueError, match="as many"):
        MeasuredCurve(deployment, ramp, ramp[:-1], ramp)
    with pytest.raises(ValueError, match="at least one token"):
        make_point_deployment(output_tokens=0)


def test_the_kv_cache_bounds_who_runs() -> None:
    """Llama-3.1-8B on an H100: 0.9 of 81,559 MiB less weights and 4 GB, 131,072 B a token."""
    deployment = make_point_deployment()
    weights = 2 * 8_030_000_000
    tokens = (0.9 * 81_559 * 2**20 - weights - 4e9) / 131_072
    assert deployment.compute_capacity() == pytest.approx(tokens / (1024 + 256), rel=0.01)
