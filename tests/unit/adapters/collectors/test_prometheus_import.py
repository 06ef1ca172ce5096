"""Range queries of a Prometheus, read as its targets would have been."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from optiinfra.adapters.collectors.prometheus_import import (
    ImportSource,
    StepRange,
    find_steps,
    import_page,
    list_pages,
)
from optiinfra.adapters.prometheus_client import AnswerTooLargeError, Prometheus, make_url
from optiinfra.domain.errors import InputError
from optiinfra.domain.samples import SampleBatch, concatenate_batches

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP_S = 15.0
SOURCE = ImportSource(UUID(int=1), STEP_S, 'job="x"')
FIRST = round(START.timestamp() / STEP_S)


class FakePrometheus:
    """A counter that grows by 30 a step, and a level that is missing now and then."""

    def __init__(self, *, most_steps: int = 200, says: str = "too many samples in memory") -> None:
        self.most_steps = most_steps
        self.says = says
        self.asked: list[int] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        assert request.url.path == "/prom/api/v1/query_range"
        assert 'job="x"' in asked["query"]
        first, last = float(asked["start"]), float(asked["end"])
        steps = [first + i * STEP_S for i in range(round((last - first) / STEP_S) + 1)]
        self.asked.append(len(steps))
        if len(steps) > self.most_steps:
            return httpx.Response(422, json={"status": "error", "error": f"query: {self.says}"})
        number = [round((s - START.timestamp()) / STEP_S) for s in steps]
        labels = {"job": "x", "instance": "h:1", "model_name": "m"}
        series: list[dict[str, Any]] = [
            {
                "metric": labels | {"__name__": "vllm:generation_tokens_total"},
                "values": [[s, str(100 + 30 * n)] for s, n in zip(steps, number, strict=True)],
            },
            {
                "metric": labels | {"__name__": "vllm:num_requests_running"},
                "values": [
                    [s, "NaN" if n % 2 else "4"] for s, n in zip(steps, number, strict=True)
                ],
            },
        ]
        data = {"resultType": "matrix", "result": series}
        return httpx.Response(200, json={"status": "success", "data": data})

    def read(self, steps: StepRange) -> list[SampleBatch]:
        """All pages of a range."""
        client = httpx.Client(transport=httpx.MockTransport(self.answer))
        prometheus = Prometheus(make_url("http://prom/prom"), client)
        return [b for page in list_pages(steps) for b in import_page(prometheus, SOURCE, page)]


def list_values(batches: list[SampleBatch]) -> dict[str, list[float]]:
    whole = concatenate_batches(batches)
    found: dict[str, list[float]] = {}
    for place, value in zip(whole.series_index, whole.value, strict=True):
        found.setdefault(whole.series[place].metric, []).append(float(value))
    return found


def test_the_past_of_a_target() -> None:
    batches = FakePrometheus().read(find_steps(SOURCE, START, START + timedelta(minutes=75)))
    values = list_values(batches)
    assert values["output_tokens_total"] == [100 + 30 * n for n in range(301)]
    assert values["output_tokens_per_s"] == [2.0] * 301  # over the seams, and from the first step
    assert values["num_requests_running"] == [4.0] * 151
    whole = concatenate_batches(batches)
    assert {series.target for series in whole.series} == {"prometheus/x/h:1"}
    assert int(whole.timestamp_ns.min()) == int(START.timestamp()) * 10**9
    assert int(whole.timestamp_ns.max()) == int(START.timestamp() + 4_500) * 10**9


@pytest.mark.parametrize("most_steps", [70, 31, 2])
def test_pages_that_are_too_large_are_halved(most_steps: int) -> None:
    steps = StepRange(FIRST + 7, FIRST + 150)
    fake = FakePrometheus(most_steps=most_steps)
    assert list_values(fake.read(steps)) == list_values(FakePrometheus().read(steps))
    assert sum(each - 1 for each in fake.asked if each <= most_steps) == len(steps)


def test_a_step_that_is_too_large_and_other_errors_are_told() -> None:
    with pytest.raises(AnswerTooLargeError, match="too many samples"):
        FakePrometheus(most_steps=1).read(StepRange(FIRST, FIRST + 3))
    fake = FakePrometheus(most_steps=1, says="no")
    with pytest.raises(InputError, match="no"):
        fake.read(StepRange(FIRST, FIRST + 3))
    assert len(fake.asked) == 1


def test_edges_of_pages_do_not_depend_on_the_range() -> None:
    pages = list(list_pages(StepRange(100, 400)))
    assert pages == [
        StepRange(100, 119),
        StepRange(120, 239),
        StepRange(240, 359),
        StepRange(360, 400),
    ]
    assert list(list_pages(StepRange(5, 4))) == []
    later = START + timedelta(seconds=1)
    assert find_steps(SOURCE, START, START + timedelta(hours=1)) == StepRange(FIRST, FIRST + 240)
    assert find_steps(SOURCE, later, later + timedelta(hours=1)) == StepRange(
        FIRST + 1, FIRST + 240
    )


def test_what_cannot_be_imported() -> None:
    with pytest.raises(InputError, match="ends before it begins"):
        find_steps(SOURCE, START, START - timedelta(hours=1))
    for step_s in (0.5, float("nan"), 86_400.0):
        with pytest.raises(InputError, match="step"):
            ImportSource(UUID(int=1), step_s)
