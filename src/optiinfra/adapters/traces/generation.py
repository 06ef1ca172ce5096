"""A generated trace, from its source to its file: what `optiinfra generate-trace` asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from optiinfra.adapters.azure_week import read_azure_week
from optiinfra.adapters.traces.reading import read_traces
from optiinfra.adapters.traces.writing import write_chunks, write_trace
from optiinfra.adapters.workload_file import read_workload, write_workload
from optiinfra.domain.errors import InputError
from optiinfra.domain.trace import RequestChunk, Trace
from optiinfra.twin.workload import (
    WorkloadFit,
    WorkloadStatistics,
    fit_workload,
    generate_conversation,
    measure_workload,
    reconstruct_azure_week,
)
from optiinfra.twin.workload.change_list import ChangeList, change_fit, change_trace
from optiinfra.twin.workload.chunks import join_chunks
from optiinfra.twin.workload.fit_transforms import scale_fit_rate

DEFAULT_REQUESTS, DEFAULT_RATE_PER_S = 5_000, 5.0  # of a conversation after no trace
CHUNK_REQUESTS = 1_000_000  # in memory at once
MAX_REQUESTS_MEASURED = 5_000_000  # of what is generated; more are written without being looked at


@dataclass(frozen=True)
class TraceRequest:
    """What to generate. At most one of `like`, `fitted` and `azure_week` is given.

    Without a source a conversation is generated. Without `out` nothing is, and only the source is
    measured or its fit saved. `is_kept` writes the requests of `like` themselves, changed.
    """

    seed: int
    out: Path | None = None
    like: Path | None = None
    deployment: str | None = None  # where `like` holds several
    fitted: Path | None = None
    azure_week: Path | None = None
    save_fit: Path | None = None
    num_requests: int | None = None
    rate_per_s: float | None = None
    span_s: float | None = None
    is_kept: bool = False
    is_measured: bool = False
    changes: ChangeList = field(default_factory=ChangeList)


@dataclass(frozen=True)
class GeneratedTrace:
    """What was written, and the figures asked for: of the source and of what came of it."""

    num_requests: int = 0
    span_s: float = 0.0
    is_synthetic: bool = True
    notes: tuple[str, ...] = ()
    source_statistics: WorkloadStatistics | None = None
    statistics: WorkloadStatistics | None = None

    @property
    def rate_per_s(self) -> float:
        """Mean requests per second."""
        return self.num_requests / self.span_s if self.span_s > 0 else float("inf")


def generate_trace(request: TraceRequest) -> GeneratedTrace:
    """Read the source, generate, write, and measure.

    Raises InputError that names the file or option that cannot be used; `out` is not written then.
    """
    source = None if request.like is None else _read_like(request.like, request.deployment)
    of_source = measure_workload(source) if source is not None and request.is_measured else None
    if source is not None and request.is_kept:
        with _refusing("a change"):
            trace = change_trace(source, request.changes, np.random.default_rng(request.seed))
        return _write_trace(request, trace, of_source)
    fit = _find_fit(request, source)
    if fit is None:
        return _write_trace(request, _make_conversation(request), None)
    if request.save_fit is not None:
        with _writing(request.save_fit, "--save-fit"):
            write_workload(fit, request.save_fit)
    if request.out is None:
        return GeneratedTrace(notes=fit.notes, source_statistics=of_source)
    return _write_stream(request, fit, request.out, of_source)


def _read_like(path: Path, deployment: str | None) -> Trace:
    traces = read_traces(path)
    if deployment is None and len(traces) == 1:
        return next(iter(traces.values()))
    if deployment not in traces:
        names = ", ".join(str(name) for name in traces if name is not None) or "none by name"
        what = f"no deployment {deployment!r}" if deployment else f"{len(traces)} deployments"
        raise InputError(
            f"the trace has {what}.",
            remedy=f"Choose with --deployment: {names}.",
            file=str(path),
            field="deployment",
        )
    return traces[deployment]


def _find_fit(request: TraceRequest, source: Trace | None) -> WorkloadFit | None:
    if source is not None:
        with _refusing("the trace", file=request.like):
            return fit_workload(source)
    if request.fitted is not None:
        return read_workload(request.fitted)
    if request.azure_week is not None:
        plots = read_azure_week(request.azure_week)
        with _refusing("the week", file=request.azure_week):
            return reconstruct_azure_week(plots)
    return None


def _make_conversation(request: TraceRequest) -> Trace:
    rate_per_s = request.rate_per_s or DEFAULT_RATE_PER_S
    num_requests = request.num_requests
    if num_requests is None:
        span_s = request.span_s
        num_requests = DEFAULT_REQUESTS if span_s is None else max(round(span_s * rate_per_s), 1)
    trace = generate_conversation(
        seed=request.seed, num_requests=num_requests, rate_per_s=rate_per_s
    )
    with _refusing("a change"):
        return change_trace(trace, request.changes, np.random.default_rng(request.seed))


def _write_trace(
    request: TraceRequest, trace: Trace, of_source: WorkloadStatistics | None
) -> GeneratedTrace:
    if request.out is not None:
        with _writing(request.out, "--out"):
            write_trace(trace, request.out)
    return GeneratedTrace(
        num_requests=trace.num_requests,
        span_s=trace.span_s,
        is_synthetic=trace.is_synthetic,
        notes=trace.notes,
        source_statistics=of_source,
        statistics=measure_workload(trace) if request.is_measured else None,
    )


def _write_stream(
    request: TraceRequest, fit: WorkloadFit, out: Path, of_source: WorkloadStatistics | None
) -> GeneratedTrace:
    with _refusing("the workload"):
        if request.rate_per_s is not None:
            fit = scale_fit_rate(fit, request.rate_per_s / fit.rate.rate_per_s_mean)
        fit = change_fit(fit, request.changes)
        stream = fit.make_stream(
            seed=request.seed, span_s=request.span_s, num_requests=request.num_requests
        )
    notes = (f"synthetic: {stream.source}, seed {request.seed}", *stream.notes)
    chunks = stream.iter_chunks(max_requests=CHUNK_REQUESTS)
    seen = _Sample(chunks, is_kept=request.is_measured)
    with _writing(out, "--out"):
        num_requests = write_chunks(seen, out, notes=notes)
    sample = seen.make_trace(stream.source)
    return GeneratedTrace(
        num_requests=num_requests,
        span_s=stream.span_s,
        notes=notes,
        source_statistics=of_source,
        statistics=None if sample is None else measure_workload(sample),
    )


class _Sample:
    """Chunks on their way to a file, the first of them kept to be measured."""

    def __init__(self, chunks: Iterable[RequestChunk], *, is_kept: bool) -> None:
        self.chunks = chunks
        self.is_kept = is_kept
        self.kept: list[RequestChunk] = []

    def __iter__(self) -> Iterator[RequestChunk]:
        num_kept = 0
        for chunk in self.chunks:
            if self.is_kept and num_kept < MAX_REQUESTS_MEASURED:
                self.kept.append(chunk)
                num_kept += chunk.num_requests
            yield chunk

    def make_trace(self, source: str) -> Trace | None:
        """What was kept; None where nothing was."""
        if not self.kept:
            return None
        chunk = join_chunks(self.kept)
        return Trace(
            arrival_s=chunk.arrival_s - chunk.arrival_s[0],
            prompt_tokens=chunk.prompt_tokens,
            output_tokens=chunk.output_tokens,
            source=source,
            is_synthetic=True,
            prefix_hashes=chunk.prefix_hashes,
        )


@contextmanager
def _refusing(what: str, *, file: Path | None = None) -> Iterator[None]:
    """What the pure core cannot work with, as an error of the user's input."""
    try:
        yield
    except ValueError as error:
        raise InputError(
            f"{what} cannot be used: {error}.",
            remedy="Change the options or the file.",
            file=None if file is None else str(file),
        ) from error


@contextmanager
def _writing(path: Path, option: str) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"the file cannot be written: {error.strerror}.",
            remedy=f"Choose another path with {option}.",
            file=str(path),
        ) from error
