"""`optiinfra scrape`: what targets report, under canonical names, or why nothing is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from optiinfra.adapters.collectors.scraper import TargetState
    from optiinfra.adapters.collectors.watching import Round
    from optiinfra.domain.samples import SampleBatch, Series

EXIT_UNKNOWN = 1  # at least one target is unknown


def scrape(
    *,
    targets: Annotated[
        Path, typer.Option(help="JSON file of targets; Prometheus' file_sd form will do.")
    ],
    once: Annotated[bool, typer.Option("--once", help="Read each target once and stop.")] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="How often; rates need two [default: until Ctrl-C].")
    ] = None,
    interval: Annotated[
        float, typer.Option(min=0.1, max=3600.0, help="Seconds from one round to the next.")
    ] = 15.0,
    allow_network: Annotated[
        list[str] | None,
        typer.Option(help="Network that is not public but may be read, as 10.0.0.0/8; several."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line a round.")] = False,
) -> int:
    """Read pages of metrics and print what they say. Exit code 1 if a target is unknown at the end.

    Engines: vLLM, SGLang, TGI, TensorRT-LLM, llama.cpp; also the DCGM and node exporters.
    """
    from optiinfra import bootstrap
    from optiinfra.adapters.collectors.watching import WatchRequest

    request = WatchRequest(targets, 1 if once else rounds, interval, tuple(allow_network or ()))
    num_unknown = 0
    for found in bootstrap.watch_targets(request):
        if as_json:
            typer.echo(json.dumps(to_json(found)))
        else:
            _print(found)
        num_unknown = sum(state.problem is not None for state, _ in found.targets)
    return EXIT_UNKNOWN if num_unknown else 0


def to_json(found: Round) -> dict[str, Any]:
    """A round as plain values."""
    return {
        "read_at": _write_instant(found.at_ns),
        "targets": [
            {
                "target": state.target.name,
                "status": state.status.value,
                "reason": None if state.problem is None else state.problem.value,
                "message": state.message or None,
                "is_stale": state.target.name in found.stale,
                "sources": sorted(state.sources),
                "deployment_id": state.target.deployment_id or None,
                "instance_id": state.target.instance_id or None,
                "left_out": {problem.value: n for problem, n in sorted(state.problems.items())},
                "samples": [
                    {
                        "metric": series.metric,
                        "kind": series.kind.value,
                        "labels": dict(series.labels),
                        "value": value,
                    }
                    for series, value in _list_rows(batch)
                ],
            }
            for state, batch in found.targets
        ],
    }


def _print(found: Round) -> None:
    from optiinfra.cli.consoles import make_console, make_text
    from optiinfra.cli.tables import make_table

    console = make_console()
    for state, batch in found.targets:
        console.print(make_text(_describe(state, is_stale=state.target.name in found.stale)))
        if state.problem is not None:
            continue
        table = make_table("metric", "labels", "value", num_text_columns=2)
        for series, value in _list_rows(batch):
            labels = ", ".join(f"{name}={text}" for name, text in series.labels)
            table.add_row(make_text(series.metric), make_text(labels), f"{value:,.6g}")
        console.print(table)


def _describe(state: TargetState, *, is_stale: bool) -> str:
    if state.problem is not None:
        mark = ", stale" if is_stale else ""
        reason = f"{state.problem.value}{mark}: {state.message}"
        return f"{state.status.value}  {state.target.name}: {reason}"
    sources = ", ".join(sorted(state.sources)) or "no source that is known"
    left_out = ", ".join(f"{problem.value} {n}" for problem, n in sorted(state.problems.items()))
    return f"{state.status.value}  {state.target.name}: {sources}" + (
        f"; left out: {left_out}" if left_out else ""
    )


def _list_rows(batch: SampleBatch) -> Iterator[tuple[Series, float]]:
    """Series and value, by metric and labels; `up` is the status and left out."""
    rows = zip(batch.series_index.tolist(), batch.value.tolist(), strict=True)
    named = ((batch.series[place], value) for place, value in rows)
    chosen = (row for row in named if row[0].metric != "up")
    yield from sorted(chosen, key=lambda row: (row[0].metric, row[0].labels))


def _write_instant(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="milliseconds")
