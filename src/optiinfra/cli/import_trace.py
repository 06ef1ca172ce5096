"""`optiinfra import-trace`: requests that were recorded, into the metric store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

if TYPE_CHECKING:
    from optiinfra.imports import TraceImportOutcome

Start = Annotated[
    str | None,
    typer.Option(
        help="When the first request came, as 2026-01-31T08:00:00Z [default: the file's]."
    ),
]


def import_trace(
    path: Annotated[Path, typer.Argument(help="Any form that `analyze --trace` reads.")],
    *,
    customer: Annotated[UUID, typer.Option(help="Whose requests these are.")],
    deployment: Annotated[
        str | None, typer.Option(help="Who served them, where the file does not say.")
    ] = None,
    model: Annotated[str, typer.Option(help="Which model.", show_default=False)] = "",
    start: Start = None,
    trace_format: Annotated[
        str | None,
        typer.Option("--format", help="azure, mooncake, vllm, csv, parquet [default: found]."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read the requests of a trace into the metric store: when each came, and its tokens.

    May be run again: a request counts once. Synthetic traces are refused.
    """
    from optiinfra.cli.settings import load_settings
    from optiinfra.imports import TraceImport
    from optiinfra.imports import import_trace as run

    request = TraceImport(path, customer, trace_format, deployment, model, start)
    outcome = run(request, settings=load_settings())
    if as_json:
        ingestion = outcome.ingestion
        assert ingestion is not None  # noqa: S101 - the import is over
        said = {
            "num_requests": outcome.num_requests,
            "num_new_requests": outcome.num_new,
            "num_sent_rows": ingestion.num_sent_rows,
            "waiting_bytes": ingestion.waiting_bytes,
            "store_error": ingestion.last_error,
        }
        typer.echo(json.dumps(said, indent=2))
    else:
        _print(outcome)


def _print(outcome: TraceImportOutcome) -> None:
    from optiinfra.cli.consoles import make_console, make_text

    ingestion = outcome.ingestion
    assert ingestion is not None  # noqa: S101 - the import is over
    parts = [f"{number:,} of {name}" for name, number in sorted(outcome.num_requests.items())]
    lines = [f"Requests: {', '.join(parts)}; {outcome.num_new:,} new."]
    lines.append(f"Rows sent to the metric store: {ingestion.num_sent_rows:,}.")
    if ingestion.waiting_bytes:
        lines.append(
            f"Waiting on disk: {ingestion.waiting_bytes:,} bytes, sent by the next import."
            f" {ingestion.last_error or ''}"
        )
    make_console().print(make_text("\n".join(lines)), soft_wrap=True)
