"""`optiinfra import-prometheus`: a range of an existing Prometheus into the metric store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

if TYPE_CHECKING:
    from optiinfra.imports import ImportOutcome

Start = Annotated[str, typer.Option(help="2026-01-31T08:00:00Z, unix seconds, or relative as -7d.")]


def import_prometheus(
    url: Annotated[str, typer.Argument(help="Of Prometheus, as http://HOST:9090.")],
    *,
    customer: Annotated[UUID, typer.Option(help="Whose series these are.")],
    start: Start = "-1d",
    end: Annotated[str, typer.Option(help="As --start; steps of the last minute wait.")] = "now",
    step: Annotated[str, typer.Option(help="From one sample to the next.")] = "15s",
    match: Annotated[
        str, typer.Option(help='Narrows what is read, as PromQL: job="vllm".', show_default=False)
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read a range of an existing Prometheus into the metric store, as if scraped.

    May be stopped and run again: steps that were imported with the same address, customer, step
    and --match are left out, and nothing counts twice.
    """
    from optiinfra.cli.durations import parse_duration
    from optiinfra.cli.progress import ProgressBar
    from optiinfra.cli.settings import load_settings
    from optiinfra.imports import PrometheusImport
    from optiinfra.imports import import_prometheus as run

    request = PrometheusImport(
        url, customer, start, end, parse_duration(step, option="--step"), match
    )
    with ProgressBar(is_hidden=as_json) as bar:
        outcome = run(
            request,
            settings=load_settings(),
            progress=lambda done, total: bar("Steps", done, total),
        )
    if as_json:
        typer.echo(json.dumps(to_json(outcome), indent=2))
    else:
        _print(outcome)


def to_json(outcome: ImportOutcome) -> dict[str, Any]:
    """What an import did, as plain values."""
    ingestion = outcome.ingestion
    assert ingestion is not None  # noqa: S101 - the import is over
    return {
        "start": outcome.start.isoformat(),
        "end": outcome.end.isoformat(),
        "num_steps": outcome.num_steps,
        "num_new_steps": outcome.num_new_steps,
        "num_targets": outcome.num_targets,
        "num_samples": outcome.num_samples,
        "num_left_out_samples": outcome.num_left_out,
        "num_sent_rows": ingestion.num_sent_rows,
        "waiting_bytes": ingestion.waiting_bytes,
        "store_error": ingestion.last_error,
    }


def _print(outcome: ImportOutcome) -> None:
    from optiinfra.cli.consoles import make_console, make_text

    ingestion = outcome.ingestion
    assert ingestion is not None  # noqa: S101 - the import is over
    start, end = (each.isoformat(timespec="seconds") for each in (outcome.start, outcome.end))
    num_before = outcome.num_steps - outcome.num_new_steps
    before = f"; {num_before:,} were imported before" if num_before > 0 else ""
    lines = [
        f"From {start} to {end}: {outcome.num_new_steps:,} of {outcome.num_steps:,} steps{before}."
    ]
    lines.append(
        f"Samples: {outcome.num_samples:,} of {outcome.num_targets:,} targets; rows sent to the"
        f" metric store: {ingestion.num_sent_rows:,}."
    )
    if outcome.num_new_steps and not outcome.num_samples:
        lines.append("Prometheus has none of the names that are read, see docs/collectors.md.")
    if outcome.num_left_out:
        lines.append(f"Left out: {outcome.num_left_out:,} samples, too large or too long.")
    if ingestion.waiting_bytes:
        lines.append(
            f"Waiting on disk: {ingestion.waiting_bytes:,} bytes, sent by the next import."
            f" {ingestion.last_error or ''}"
        )
    make_console().print(make_text("\n".join(lines)), soft_wrap=True)
