"""What prometheus_client reads of a page, and what we read, in one form that can be compared."""

from __future__ import annotations

import math
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text

from optiinfra.adapters.collectors.page import (
    BAD_TIMESTAMP,
    MAX_TIMESTAMP_S,
    NO_TIMESTAMP,
    Page,
    PageForm,
)
from optiinfra.adapters.collectors.page_parser import PageParser

Sample = tuple[str, tuple[tuple[str, str], ...], str, int | None]
Said = list[tuple[str, str, str, str, list[Sample]]]


def read_reference(text: str, form: PageForm) -> Said | None:
    """Families and samples by prometheus_client; None where it refuses the page."""
    read = read_text if form == PageForm.TEXT else read_open
    try:
        families = list(read(text))
    except Exception:  # noqa: BLE001  it fails in many ways on what it does not expect
        return None
    return [
        (
            family.name,
            family.type,
            family.documentation,
            family.unit,
            [
                (
                    s.name,
                    tuple(sorted((s.labels or {}).items())),
                    _write(s.value),
                    _to_us(s.timestamp),
                )
                for s in family.samples
            ],
        )
        for family in families
    ]


def read_ours(parser: PageParser, page: Page, form: PageForm) -> Said:
    """The same of our page; counters of the text format are renamed as prometheus_client does."""
    samples: list[list[Sample]] = [[] for _ in page.layout.families]
    columns = (page.layout.family_index, page.layout.series_index, page.value)
    for place, (family, series, value) in enumerate(zip(*columns, strict=True)):
        ns = NO_TIMESTAMP if page.timestamp_ns is None else int(page.timestamp_ns[place])
        us = {NO_TIMESTAMP: None, BAD_TIMESTAMP: BAD_TIMESTAMP}.get(ns, round(ns / 1e3))
        name, labels = parser.series[series]
        samples[family].append((name, labels, _write(value), us))
    said: Said = []
    for family, own in zip(page.layout.families, samples, strict=True):
        name, rows = family.name, own
        if form == PageForm.TEXT and family.kind == "counter":
            if name.endswith("_total"):
                name = name.removesuffix("_total")
            else:
                rows = [(f"{row[0]}_total", *row[1:]) for row in own]
        said.append((name, family.kind, family.documentation, family.unit, rows))
    return said


def _write(value: Any) -> str:
    try:
        return "nan" if math.isnan(value) else repr(float(value))
    except OverflowError:
        return repr(math.inf if value > 0 else -math.inf)


def _to_us(timestamp: Any) -> int | None:
    """Microseconds, as far as prometheus_client's floats go."""
    if timestamp is None:
        return None
    if hasattr(timestamp, "nsec"):
        us = round((timestamp.sec * 10**9 + timestamp.nsec) / 1e3)
    else:
        us = round(timestamp * 1e6) if abs(timestamp) <= MAX_TIMESTAMP_S else BAD_TIMESTAMP
    return us if abs(us) <= MAX_TIMESTAMP_S * 1e6 else BAD_TIMESTAMP
