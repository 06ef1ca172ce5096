"""`optiinfra analyze`: what a fleet costs, what its users get, and what would cost less."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optiinfra.domain.errors import DisagreementError, InputError

if TYPE_CHECKING:
    from optiinfra.bootstrap import AnalysisOutcome

DEFAULT_REPORT = Path("optiinfra-report.html")


def analyze(
    *,
    fleet: Annotated[Path, typer.Option(help="The fleet, in YAML.", show_default=False)],
    trace: Annotated[
        Path | None, typer.Option(help="Requests: arrival, prompt and output tokens.")
    ] = None,
    trace_format: Annotated[
        str | None, typer.Option("--format", help="Format of the trace; sniffed when not given.")
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option(help="Prometheus URL to draw traffic from, without a trace.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Start of the Prometheus range.")] = None,
    served_model: Annotated[
        str | None, typer.Option(help="Which model's series, where a Prometheus has several.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="End of the Prometheus range.")] = None,
    measured: Annotated[
        str | None,
        typer.Option(help="What the fleet does today: report of a load tool, or Prometheus URL."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything drawn.")] = 0,
    report: Annotated[
        Path | None,
        typer.Option(help=f"HTML report to write [default: {DEFAULT_REPORT}; none with --json]."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the answer as JSON and nothing else.")
    ] = False,
    price_book: Annotated[
        Path | None, typer.Option(help="Prices to use instead of the shipped price book.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Simulations at a time [default: one a core].")
    ] = None,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Store nothing; nothing can be approved then.")
    ] = False,
) -> None:
    """Find what the fleet costs, what its users get, and what would cost less and keep the SLO."""
    _check_source(
        trace=trace, trace_format=trace_format, prometheus=prometheus, start=start, end=end
    )
    _check_range(prometheus=prometheus, measured=measured, start=start, end=end)
    from optiinfra import bootstrap
    from optiinfra.cli.progress import ProgressBar
    from optiinfra.cli.settings import load_settings

    request = bootstrap.AnalysisRequest(
        fleet=fleet,
        trace=trace,
        trace_format=trace_format,
        prometheus=prometheus,
        served_model=served_model,
        start=start,
        end=end,
        measured=measured,
        seed=seed,
        report=report if report is not None or as_json else DEFAULT_REPORT,
        price_book=price_book,
        num_workers=workers,
        is_stored=not no_store,
    )
    with ProgressBar(is_hidden=as_json) as progress:
        outcome = bootstrap.run_analysis(request, settings=load_settings(), progress=progress)
    _print_outcome(outcome, as_json=as_json)


def _check_source(
    *,
    trace: Path | None,
    trace_format: str | None,
    prometheus: str | None,
    start: str | None,
    end: str | None,
) -> None:
    """Raise InputError unless the traffic comes from exactly one place."""
    if (trace is None) == (prometheus is None):
        given = "Neither was given." if trace is None else "Both were given."
        raise InputError(
            f"The traffic comes either from --trace or from --prometheus. {given}",
            remedy="Give a trace file, or a Prometheus URL with --start and --end.",
            field="--trace",
        )
    if prometheus is not None and (start is None or end is None):
        raise InputError(
            "A Prometheus range needs its two ends.",
            remedy="Give --start and --end, for example 2025-03-01T00:00:00Z.",
            field="--start" if start is None else "--end",
        )
    if prometheus is not None and trace_format is not None:
        raise InputError(
            "A format belongs to a trace file, and none was given.",
            remedy="Leave --format out.",
            field="--format",
        )


def _check_range(
    *, prometheus: str | None, measured: str | None, start: str | None, end: str | None
) -> None:
    """Raise InputError for a range that nothing would be read over."""
    is_asked = prometheus is not None or (measured or "").startswith(("http://", "https://"))
    if is_asked or (start is None and end is None):
        return
    raise InputError(
        "A range of time belongs to a Prometheus, and none was given.",
        remedy="Leave it out, or give a URL with --prometheus or --measured. A trace file is always"
        " used whole.",
        field="--end" if start is None else "--start",
    )


def _print_outcome(outcome: AnalysisOutcome, *, as_json: bool) -> None:
    """Print the answer; exit with the code of a disagreement where there is one."""
    from optiinfra.domain.analysis import CalibrationState

    if as_json:
        from optiinfra.report.document import to_json

        typer.echo(to_json(outcome.analysis, recommendation_ids=outcome.recommendation_ids))
    else:
        from optiinfra.cli.consoles import make_console
        from optiinfra.cli.render import render_analysis

        render_analysis(
            outcome.analysis,
            make_console(),
            recommendation_ids=outcome.recommendation_ids,
            report=outcome.report,
        )
    states = {deployment.truth.state for deployment in outcome.analysis.deployments}
    if CalibrationState.DISAGREES in states:
        raise typer.Exit(DisagreementError.exit_code)
