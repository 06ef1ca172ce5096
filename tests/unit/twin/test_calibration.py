"""Fits, what they may look at, intervals, effects, and answers."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.points import LOADS, make_curve, make_curves, make_point_deployment, make_table

from optiinfra.twin.calibration.answer import Basis, answer
from optiinfra.twin.calibration.constants import START, list_at_bounds
from optiinfra.twin.calibration.evaluation import evaluate
from optiinfra.twin.calibration.fit import find_falling, fit_constants
from optiinfra.twin.calibration.held_out import cross_fit, find_other_points, predict_held_out
from optiinfra.twin.calibration.model import Calibration, CalibrationSource
from optiinfra.twin.performance.closed_loop import LOOP_BOUNDS, LoopConstants
from optiinfra.twin.performance.effects import Effects, fit_effects
from optiinfra.twin.performance.intervals import (
    LogInterval,
    compute_interval_score,
    fit_interval,
)
from optiinfra.twin.performance.online import OnlineCorrection
from optiinfra.twin.performance.points import Group, build_table
from optiinfra.twin.performance.spread import Spread, fit_spread
from optiinfra.twin.step_time import BOUNDS, StepConstants

SOURCE = CalibrationSource("points.csv", "0" * 64, "2026-11-30", 60, 60, {})


def make_calibration(**overrides: Any) -> Calibration:
    values: dict[str, Any] = {
        "source": SOURCE,
        "step": START,
        "loop": LoopConstants(),
        "effects": Effects(),
        "intervals": {
            ("tpot", 0): LogInterval(-0.4, 0.4),
            ("tpot", 1): LogInterval(-0.2, 0.2),
            ("tpot", 2): LogInterval(-0.1, 0.1),
        },
        "spread": Spread(engine={"sglang": 0.5}, units={"with_fp4": 0.25}),
        "score": {},
    }
    return Calibration(**{**values, **overrides})


def test_a_fit_stays_within_its_bounds_and_explains_its_own_model() -> None:
    table = make_table(noise=0.0)
    fit = fit_constants(table, np.ones(table.concurrency.size, np.bool_))
    values = {**asdict(fit.step), **asdict(fit.loop)}
    for name, (low, high) in {**BOUNDS, **LOOP_BOUNDS}.items():
        assert low * 0.999 <= values[name] <= high * 1.001, name
    assert fit.step.bandwidth_share == pytest.approx(START.bandwidth_share, rel=0.05)
    assert max(abs(v) for v in fit.effects.model.values()) < 0.02
    with pytest.raises(ValueError, match="at least one point"):
        fit_constants(table, np.zeros(table.concurrency.size, np.bool_))


def test_a_constant_outside_physics_is_refused() -> None:
    with pytest.raises(ValueError, match="outside its physical bounds"):
        make_calibration(step=replace(START, flops_share=1.2))
    assert "flops_share" in list_at_bounds(replace(START, flops_share=1.0), LoopConstants())


def test_what_is_judged_is_not_looked_at() -> None:
    """The held-out group's own figures changed: its prediction without anchors is the same."""
    curves = make_curves()
    group = curves[0].deployment.group
    changed = [
        replace(c, tpot_s=c.tpot_s * 3, ttft_s=c.ttft_s * 2) if c.deployment.group == group else c
        for c in curves
    ]
    tables = [build_table(rows) for rows in (curves, changed)]
    own = tables[0].group == tables[0].groups.index(group)
    before, after = (predict_held_out(table, (0,))[0] for table in tables)
    assert after.prediction.tpot_s[own] == pytest.approx(before.prediction.tpot_s[own], rel=1e-12)
    assert after.tpot_low[own] == pytest.approx(before.tpot_low[own], rel=1e-12)
    assert after.prediction.tpot_s[~own] != pytest.approx(before.prediction.tpot_s[~own])


def test_the_models_share_is_what_unseen_groups_say() -> None:
    """Groups that lie on the model give it all; groups on the curve without one give it little."""
    curves = make_curves(noise=0.0)
    on_curve = [
        replace(
            c,
            tpot_s=np.interp(
                c.concurrency**0.8, (c.concurrency**0.8)[[0, -1]], c.tpot_s[[0, -1]] * [1, 1.3]
            ),
        )
        for c in curves
    ]
    shares = []
    for rows in (curves, on_curve):
        table = build_table(rows)
        everything = np.ones(table.concurrency.size, np.bool_)
        shares.append(cross_fit(table, everything, (2,)).model_share)
    assert shares[0] > 0.9
    assert shares[1] < 0.5
    alone = build_table(curves[:1])
    lonely = cross_fit(alone, np.ones(alone.concurrency.size, np.bool_), (2,))
    assert lonely.intervals == {}
    assert lonely.model_share == LoopConstants().model_share


def test_the_same_measurement_under_another_name_is_left_out() -> None:
    curve = make_curve(make_point_deployment())
    copy = replace(
        curve,
        deployment=replace(curve.deployment, group=Group("another name", "H100-SXM", "vllm")),
    )
    other = make_curve(make_point_deployment("Qwen/Qwen3-32B"))
    table = build_table([curve, copy, other])
    others = find_other_points(table, [table.groups.index(curve.deployment.group)])
    assert others.tolist() == [False] * 10 + [True] * 5


def test_a_curve_that_falls_with_load_is_not_fitted_to() -> None:
    curve = make_curve(make_point_deployment())
    bad = curve.tpot_s.copy()
    bad[1] = 4 * bad[-1]
    table = build_table([replace(curve, tpot_s=bad), make_curve(make_point_deployment())])
    assert find_falling(table, table.tpot_s).tolist() == [True] * 5 + [False] * 5


def test_an_evaluation_lists_every_group_and_every_figure() -> None:
    table = make_table()
    evaluations = evaluate(table, (0, 2))
    for count, evaluation in evaluations.items():
        assert len(evaluation.groups) == 6
        assert {g.num_points for g in evaluation.groups} == {10}
        assert {g.num_scored for g in evaluation.groups} == {10 - 2 * count}
        assert evaluation.summary["tpot_coverage_mean"] is not None
    anchored = evaluations[2]
    assert (anchored.summary["tpot_mape_dense"] or 1.0) < 0.05
    assert (anchored.summary["tpot_model_free_mape_dense"] or 0.0) > 0
    assert evaluations[0].summary["tpot_model_free_mape_dense"] is None
    assert (anchored.summary["transfer_rank_correlation_mean"] or 0.0) > 0.95
    assert {t.model for t in anchored.transfers} == {g.group.model for g in anchored.groups}


def test_an_interval_weighs_groups_not_points() -> None:
    """99 points of one group at 0 and a point of each of nine others from -4 to 4."""
    residuals = np.concatenate([np.zeros(99), np.arange(-4.0, 5.0)])
    groups = np.concatenate([np.zeros(99), np.arange(1, 10)]).astype(np.int64)
    half = fit_interval(residuals, groups, coverage_ratio=0.5)
    assert half.low < -1 and half.high > 1  # noqa: PT018
    assert half.width_ratio == pytest.approx(math.exp(half.high - half.low))
    wide = fit_interval(residuals, groups, coverage_ratio=0.9)
    assert wide.low <= half.low and wide.high >= half.high  # noqa: PT018
    with pytest.raises(ValueError, match="at least one residual"):
        fit_interval(np.array([np.nan]), np.zeros(1, np.int64), coverage_ratio=0.9)
    with pytest.raises(ValueError, match="finite and in order"):
        LogInterval(math.nan, 1.0)


def test_a_symmetric_interval_is_one_quantile_of_the_distances() -> None:
    residuals = np.array([-0.4, -0.1, 0.0, 0.1, 0.2])
    interval = fit_interval(
        residuals, np.arange(5, dtype=np.int64), coverage_ratio=0.5, is_symmetric=True
    )
    assert interval.low == -interval.high
    # Distances 0, 0.1, 0.1, 0.2, 0.4 at 10 %, 30 % … 90 %; half raised by a fifth is 60 %.
    assert interval.high == pytest.approx(0.15)


def test_a_spread_by_hand() -> None:
    """Two engines, two generations; twice as wide with FP4, drawn to the common spread."""
    engines = ["a", "a", "b", "b"]
    fp4 = [True, False, True, False]
    spread = fit_spread(engines, fp4, np.array([0.4, 0.2, 0.4, 0.2]))
    # One centred column of ±1/2: its square sum 1 beside a penalty of 4 keeps a fifth of log 2.
    assert spread.units["with_fp4"] == pytest.approx(math.log(2) / 5 / 2)
    assert spread.units["without_fp4"] == pytest.approx(-math.log(2) / 5 / 2)
    assert spread.engine == pytest.approx({"a": 0.0, "b": 0.0})
    assert spread.get_factor("unknown", has_fp4=True) == pytest.approx(2**0.1)
    by_engine = fit_spread(engines, fp4, np.array([0.4, 0.4, 0.2, 0.2]))
    assert by_engine.get_factor("a", has_fp4=True) > 1 > by_engine.get_factor("b", has_fp4=True)
    with pytest.raises(ValueError, match="beyond"):
        Spread(engine={"a": math.nan})


def test_the_interval_score_by_hand() -> None:
    """Measured 1; inside [0.8, 1.2] costs its width, 0.1 above [0.5, 0.9] 20 times that more."""
    score = compute_interval_score(np.ones(2), np.array([0.8, 0.5]), np.array([1.2, 0.9]))
    assert score == pytest.approx([0.4, 0.4 + 20 * 0.1])


def test_effects_are_shrunk_to_none() -> None:
    groups = [Group("a", "x", "vllm"), Group("b", "x", "vllm"), Group("c", "y", "sglang")]
    effects = fit_effects(groups, np.array([0.4, 0.4, 0.0]))
    assert 0.05 < math.log(effects.get_factor(groups[0])) < 0.2
    assert abs(math.log(effects.get_factor(groups[2]))) < 0.05
    assert effects.get_factor(Group("new", "new", "new")) == 1.0
    assert 0 < math.log(effects.get_factor(Group("new", "x", "vllm"))) < 0.2
    with pytest.raises(ValueError, match="beyond"):
        Effects(model={"a": math.nan})


@given(st.lists(st.tuples(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6)), max_size=60))
def test_an_online_correction_is_bounded(pairs: list[tuple[float, float]]) -> None:
    correction = OnlineCorrection()
    assert correction.factor == 1.0
    for measured_s, predicted_s in pairs:
        correction = correction.observe(measured_s=measured_s, predicted_s=predicted_s)
        assert 0.5 <= correction.factor <= 2.0


def test_an_online_correction_comes_near_what_is_seen() -> None:
    correction = OnlineCorrection()
    for _ in range(40):
        correction = correction.observe(measured_s=1.3, predicted_s=1.0)
    assert 1.2 < correction.factor < 1.3
    with pytest.raises(ValueError, match="positive seconds"):
        correction.observe(measured_s=math.nan, predicted_s=1.0)


def test_an_answer_says_what_it_rests_on() -> None:
    calibration = make_calibration()
    curve = make_curve(make_point_deployment())
    anchors = replace(
        curve,
        concurrency=curve.concurrency[[0, 4]],
        tpot_s=1.5 * curve.tpot_s[[0, 4]],
        ttft_s=curve.ttft_s[[0, 4]],
    )
    inside = answer(calibration, curve.deployment, LOADS[2], anchors=anchors)
    assert inside.basis is Basis.INTERPOLATED
    assert "within 4 to 64" in inside.why
    assert inside.tpot.value_s == pytest.approx(1.5 * curve.tpot_s[2], rel=0.02)
    assert inside.tpot.high_s == pytest.approx(inside.tpot.value_s * math.exp(0.1))
    assert inside.ttft.low_s is None  # this calibration has no interval for it
    beyond = answer(calibration, curve.deployment, 128.0, anchors=anchors)
    assert beyond.basis is Basis.EXTRAPOLATED
    assert "more than the 64 observed" in beyond.why
    assert beyond.tpot.high_s == pytest.approx(beyond.tpot.value_s * math.exp(0.2))
    nothing = answer(calibration, curve.deployment, 16.0)
    assert nothing.basis is Basis.EXTRAPOLATED
    assert nothing.tpot.value_s == pytest.approx(curve.tpot_s[2])
    assert nothing.tpot.high_s == pytest.approx(nothing.tpot.value_s * math.exp(0.4))
    newer = make_point_deployment(gpu="B200-SXM", engine="sglang")
    wider = answer(calibration, newer, 16.0).tpot
    assert wider.high_s == pytest.approx(wider.value_s * math.exp(0.4 * math.exp(0.75)))
    exact = answer(calibration, curve.deployment, 4.0, anchors=anchors)
    assert exact.tpot.value_s == anchors.tpot_s[0]
    slower = answer(
        calibration,
        curve.deployment,
        16.0,
        correction=OnlineCorrection(log_mean=math.log(2), weight=1e9),
    )
    assert slower.tpot.value_s == pytest.approx(2 * nothing.tpot.value_s)
    with pytest.raises(ValueError, match="positive"):
        answer(calibration, curve.deployment, math.nan)
    with pytest.raises(ValueError, match="at most 3 anchors"):
        answer(calibration, curve.deployment, 16.0, anchors=curve)


def test_default_constants_are_within_their_bounds() -> None:
    for name, (low, high) in BOUNDS.items():
        assert low <= getattr(START, name) <= high, name
    assert StepConstants().prefill_step_s == 0.0
