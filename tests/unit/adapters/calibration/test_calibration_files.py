"""Files of measured points, runs and calibrations: read with every figure checked."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.factories.point_files import make_rows, write_points, write_run
from tests.factories.points import make_table

from optiinfra.adapters.calibration.evaluation import (
    calibrate_to_file,
    evaluate_points,
    evaluate_run,
    read_prior,
)
from optiinfra.adapters.calibration.file import read_calibration, write_calibration
from optiinfra.adapters.calibration.measured_run import read_measured_run
from optiinfra.adapters.calibration.silicon_points import read_silicon_points
from optiinfra.domain.errors import InputError
from optiinfra.twin.calibration.fit import fit_constants
from optiinfra.twin.calibration.model import Calibration, CalibrationSource
from optiinfra.twin.performance.intervals import LogInterval
from optiinfra.twin.performance.precision import WeightFormat
from optiinfra.twin.performance.spread import Spread
from optiinfra.twin.step_time import DEFAULT_CONSTANTS


def test_points_become_curves_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    path = write_points(
        tmp_path / "points.csv",
        *make_rows(),
        {"concurrency": 8, "silicon_tpot_ms": 30.0},
        {"concurrency": "", "isl": 2048},
        {"isl": 4096},
        {"tp_size": 64},
        {"model_path": "nobody/knows"},
        {"system": "abacus"},
        {"mode": "disagg"},
        {"gemm_quant_mode": "roman"},
    )
    points = read_silicon_points(path)
    assert points.num_rows == 11
    (curve,) = points.curves
    assert curve.concurrency.tolist() == [4, 8, 16]
    assert curve.tpot_s == pytest.approx([0.014, 0.024, 0.026])  # 18 and 30 ms: their median
    assert curve.deployment.layout.dense_format is WeightFormat.FP8
    assert str(curve.deployment.group) == "meta-llama/Llama-3.1-8B-Instruct, h100_sxm, vllm"
    assert points.removed == {
        "GPU abacus not in the catalogue": 1,
        "duplicates, merged by their median": 1,
        "fewer than 3 concurrencies of its deployment": 1,
        "model nobody/knows not in the catalogue": 1,
        "more than 8 ranks, of which the number of GPUs is not known": 1,
        "no concurrency": 1,
        "prefill and decode on separate GPUs": 1,
        "weight format roman not known": 1,
    }


def test_parallel_sizes_and_formats(tmp_path: Path) -> None:
    path = write_points(
        tmp_path / "points.csv",
        *make_rows(
            model_path="openai/gpt-oss-120b",
            gemm_quant_mode="nvfp4",
            moe_quant_mode="nvfp4",
            tp_size=4,
            attention_dp_size=4,
            moe_ep_size=16,
        ),
    )
    layout = read_silicon_points(path).curves[0].deployment.layout
    assert (layout.tensor_parallel_size, layout.data_parallel_size) == (1, 4)
    assert (layout.expert_ranks, layout.num_gpus) == (4, 4)
    assert layout.dense_format is WeightFormat.BF16  # its experts alone are in 4 bits
    assert layout.expert_format is WeightFormat.FP4


def test_a_launch_script_tells_how_often_the_engine_looks_for_requests(tmp_path: Path) -> None:
    """SGLang on a B200 every 10 steps below 16 clients, else 30; on an H200 before every step."""
    intervals = {}
    for system in ("b200_sxm", "h200_sxm"):
        rows = make_rows(model_path="deepseek-ai/DeepSeek-R1", system=system, backend="sglang")
        (curve,) = read_silicon_points(write_points(tmp_path / "points.csv", *rows)).curves
        intervals[system] = curve.receive_interval
    assert intervals["h200_sxm"] is None
    assert intervals["b200_sxm"] is not None
    assert intervals["b200_sxm"].tolist() == [10, 10, 30]  # of 4, 8 and 16 clients


def test_a_source_tells_whether_all_lengths_are_equal(tmp_path: Path) -> None:
    found = {}
    for backend in ("sglang", "vllm"):
        for source in ("db-dump/2026-04-27", "source_file=/x/aic-auto-gap-analysis/data/a.csv"):
            rows = make_rows(backend=backend, silicon_data_source=source)
            (curve,) = read_silicon_points(write_points(tmp_path / "points.csv", *rows)).curves
            found[backend, source[:3]] = curve.deployment.is_in_waves
    assert found == {
        ("sglang", "db-"): False,
        ("sglang", "sou"): True,
        ("vllm", "db-"): False,
        ("vllm", "sou"): False,
    }


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"osl": 0}, "osl", "not a number from 1"),
        ({"isl": 200_000}, "isl", "context"),
        ({"silicon_tpot_ms": "nan"}, "silicon_tpot_ms", "not a number"),
        ({"silicon_ttft_ms": -1}, "silicon_ttft_ms", "not a number"),
        ({"concurrency": "inf"}, "concurrency", "not a number"),
        ({"tp_size": "two"}, "tp_size", "not a number"),
    ],
)
def test_bad_points_are_refused(
    tmp_path: Path, changes: dict[str, Any], field: str, problem: str
) -> None:
    path = write_points(tmp_path / "points.csv", {}, changes)
    with pytest.raises(InputError, match=problem) as caught:
        read_silicon_points(path)
    assert (caught.value.line, caught.value.field) == (3, field)


def test_a_file_without_points_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="has no column model_path"):
        read_silicon_points(tmp_path / "no.csv")
    path = write_points(tmp_path / "few.csv", {})
    with pytest.raises(InputError, match="1 rows: fewer than 3 concurrencies"):
        evaluate_points(path, num_anchors=2)


def make_fitted() -> Calibration:
    table = make_table()
    fit = fit_constants(table, np.ones(table.concurrency.size, np.bool_), max_evaluations=3)
    return Calibration(
        source=CalibrationSource("made.csv", "ab" * 32, "2026-11-30", 60, 60, {"none": 0}),
        step=fit.step,
        loop=fit.loop,
        effects=fit.effects,
        intervals={("tpot", 2): LogInterval(-0.1, 0.12)},
        spread=Spread(engine={"vllm": -0.25}, units={"with_fp4": 0.5}),
        score={0: {"tpot_mape_dense": 0.1, "tpot_mape_moe": None}, 1: {}, 2: {}},
    )


def test_a_calibration_comes_back_as_it_was(tmp_path: Path) -> None:
    made = make_fitted()
    path = tmp_path / "calibration.json"
    write_calibration(made, path)
    first = path.read_bytes()
    back = read_calibration(path)
    assert back.source == made.source
    assert back.intervals == made.intervals
    assert back.spread == made.spread
    assert back.score == made.score
    assert back.step.bandwidth_share == pytest.approx(made.step.bandwidth_share, rel=1e-8)
    write_calibration(back, path)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["calibration.json"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"version": 2', '"version": 1', "of version 1, not optiinfra-calibration of version 2"),
        ('"version": 2', '"version": true', "of version True"),
        ('"vllm": -0.25', '"vllm": 9', "beyond 1.5"),
        ('"with_fp4": 0.5', '"with_fp2": 0.5', "with_fp4 or without_fp4, not with_fp2"),
        ('"format": "optiinfra-calibration"', '"format": "other"', "It is 'other'"),
        ('"low": -0.1', '"low": NaN', "NaN is not a number of JSON"),
        ('"low": -0.1', '"low": 5', "finite and in order"),
        ('"low": -0.1', '"low": null', "valid number"),
        ('"flops_share": ', '"flops_share": 9, "x": ', "unexpected keyword argument"),
        ('"flops_share": ', '"flops_share": 1', "outside its physical bounds"),
        ('"data_sha256": "ab', '"data_sha256": "zz', "pattern"),
        ('"source": {', '"sauce": 1, "source": {', "Extra inputs"),
    ],
)
def test_a_calibration_that_is_not_one_is_refused(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(make_fitted(), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=problem) as caught:
        read_calibration(path)
    assert "optiinfra twin calibrate" in caught.value.remedy
    path.write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read_calibration(path)


def test_nothing_is_written_where_the_data_are_bad(tmp_path: Path) -> None:
    path = write_points(tmp_path / "points.csv", {"osl": 0})
    out = tmp_path / "calibration.json"
    out.write_text("as it was")
    with pytest.raises(InputError, match="osl"):
        calibrate_to_file(path, out, when=date(2026, 11, 30))
    assert out.read_text() == "as it was"
    with pytest.raises(InputError, match="cannot be written"):
        write_calibration(make_fitted(), tmp_path / "missing" / "calibration.json")


def test_the_shipped_prior_is_what_the_simulator_uses() -> None:
    prior = read_prior()
    assert prior.step == DEFAULT_CONSTANTS
    assert prior.source.name == "silicon_agg.csv"
    assert {figure for figure, _ in prior.intervals} == {"tpot", "ttft"}


def test_a_run_is_replayed_and_scored(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    run = read_measured_run(folder)
    assert run.gpu.name == "A100-80-SXM"
    assert run.arguments.max_num_seqs == 128
    unseen = evaluate_run(folder)
    assert unseen.score.num_requests == 30
    assert unseen.scales == {}
    assert unseen.score.num_unqueued == 30
    seen = evaluate_run(folder, num_calibration_requests=10)
    assert seen.score.num_requests == 20
    assert abs(seen.score.tpot_mean_error) < abs(unseen.score.tpot_mean_error)
    assert all(0.5 <= scale <= 2 for scale in seen.scales.values())
    with pytest.raises(InputError, match="all of which would calibrate"):
        evaluate_run(folder, num_calibration_requests=30)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"max_num_seqs": 0}, "max_num_seqs"),
        ({"max_num_seqs": None}, "`max_num_seqs` is missing"),
        ({"max_model_len": 100}, "A request has 120 tokens, the context 100"),
        ({"tensor_parallel_size": 1.5}, "whole number"),
    ],
)
def test_a_run_that_cannot_be_is_refused(
    tmp_path: Path, flags: dict[str, Any], problem: str
) -> None:
    folder = write_run(tmp_path / "run", **flags)
    with pytest.raises(InputError, match=problem):
        read_measured_run(folder)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["RTXPRO6000_Llama-3.1-8B", "RTXPRO6000_Qwen3-30B-A3B-Instruct-2507"]
)
def test_the_bars_on_measured_runs(real_data_dir: Path, name: str) -> None:
    folder = real_data_dir / "vllm_measured" / name
    unseen = evaluate_run(folder).score
    assert unseen.e2e_mape <= 0.20
    assert abs(unseen.tpot_mean_error) <= 0.12
    assert unseen.ttft_mean_error is not None
    assert abs(unseen.ttft_mean_error) <= 0.15
    assert unseen.ttft_mean_absolute_error_s is not None
    assert unseen.ttft_mean_absolute_error_s <= 0.05
    rest = evaluate_run(folder, num_calibration_requests=100).score
    assert rest.num_requests == 200
    assert rest.e2e_mape <= 0.10
    assert abs(rest.tpot_mean_error) <= 0.05
