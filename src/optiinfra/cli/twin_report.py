"""What `optiinfra twin` prints: JSON documents, and tables for a terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from optiinfra.cli.consoles import make_console
from optiinfra.cli.tables import make_table

if TYPE_CHECKING:
    from optiinfra.adapters.calibration.evaluation import PointsResult, RunResult
    from optiinfra.twin.calibration.evaluation import GroupScore


def describe_points(result: PointsResult) -> dict[str, Any]:
    """Every figure of an evaluation on points, as JSON values; ratios are 0..1 or more."""
    evaluation = result.evaluation
    return {
        "points": result.file,
        "num_rows": result.num_rows,
        "removed_rows": dict(result.removed),
        "anchors": evaluation.num_anchors,
        "fitting": "leave one group out; a group is (model, GPU, engine)",
        "summary": evaluation.summary,
        "groups": [_describe_group(score) for score in evaluation.groups],
        "off": [
            {"group": str(score.group), "reasons": list(score.off)}
            for score in evaluation.groups
            if score.off
        ],
        "transfers": [asdict(transfer) for transfer in evaluation.transfers],
    }


def _describe_group(score: GroupScore) -> dict[str, Any]:
    return {
        "model": score.group.model,
        "gpu": score.group.gpu,
        "engine": score.group.engine,
        "is_moe": score.is_moe,
        "num_deployments": score.num_deployments,
        "num_points": score.num_points,
        "num_scored": score.num_scored,
        "tpot": asdict(score.tpot),
        "ttft": asdict(score.ttft),
        "off": list(score.off),
    }


def describe_run(result: RunResult) -> dict[str, Any]:
    """Every figure of a replayed run, as JSON values."""
    return {
        "run": result.name,
        "constants": result.constants,
        "num_calibration_requests": result.num_calibration_requests,
        "scales": dict(result.scales),
        **asdict(result.score),
    }


def print_points(result: PointsResult) -> None:
    """Tables of the groups, the summary, what was left out and what is off."""
    console = make_console()
    table = make_table(
        *("group", "n", "TPOT", "model-free", "inside", "width"),
        *("TTFT median", "model-free", "p90", "inside"),
    )
    for score in result.evaluation.groups:
        tpot, ttft = score.tpot, score.ttft
        table.add_row(
            str(score.group),
            str(score.num_scored),
            _percent(tpot.mape),
            _percent(tpot.model_free_mape),
            _percent(tpot.coverage_ratio),
            _number(tpot.width_ratio),
            _percent(ttft.median),
            _percent(ttft.model_free_median),
            _percent(ttft.p90),
            _percent(ttft.coverage_ratio),
        )
    console.print(
        f"{result.file}: {result.num_rows} rows, {result.evaluation.num_anchors} anchors, every "
        "group predicted by a fit that saw none of it"
    )
    console.print(table)
    for name, value in result.evaluation.summary.items():
        console.print(f"  {name}: {_number(value)}")
    for reason, count in result.removed.items():
        console.print(f"  not used, {count} rows: {reason}")
    for score in result.evaluation.groups:
        if score.off:
            console.print(f"  off: {score.group}: {'; '.join(score.off)}")


def print_run(result: RunResult) -> None:
    """The figures of a replayed run, one a line."""
    console = make_console()
    console.print(f"{result.name}, constants: {result.constants}")
    if result.num_calibration_requests:
        scales = ", ".join(f"{name} {value:.3f}" for name, value in result.scales.items())
        console.print(
            f"  calibrated with the first {result.num_calibration_requests} requests: {scales}"
        )
    for name, value in asdict(result.score).items():
        console.print(f"  {name}: {_number(value)}")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
