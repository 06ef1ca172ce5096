"""`optiinfra generate-trace`: a made-up workload to try things with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def generate_trace(
    *,
    out: Annotated[Path, typer.Option(help="File to write.", show_default=False)],
    requests: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="How many requests.")
    ] = 5_000,
    rate: Annotated[
        float, typer.Option(min=0.001, max=1_000_000, help="Mean requests per second.")
    ] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same trace.")] = 0,
) -> None:
    """Write a synthetic request trace, labelled as such."""
    from optiinfra import bootstrap
    from optiinfra.cli.consoles import make_console, make_text
    from optiinfra.report.units import format_count, format_rate, format_span

    trace = bootstrap.generate_trace(seed=seed, num_requests=requests, rate_per_s=rate, out=out)
    make_console().print(
        make_text(
            f"Wrote {format_count(trace.num_requests)} synthetic requests over "
            f"{format_span(trace.span_s)} ({format_rate(trace.rate_per_s)}, seed {seed}) to {out}"
        ),
        soft_wrap=True,
    )
