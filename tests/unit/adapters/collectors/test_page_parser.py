"""Pages by hand, the three ways of reading, and what is refused with its line."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.metric_pages import make_openmetrics_page, make_text_page
from tests.unit.adapters.collectors.reference import Said, read_ours

from optiinfra.adapters.collectors.page import (
    BAD_TIMESTAMP,
    NO_TIMESTAMP,
    Family,
    Page,
    PageError,
    PageForm,
    PageProblem,
)
from optiinfra.adapters.collectors.page_parser import PageParser

PAGE = """\
# HELP vllm:num_requests_running Requests in the batch.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m \\"x\\""} 3
vllm:num_requests_running{model_name="n",engine="1"} 4.5

# TYPE ttft histogram
ttft_bucket{le="0.1"} 1
ttft_bucket{le="+Inf"} 2
ttft_sum 0.25
ttft_count 2
process_start 1e9
"""


def parse(text: str, form: PageForm = PageForm.TEXT) -> tuple[PageParser, Page]:
    parser = PageParser()
    return parser, parser.parse(text.encode(), form)


def refuse(text: str, form: PageForm = PageForm.TEXT) -> PageError:
    with pytest.raises(PageError) as caught:
        parse(text, form)
    return caught.value


def read_or_refuse(parser: PageParser, page: str, form: PageForm) -> Said | str:
    try:
        return read_ours(parser, parser.parse(page.encode(), form), form)
    except PageError as error:
        return str(error)


def test_a_page_by_hand() -> None:
    parser, page = parse(PAGE)
    assert page.layout.families == (
        Family("vllm:num_requests_running", "gauge", "Requests in the batch.", ""),
        Family("ttft", "histogram", "", ""),
        Family("process_start", "unknown", "", ""),
    )
    assert page.layout.family_index.tolist() == [0, 0, 1, 1, 1, 1, 2]
    assert page.value.tolist() == [3, 4.5, 1, 2, 0.25, 2, 1e9]
    assert page.timestamp_ns is None
    names = [parser.series[number] for number in page.layout.series_index]
    assert names[0].labels == (("engine", "0"), ("model_name", 'm "x"'))
    assert names[1].labels == (("engine", "1"), ("model_name", "n"))
    assert [name.name for name in names[4:]] == ["ttft_sum", "ttft_count", "process_start"]


def test_the_same_lines_with_other_values_share_a_layout() -> None:
    parser, first = parse(PAGE)
    second = parser.parse(
        PAGE.replace(" 4.5", " NaN").replace(" 1e9", " -7").encode(), PageForm.TEXT
    )
    assert second.layout is first.layout
    assert np.isnan(second.value[1])
    assert second.value[-1] == -7


@pytest.mark.parametrize("value", ["1_0", "", "x", "1 2 3", "0x1"])
def test_a_known_line_with_a_bad_value_is_refused_with_its_number(value: str) -> None:
    parser, _ = parse(PAGE)
    with pytest.raises(PageError) as caught:
        parser.parse(PAGE.replace(" 4.5", f" {value}").encode(), PageForm.TEXT)
    assert caught.value.line == 4
    assert caught.value.reason == PageProblem.SYNTAX
    assert parser.parse(PAGE.encode(), PageForm.TEXT).value[1] == 4.5


def test_a_changed_comment_is_seen() -> None:
    parser, _ = parse(PAGE)
    page = parser.parse(
        PAGE.replace("TYPE ttft histogram", "TYPE ttft summary").encode(), PageForm.TEXT
    )
    assert page.layout.families[1].kind == "summary"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(list(PageForm)), st.integers(0, 3))
def test_a_parser_that_saw_other_pages_reads_as_a_new_one(
    seed: int, form: PageForm, num_before: int
) -> None:
    make = make_text_page if form == PageForm.TEXT else make_openmetrics_page
    rng = random.Random(seed)
    before = [make(rng) for _ in range(num_before)]
    lines = make(rng).split("\n")
    pages = [*before, "\n".join(lines), "\n".join(line.replace(" 1", " 2") for line in lines)]
    warm = PageParser()
    for page in pages:
        assert read_or_refuse(warm, page, form) == read_or_refuse(PageParser(), page, form)


def test_timestamps_are_exact() -> None:
    _, page = parse("a 1 1700000000123\nb 1\nc 1 NaN\nd 1 1e300\ne 1 0.5\n")
    assert page.timestamp_ns is not None
    assert page.timestamp_ns.tolist() == [
        1_700_000_000_123_000_000, NO_TIMESTAMP, BAD_TIMESTAMP, BAD_TIMESTAMP, 500_000,
    ]  # fmt: skip
    _, page = parse("a 1 1700000000.123456789\nb 1 -0.5\n# EOF\n", PageForm.OPENMETRICS)
    assert page.timestamp_ns is not None
    assert page.timestamp_ns.tolist() == [1_700_000_000_123_456_789, -500_000_000]


def test_repeats_are_marked() -> None:
    _, page = parse('a{b="1",c="2"} 1\na{c="2",b="1"} 2\na 3\n')
    assert page.layout.is_repeat.tolist() == [False, True, False]


def test_quoted_names() -> None:
    parser, page = parse('{"my.metric","a.b"="c"} 1\n# TYPE "my.metric" gauge\n{"my.metric"} 2\n')
    assert [parser.series[i] for i in page.layout.series_index] == [
        ("my.metric", (("a.b", "c"),)),
        ("my.metric", ()),
    ]
    assert page.layout.families[1].kind == "gauge"


def test_bytes_that_are_not_utf8_are_refused_with_their_line() -> None:
    with pytest.raises(PageError) as caught:
        PageParser().parse(b"a 1\nb 2\nc\xff 3\n", PageForm.TEXT)
    assert (caught.value.reason, caught.value.line) == (PageProblem.ENCODING, 3)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a 1\nb{x=1} 2\n", 2),
        ('a{b="1" 2\n', 1),
        ('a{b="1",b="2"} 2\n', 1),
        ('a{__x="1"} 2\n', 1),
        ("# TYPE a\n", 1),
        ('a 1 # {b="c"} 2\n', 1),
        ('a b{c="d"} 1\n', 1),
    ],
)
def test_lines_that_the_text_format_does_not_allow(text: str, line: int) -> None:
    error = refuse(text)
    assert (error.reason, error.line) == (PageProblem.SYNTAX, line)


@pytest.mark.parametrize(
    "lines",
    [
        '# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1',
        '# TYPE a histogram\na_bucket{le="1"} 2',
        "# TYPE a counter\na_total -1",
        "# TYPE a counter\na_total NaN",
        "# TYPE a info\na_info 2",
        '# TYPE a stateset\na{a="x"} 2',
        "a 1\nb 1\na 2",
        "# UNIT a seconds\na 1",
        "# TYPE a counter\n# TYPE a_total gauge",
    ],
)
def test_families_that_openmetrics_does_not_allow(lines: str) -> None:
    assert refuse(f"{lines}\n# EOF\n", PageForm.OPENMETRICS).reason == PageProblem.MEANING


def test_ever_new_series_begin_the_table_again_and_one_page_has_a_limit() -> None:
    parser = PageParser(max_series=10)
    for scrape in range(100):
        page = parser.parse(
            "".join(f'a{{n="{scrape}-{i}"}} {i}\n' for i in range(6)).encode(), PageForm.TEXT
        )
        assert page.value.tolist() == [0, 1, 2, 3, 4, 5]
        assert len(parser.series) <= 10
        assert len(parser.table.by_text) <= 20
    with pytest.raises(PageError) as caught:
        parser.parse("".join(f'a{{n="{i}"}} 1\n' for i in range(11)).encode(), PageForm.TEXT)
    assert caught.value.reason == PageProblem.TOO_MANY_SERIES
    assert parser.parse(b"a 1\n", PageForm.TEXT).value.tolist() == [1]
