"""We read and refuse what prometheus_client reads and refuses, but for what is listed."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.metric_pages import change_page, make_openmetrics_page, make_text_page
from tests.unit.adapters.collectors.listed_differences import has_listed_difference
from tests.unit.adapters.collectors.reference import Said, read_ours, read_reference

from optiinfra.adapters.collectors.page import PageError, PageForm
from optiinfra.adapters.collectors.page_parser import PageParser

MAKERS: dict[PageForm, Callable[[random.Random], str]] = {
    PageForm.TEXT: make_text_page,
    PageForm.OPENMETRICS: make_openmetrics_page,
}
NUM_SEEDS = 600


def read(text: str, form: PageForm) -> Said | None:
    parser = PageParser()
    try:
        page = parser.parse(text.encode(), form)
    except PageError:
        return None
    return read_ours(parser, page, form)


@pytest.mark.parametrize("form", PageForm)
def test_generated_pages(form: PageForm) -> None:
    num_read = 0
    for seed in range(NUM_SEEDS):
        page = MAKERS[form](random.Random(seed))
        expected = read_reference(page, form)
        assert read(page, form) == expected, page
        num_read += expected is not None
    assert num_read > 0.8 * NUM_SEEDS


@pytest.mark.parametrize("form", PageForm)
def test_changed_pages(form: PageForm) -> None:
    outcomes = {"read": 0, "refused": 0, "listed": 0}
    for seed in range(NUM_SEEDS):
        rng = random.Random(seed)
        made = MAKERS[form](rng)
        for _ in range(3):
            page = change_page(rng, made)
            if has_listed_difference(page, form):
                outcomes["listed"] += 1
                continue
            expected = read_reference(page, form)
            assert read(page, form) == expected, page
            outcomes["refused" if expected is None else "read"] += 1
    assert outcomes["refused"] > NUM_SEEDS / 2
    assert outcomes["read"] > NUM_SEEDS / 10
    assert outcomes["listed"] < 0.6 * NUM_SEEDS


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.sampled_from('{}",=\\ \t#\n_a1.:+-e'), max_size=40)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.sampled_from(list(PageForm)),
)
def test_any_text_is_read_or_refused_alike(text: str, form: PageForm) -> None:
    if not has_listed_difference(text, form) and '{"' not in text:
        assert read(text, form) == read_reference(text, form)
