"""Pages of one target, read fast: what a page has in common with the one before is not read again.

Three ways, each falling back to the next. If all lines but for their values are those of the page
before, only the values are read. If a line begins as one that was seen, its series is looked up.
Anything else goes through the grammar, which alone decides what is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import repeat
from operator import itemgetter

import numpy as np

from optiinfra.adapters.collectors.openmetrics_page import OpenMetricsPage
from optiinfra.adapters.collectors.page import (
    Layout,
    Page,
    PageError,
    PageForm,
    PageProblem,
    SeriesName,
    make_layout,
)
from optiinfra.adapters.collectors.series_text import SeriesTable
from optiinfra.adapters.collectors.text_page import TextPage

MAX_SERIES = 200_000
_ODD = re.compile(r"[_\s]")  # float() takes what the formats refuse


class _Template:
    """A page of plain lines: what stands before the values, and the other lines whole."""

    def __init__(
        self, heads: tuple[str, ...], tails: tuple[str, ...], samples: list[int], layout: Layout
    ) -> None:
        self.heads = heads
        self.layout = layout
        self.pick_values = _make_picker(samples)
        is_sample = np.zeros(len(tails), np.bool_)
        is_sample[samples] = True
        self.pick_others = _make_picker(np.flatnonzero(~is_sample).tolist())
        self.others = self.pick_others(tails)


class PageParser:
    """Reads the pages of one target. `table` holds its series by number."""

    def __init__(self, *, max_series: int = MAX_SERIES) -> None:
        self.max_series = max_series
        self.table = SeriesTable(max_series)
        self._template: _Template | None = None
        self._layout: Layout | None = None

    @property
    def series(self) -> list[SeriesName]:
        """Names and labels, by the numbers in a layout's `series_index`."""
        return self.table.series

    def parse(self, content: bytes, form: PageForm) -> Page:
        """The samples of a page.

        A target that keeps naming new series has its table begun again when it is full; then the
        numbers of series change, which a caller sees by a new `table`.

        Raises:
            PageError: not UTF-8, not of the form, or more series than one page may have.
        """
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise PageError(
                f"byte {error.start} is not UTF-8.", reason=PageProblem.ENCODING, line=line
            ) from error
        try:
            return self._parse(text, form)
        except PageError as error:
            if error.reason != PageProblem.TOO_MANY_SERIES:
                raise
        self.forget()
        return self._parse(text, form)

    def forget(self) -> None:
        """Begin the table of series again."""
        self.table = SeriesTable(self.max_series)
        self._template = self._layout = None

    def _parse(self, text: str, form: PageForm) -> Page:
        lines = text.split("\n")
        if form == PageForm.OPENMETRICS:
            opened = OpenMetricsPage(self.table)
            opened.read(lines)
            return self._make_page(opened)
        heads: tuple[str, ...]
        tails: tuple[str, ...]
        heads, _, tails = zip(*map(str.rpartition, lines, repeat(" ")), strict=True)
        page = self._fill_template(heads, tails)
        if page is not None:
            return page
        plain = TextPage(self.table)
        plain.read(lines)
        page = self._make_page(plain)
        self._template = None
        if plain.is_plain and not plain.is_timed:
            self._template = _Template(heads, tails, plain.sample_lines, page.layout)
        return page

    def _fill_template(self, heads: tuple[str, ...], tails: tuple[str, ...]) -> Page | None:
        template = self._template
        if template is None or heads != template.heads:
            return None
        if template.pick_others(tails) != template.others:
            return None
        values = template.pick_values(tails)[:-1]
        if _ODD.search("".join(values)):
            return None
        try:
            numbers = np.fromiter(map(float, values), np.float64, len(values))
        except ValueError:
            return None
        return Page(template.layout, numbers, None)

    def _make_page(self, read: TextPage | OpenMetricsPage) -> Page:
        layout = make_layout(read.families, read.family, read.series)
        if self._layout is not None and layout.is_same(self._layout):
            layout = self._layout
        self._layout = layout
        timestamps = np.array(read.timestamp_ns, np.int64) if read.is_timed else None
        return Page(layout, np.array(read.value, np.float64), timestamps)


def _make_picker(places: list[int]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Takes the items at `places`, and the last one twice: one place alone would give no tuple."""
    if not places:
        return lambda _: ()
    picker: Callable[[tuple[str, ...]], tuple[str, ...]] = itemgetter(*places, places[-1])
    return picker
