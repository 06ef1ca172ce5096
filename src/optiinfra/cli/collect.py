"""`optiinfra collect`: what targets report, read again and again and kept in the metric store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from optiinfra.domain.errors import InputError

if TYPE_CHECKING:
    from optiinfra.collection import CollectionOutcome, CollectionRequest
    from optiinfra.settings import Settings

MAX_PORT_DIGITS = 5
EXIT_UNKNOWN = 1  # at least one target is unknown at the end

TargetsFile = Annotated[
    Path | None, typer.Option(help="JSON file of targets; Prometheus' file_sd form will do.")
]
Addresses = Annotated[
    list[str] | None, typer.Option(help="HOST:PORT or a whole address to read; several.")
]
Customer = Annotated[
    UUID | None,
    typer.Option(help="Whose series these are [default: `customer_id` of the file]."),
]
Interval = Annotated[
    float, typer.Option(min=0.1, max=3600.0, help="Seconds between two readings of a target.")
]
Refresh = Annotated[
    float,
    typer.Option(min=1.0, max=86_400.0, help="Seconds until file and http_sd are read again."),
]
Networks = Annotated[
    list[str] | None,
    typer.Option(help="Network that is not public but may be read, as 10.0.0.0/8; several."),
]


def collect(
    *,
    targets: TargetsFile = None,
    target: Addresses = None,
    customer: Customer = None,
    interval: Interval = 15.0,
    refresh: Refresh = 60.0,
    once: Annotated[bool, typer.Option("--once", help="Read each target once and stop.")] = False,
    duration: Annotated[
        str | None, typer.Option("--for", help="How long, as 90s or 2h [default: until Ctrl-C].")
    ] = None,
    allow_network: Networks = None,
    listen: Annotated[
        str,
        typer.Option(help="Where others send series and /metrics is; port 0: one that is free."),
    ] = "127.0.0.1:0",
    no_listen: Annotated[bool, typer.Option("--no-listen", help="Receive nothing.")] = False,
    name: Annotated[
        str, typer.Option(help="Tells collecting processes of one data directory apart.")
    ] = "collect",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> int:
    """Read pages of metrics into the metric store until stopped; `scrape` only shows them.

    Also takes what others send: Prometheus remote write at /api/v1/write, OTLP at /v1/metrics; its
    own metrics are at /metrics. All three ask for a token. Samples are on disk before they count,
    and are sent when the store is there. SIGTERM and Ctrl-C end it in order.

    Exit code 1 if a target is unknown at the end.
    """
    from optiinfra.adapters.collectors.addresses import read_networks
    from optiinfra.adapters.collectors.collecting import CollectionPace
    from optiinfra.adapters.collectors.target_list import TargetSources
    from optiinfra.cli.durations import parse_duration
    from optiinfra.cli.settings import load_settings
    from optiinfra.collection import CollectionRequest, run_collection
    from optiinfra.kit.logging import configure_logging

    sources = TargetSources(
        targets, tuple(target or ()), read_networks(allow_network or ()), customer
    )
    request = CollectionRequest(
        sources,
        CollectionPace(interval, refresh),
        is_once=once,
        duration_s=None if duration is None else parse_duration(duration, option="--for"),
        name=name,
        listen=None if no_listen else parse_place(listen),
    )
    settings = load_settings()
    configure_logging()
    _announce(request, settings)
    outcome = run_collection(request, settings=settings)
    if as_json:
        typer.echo(json.dumps(to_json(outcome), indent=2))
    else:
        _print(outcome, settings)
    return EXIT_UNKNOWN if any(state.problem for state in outcome.states) else 0


def parse_place(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[::1]:PORT` or `PORT`, which is on loopback."""
    host, _colon, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= MAX_PORT_DIGITS):
        raise InputError(
            f"{text[:80]!r} is no place to listen at.",
            remedy="Write HOST:PORT, or a port alone for loopback.",
            field="--listen",
        )
    return host.strip("[]") or "127.0.0.1", int(port)


def to_json(outcome: CollectionOutcome) -> dict[str, Any]:
    """What a collection did, as plain values."""
    ingestion = outcome.ingestion
    return {
        "customer_id": str(outcome.customer_id),
        "targets": [
            {
                "target": state.target.name,
                "status": state.status.value,
                "reason": None if state.problem is None else state.problem.value,
                "message": state.message or None,
                "sources": sorted(state.sources),
                "num_failures": state.failures.total(),
                "left_out": {problem.value: n for problem, n in sorted(state.problems.items())},
            }
            for state in outcome.states
        ],
        "num_kept_samples": outcome.num_kept,
        "problems": dict(sorted(outcome.problems.items())),
        "received": outcome.received,
        "num_sent_rows": ingestion.num_sent_rows,
        "num_refused_rows": ingestion.num_refused_rows,
        "waiting_bytes": ingestion.waiting_bytes,
        "store_error": ingestion.last_error,
    }


def _announce(request: CollectionRequest, settings: Settings) -> None:
    """What begins now, for a person; the log says it to machines."""
    from optiinfra.cli.consoles import make_console, make_text

    console = make_console(is_stderr=True)
    if request.is_once or not console.is_terminal:
        return
    end = "Ctrl-C ends it." if request.duration_s is None else f"For {request.duration_s:,g} s."
    console.print(
        make_text(
            f"Reading every {request.pace.interval_s:g} s into the metric store, through"
            f" {settings.data_dir / 'ingestion' / request.name}. {end}"
        ),
        soft_wrap=True,
    )


def _print(outcome: CollectionOutcome, settings: Settings) -> None:
    from optiinfra.cli.consoles import make_console, make_text

    console = make_console()
    unknown = [state for state in outcome.states if state.problem is not None]
    num_healthy = len(outcome.states) - len(unknown)
    lines = [f"Targets: {num_healthy:,} healthy, {len(unknown):,} unknown."]
    for state in unknown:
        reason = "" if state.problem is None else state.problem.value
        lines.append(f"  unknown  {state.target.name}: {reason}: {state.message}")
    ingestion = outcome.ingestion
    lines.append(
        f"Samples kept: {outcome.num_kept:,}; rows sent to the metric store:"
        f" {ingestion.num_sent_rows:,}."
    )
    for kind, outcomes in outcome.received.items():
        if outcomes:
            counted = ", ".join(f"{name} {n:,}" for name, n in sorted(outcomes.items()))
            lines.append(f"Requests of {kind.replace('_', ' ')}: {counted}.")
    if outcome.problems:
        counted = ", ".join(f"{name} {n:,}" for name, n in sorted(outcome.problems.items()))
        lines.append(f"Left out: {counted}.")
    if ingestion.num_refused_rows:
        lines.append(
            f"The metric store refused {ingestion.num_refused_rows:,} rows; they are set aside in"
            f" {settings.data_dir / 'ingestion'}."
        )
    if ingestion.waiting_bytes:
        lines.append(
            f"Waiting on disk: {ingestion.waiting_bytes:,} bytes, sent by the next that collects."
            f" {ingestion.last_error or ''}"
        )
    console.print(make_text("\n".join(lines)), soft_wrap=True)
