"""`optiinfra twin`: fit the performance model to measured points, and measure how good it is."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from optiinfra.domain.errors import InputError

app = typer.Typer(
    help="Calibrate the digital twin and measure how good its predictions are.",
    no_args_is_help=True,
)
NUM_CALIBRATION_REQUESTS = 100


@app.command("evaluate")
def evaluate(
    *,
    points: Annotated[
        Path | None,
        typer.Option(help="CSV of measured closed-loop points: errors by group, left out in turn."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of a measured vLLM run: errors by request.")
    ] = None,
    anchors: Annotated[
        int,
        typer.Option(
            min=0,
            max=2,
            help="Measured anchors of each deployment; with --run above 0, its first requests.",
        ),
    ] = 0,
    calibration: Annotated[
        Path | None, typer.Option(help="With --run: constants to use instead of the built-in ones.")
    ] = None,
    calibration_requests: Annotated[
        int, typer.Option(min=1, help="With --run and anchors: how many requests calibrate.")
    ] = NUM_CALIBRATION_REQUESTS,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the errors of predictions that saw nothing of what they are judged by."""
    from optiinfra.adapters.calibration.evaluation import evaluate_points, evaluate_run
    from optiinfra.cli.twin_report import describe_points, describe_run, print_points, print_run

    if points is not None and run is None:
        if calibration is not None:
            _refuse(
                "Points are judged by constants fitted without them.",
                "Leave --calibration out.",
                "--calibration",
            )
        result = evaluate_points(points, num_anchors=anchors)
        if is_json:
            typer.echo(json.dumps(describe_points(result), indent=1))
        else:
            print_points(result)
    elif run is not None and points is None:
        outcome = evaluate_run(
            run,
            num_calibration_requests=calibration_requests if anchors else 0,
            calibration_file=calibration,
        )
        if is_json:
            typer.echo(json.dumps(describe_run(outcome), indent=1))
        else:
            print_run(outcome)
    else:
        _refuse("There is one thing to evaluate.", "Give --points or --run.", "--points")


@app.command("calibrate")
def calibrate(
    *,
    points: Annotated[Path, typer.Option(help="CSV of measured closed-loop points to fit to.")],
    out: Annotated[Path, typer.Option(help="File to write, JSON.")],
    date_: Annotated[
        str | None, typer.Option("--date", help="Date to write into it [default: today, UTC].")
    ] = None,
) -> None:
    """Fit the constants of the performance model and write them with their held-out score."""
    from optiinfra.adapters.calibration.evaluation import calibrate_to_file

    when = datetime.now(UTC).date() if date_ is None else _parse_date(date_)
    made = calibrate_to_file(points, out, when=when)
    typer.echo(
        f"{out}: fitted to {made.source.num_points} points of {made.source.num_rows} rows, "
        f"data sha256 {made.source.data_sha256[:12]}…"
    )


def _parse_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        _refuse(f"{text!r} is not a date.", "Write it as 2026-11-30.", "--date")


def _refuse(problem: str, remedy: str, option: str) -> NoReturn:
    raise InputError(problem, remedy=remedy, field=option)
