"""Pages read one after the other by one reader, and their samples by name and labels."""

from __future__ import annotations

from uuid import UUID

from optiinfra.adapters.collectors.page import PageForm
from optiinfra.adapters.collectors.page_parser import PageParser
from optiinfra.adapters.collectors.reader import Reading, TargetReader
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.samples import SampleBatch

START_NS = 1_700_000_000 * 10**9
STEP_NS = 15 * 10**9
CUSTOMER = UUID(int=7)


def read_pages(
    *pages: str, step_ns: int = STEP_NS, form: PageForm = PageForm.TEXT
) -> list[Reading]:
    """Readings of pages of one target, `step_ns` apart."""
    parser, reader = PageParser(), TargetReader(Target(CUSTOMER, "t", "http://t/metrics"))
    return [
        reader.read(parser.parse(page.encode(), form), parser.table, START_NS + number * step_ns)
        for number, page in enumerate(pages)
    ]


def list_values(batch: SampleBatch, *labels: str) -> dict[str, float]:
    """Values by metric, followed by the values of some labels; `up` is left out."""
    values = {}
    for place, value in zip(batch.series_index, batch.value, strict=True):
        series = batch.series[place]
        if series.metric != "up":
            parts = [series.metric, *(series.find_label(label) or "" for label in labels)]
            values[" ".join(parts)] = float(value)
    assert len(values) == len(batch) - 1, "labels do not tell the series apart"
    return values
