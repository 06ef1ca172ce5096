"""`optiinfra generate-trace`: requests like those of a trace, or made up, to try things with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from optiinfra.cli.durations import parse_duration, parse_number
from optiinfra.domain.errors import InputError

if TYPE_CHECKING:
    from optiinfra.twin.workload.change_list import ChangeList

MAX_REQUESTS = 50_000_000


def generate_trace(
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write: CSV, or Parquet where it ends in .parquet."),
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="Trace to fit, and to generate requests like those of.")
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(help="Which deployment of --like, where it has several.")
    ] = None,
    fit: Annotated[
        Path | None, typer.Option(help="Kept fit to generate from, made with --save-fit.")
    ] = None,
    azure_week: Annotated[
        Path | None,
        typer.Option(help="Points of the plotted Azure week, to reconstruct the week from."),
    ] = None,
    save_fit: Annotated[
        Path | None, typer.Option(help="Keep the fit in this file, as JSON.")
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_REQUESTS, help="How many [default: 5000, or as fitted]."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=1_000_000, help="Mean requests per second [default: 5, or as fitted]."
        ),
    ] = None,
    span: Annotated[str | None, typer.Option(help="How long, such as 90m or 7d.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same trace.")] = 0,
    keep_requests: Annotated[
        bool, typer.Option("--keep-requests", help="Write the requests of --like, changed.")
    ] = False,
    scale_rate: Annotated[float, typer.Option(help="Times the rate.")] = 1.0,
    scale_lengths: Annotated[float, typer.Option(help="Times prompts and outputs.")] = 1.0,
    shift: Annotated[
        str | None, typer.Option(help="Move in time, around the end, such as 6h.")
    ] = None,
    warp: Annotated[
        list[str] | None, typer.Option(help="FROM=TO: this instant goes there; several.")
    ] = None,
    burst: Annotated[
        list[str] | None, typer.Option(help="AT,FOR,FACTOR times the requests; several.")
    ] = None,
    regime: Annotated[
        list[str] | None,
        typer.Option(help="AT,RATE[,PROMPTS[,OUTPUTS]]: factors from then on; several."),
    ] = None,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Print statistics, beside those of --like.")
    ] = False,
) -> None:
    """Write a generated request trace, labelled synthetic, or print statistics of one."""
    from optiinfra import bootstrap
    from optiinfra.adapters.traces.generation import TraceRequest
    from optiinfra.cli.workload_tables import print_generated

    _check(out=out, like=like, fit=fit, azure_week=azure_week, save_fit=save_fit,
           is_kept=keep_requests, is_measured=statistics)  # fmt: skip
    changes = _make_changes(
        rate_factor=scale_rate,
        length_factor=scale_lengths,
        shift=shift,
        warps=warp or [],
        bursts=burst or [],
        regimes=regime or [],
    )
    generated = bootstrap.generate_trace(
        TraceRequest(
            seed=seed,
            out=out,
            like=like,
            deployment=deployment,
            fitted=fit,
            azure_week=azure_week,
            save_fit=save_fit,
            num_requests=requests,
            rate_per_s=rate,
            span_s=None if span is None else parse_duration(span, option="--span"),
            is_kept=keep_requests,
            is_measured=statistics,
            changes=changes,
        )
    )
    print_generated(generated, out=out, save_fit=save_fit, seed=seed)


def _check(
    *,
    out: Path | None,
    like: Path | None,
    fit: Path | None,
    azure_week: Path | None,
    save_fit: Path | None,
    is_kept: bool,
    is_measured: bool,
) -> None:
    """Refuse options that do not go together."""
    sources = {"--like": like, "--fit": fit, "--azure-week": azure_week}
    given = [name for name, path in sources.items() if path is not None]
    if len(given) > 1:
        _refuse(f"{' and '.join(given)} are different sources.", "Give one of them.", given[1])
    if is_kept and like is None:
        _refuse("There are no requests to keep.", "Give a trace with --like.", "--keep-requests")
    if save_fit is not None and (is_kept or not given):
        _refuse("Nothing is fitted.", "Give a trace with --like, to be fitted.", "--save-fit")
    if out is None and save_fit is None and not (is_measured and like is not None):
        _refuse("There is nothing to do.", "Give --out, or --like with --statistics.", "--out")


def _make_changes(
    *,
    rate_factor: float,
    length_factor: float,
    shift: str | None,
    warps: list[str],
    bursts: list[str],
    regimes: list[str],
) -> ChangeList:
    """The changes that the options ask for. Raises InputError naming the option."""
    import numpy as np

    from optiinfra.twin.workload import LoadBurst, RegimeChange, TimeWarp
    from optiinfra.twin.workload.change_list import ChangeList

    pairs = sorted(_split(text, "=", "--warp", kinds="tt") for text in warps)
    instants = np.array([(0.0, 0.0), *pairs]).T
    option = ""
    try:
        option = "--warp"
        warp = TimeWarp(instants[0], instants[1]) if warps else None
        option = "--burst"
        made_bursts = tuple(LoadBurst(*_split(b, ",", option, kinds="ttf")) for b in bursts)
        option = "--regime"
        made_regimes = tuple(
            RegimeChange(*_split(r, ",", option, kinds="tfff", least=2)) for r in regimes
        )
    except ValueError as error:
        _refuse(f"{error}.", "Correct it.", option)
    return ChangeList(
        rate_factor=rate_factor,
        length_factor=length_factor,
        shift_s=0.0 if shift is None else parse_duration(shift, option="--shift"),
        warp=warp,
        bursts=made_bursts,
        regimes=made_regimes,
    )


def _split(
    text: str, separator: str, option: str, *, kinds: str, least: int | None = None
) -> tuple[float, ...]:
    """Parts of an option's value: `t` is a time and `f` a factor; the last ones may be left out."""
    parts = text.split(separator)
    if not (least or len(kinds)) <= len(parts) <= len(kinds):
        _refuse(f"{text!r} has {len(parts)} parts.", "See --help for what it is made of.", option)
    return tuple(
        parse_duration(part, option=option) if kind == "t" else parse_number(part, option=option)
        for part, kind in zip(parts, kinds, strict=False)
    )


def _refuse(problem: str, remedy: str, option: str) -> NoReturn:
    raise InputError(problem, remedy=remedy, field=option)
