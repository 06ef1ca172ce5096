"""The past of a fleet from an existing Prometheus, as if its targets had been scraped.

Steps are whole multiples of their length since 1970, so that every import of one step length reads
the same instants. A page is read on its own, with the step before it for the rates: the same page
of the same Prometheus gives the same samples whenever it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np

from optiinfra.adapters.collectors.page import Labels
from optiinfra.adapters.collectors.received import ReceivedSeries, SeriesReceiver
from optiinfra.adapters.collectors.receivers import PROMETHEUS_LABELS, TargetNaming
from optiinfra.adapters.prometheus_client import AnswerTooLargeError, Prometheus
from optiinfra.adapters.prometheus_series import read_matrix
from optiinfra.adapters.prometheus_times import check_range
from optiinfra.domain.errors import InputError
from optiinfra.domain.samples import SampleBatch

MIN_STEP_S, MAX_STEP_S = 1.0, 3_600.0
STEPS_OF_PAGE = 120  # bounds an answer to 121 points a series
_NAMES = (
    "(vllm|sglang|trtllm|llamacpp)[:_].+|tgi_.+|nv_trt_llm_.+|(inference_|llm_d_epp_).+|DCGM_.+"
    "|gen_ai_.+|hw_gpu_.+|node_(cpu|memory_Mem|network_(receive|transmit)_bytes|load1|filesystem).*"
    "|process_start_time_seconds"
)


@dataclass(frozen=True, slots=True)
class ImportSource:
    """What is read: `step_s` apart, narrowed by `matchers` as PromQL writes them, `job="vllm"`."""

    customer_id: UUID
    step_s: float
    matchers: str = ""

    def __post_init__(self) -> None:
        if not MIN_STEP_S <= self.step_s <= MAX_STEP_S:
            raise InputError(
                f"a step of {self.step_s:g} s cannot be imported.",
                remedy=f"Give {MIN_STEP_S:g} to {MAX_STEP_S:g} s; best is the scrape interval.",
                field="--step",
            )

    @property
    def step_ms(self) -> int:
        """The length of a step in whole milliseconds."""
        return round(self.step_s * 1_000)


@dataclass(frozen=True, slots=True, order=True)
class StepRange:
    """Steps from `first` to `last`, both within; the instant of a step is its number of steps."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


def find_steps(source: ImportSource, start: datetime, end: datetime) -> StepRange:
    """The steps within a range of time.

    Raises:
        InputError: the range is empty, shorter than a minute or longer than 100 days.
    """
    check_range(start, end)
    first = -(-round(start.timestamp() * 1_000) // source.step_ms)
    return StepRange(first, round(end.timestamp() * 1_000) // source.step_ms)


def list_pages(steps: StepRange) -> Iterator[StepRange]:
    """Pages of at most 120 steps whose edges are the same for every range."""
    first = steps.first
    while first <= steps.last:
        last = min((first // STEPS_OF_PAGE + 1) * STEPS_OF_PAGE - 1, steps.last)
        yield StepRange(first, last)
        first = last + 1


def import_page(
    prometheus: Prometheus, source: ImportSource, page: StepRange
) -> Iterator[SampleBatch]:
    """The samples of a page; in several batches where one answer would be too large.

    A step shows what Prometheus shows there, so values up to five minutes old.

    Raises:
        InputError: Prometheus does not answer, or not even one step is small enough.
    """
    try:
        yield _read(prometheus, source, page)
    except AnswerTooLargeError:
        if len(page) == 1:
            raise
        middle = (page.first + page.last) // 2
        yield from import_page(prometheus, source, StepRange(page.first, middle))
        yield from import_page(prometheus, source, StepRange(middle + 1, page.last))


def _read(prometheus: Prometheus, source: ImportSource, page: StepRange) -> SampleBatch:
    number = len(page) + 1  # with the step before
    first_s = (page.first - 1) * source.step_ms / 1_000
    last_s = page.last * source.step_ms / 1_000
    narrowed = f",{source.matchers}" if source.matchers else ""
    data = prometheus.fetch(
        "/api/v1/query_range",
        [
            ("query", f'{{__name__=~"{_NAMES}"{narrowed}}}'),
            ("start", first_s),
            ("end", last_s),
            ("step", source.step_ms / 1_000),
        ],
    )
    step_s = source.step_ms / 1_000
    matrix = read_matrix(data, first_s=first_s, step_s=step_s, num_steps=number)
    steps = np.arange(page.first - 1, page.last + 1, dtype=np.int64)
    instants_ns = steps * source.step_ms * 1_000_000
    series = []
    for metric, values in matrix:
        is_known = ~np.isnan(values)
        labels: Labels = tuple(sorted(p for p in metric.items() if p[0] != "__name__"))
        name = metric.get("__name__", "")
        series.append(ReceivedSeries(name, labels, instants_ns[is_known], values[is_known]))
    naming = TargetNaming(source.customer_id, "prometheus", PROMETHEUS_LABELS)
    batch = SeriesReceiver(naming.find).receive(series, int(instants_ns[-1]))
    return _leave_out_before(batch, int(instants_ns[1]))


def _leave_out_before(batch: SampleBatch, first_ns: int) -> SampleBatch:
    is_kept = batch.timestamp_ns >= first_ns
    return SampleBatch(
        batch.series,
        batch.series_index[is_kept],
        batch.timestamp_ns[is_kept],
        batch.value[is_kept],
    )
