"""BM25 on hand-computed figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiinfra.kit.bm25 import MAX_WORDS, compute_scores, list_words, to_sparse


def test_words_are_folded_and_joined_ones_are_taken_apart_too() -> None:
    assert list_words("FP8, tp-2: Größe_x!") == ["fp8", "tp-2", "tp", "2", "grösse", "x"]
    assert list_words("... --") == []
    assert len(list_words("word " * 10_000)) == MAX_WORDS


def test_scores_on_hand_computed_figures() -> None:
    texts = ["spot spot zone", "spot night", "night"]
    # Three texts of 3, 2 and 1 words, 2 on average; "spot" is in two of them, "zone" in one.
    spot, zone = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    first = spot * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 1.5)) + zone * 2.2 / (
        1 + 1.2 * (0.25 + 0.75 * 1.5)
    )
    second = spot * 2.2 / (1 + 1.2)
    assert compute_scores("zone SPOT", texts) == pytest.approx([first, second, 0.0])
    assert compute_scores("", texts) == [0.0, 0.0, 0.0]
    assert compute_scores("spot", []) == []
    assert compute_scores("spot", [""]) == [0.0]


@given(st.text(max_size=50), st.lists(st.text(max_size=50), max_size=5))
def test_who_scores_shares_a_number_and_who_shares_none_scores_nothing(
    query: str, texts: list[str]
) -> None:
    numbers = set(to_sparse(query)[0])
    for text, score in zip(texts, compute_scores(query, texts), strict=True):
        assert score >= 0
        assert score == 0 or numbers & set(to_sparse(text)[0])


def test_numbers_ascend_and_are_32_bits() -> None:
    numbers, values = to_sparse("b a b c")
    assert numbers == sorted(numbers)
    assert len(numbers) == 3
    assert values == [1.0] * 3
    assert all(0 <= number < 1 << 32 for number in numbers)
