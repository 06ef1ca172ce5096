"""Features of situations: agreement on hand-computed figures, and vectors that add it up."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiinfra.domain.errors import InputError
from optiinfra.domain.situations import (
    DIMENSIONS,
    ORDER,
    SCALES,
    VOCABULARIES,
    Situation,
    compare,
    compute_agreement,
    compute_fejer,
    compute_similarities,
    get_weight,
    read_situation,
    to_vector,
)

NUMBERS = {
    name: st.none() | st.floats(scale.low / 2 if scale.is_log else 0, scale.high * 2)
    for name, scale in SCALES.items()
}
WORDS = {name: st.none() | st.sampled_from(["spot", "vllm", "H100-SXM"]) for name in VOCABULARIES}
SITUATIONS = st.builds(Situation, **NUMBERS, **WORDS)


def test_agreement_on_hand_computed_figures() -> None:
    # From 16 to 131,072 are 13 octaves, so one octave is pi/13; F of that, by hand:
    d = math.pi / 13
    expected = (math.sin(3 * d) / (6 * math.sin(d / 2))) ** 2
    assert compute_agreement("prompt_tokens_mean", 512.0, 1024.0) == pytest.approx(expected)
    assert expected == pytest.approx(0.8407, abs=1e-4)
    assert compute_agreement("prompt_tokens_mean", 512.0, 512.0) == 1.0
    assert compute_agreement("prompt_tokens_mean", 16, 131_072) == pytest.approx(0, abs=1e-12)
    assert compute_agreement("prompt_tokens_mean", 1, 16) == 1.0, "beyond the scale is its end"
    assert compute_agreement("kv_cache_usage_ratio", 0.0, 0.5) == pytest.approx(1 / 18)
    assert compute_agreement("gpu", "L4", "L4") == 1.0
    assert compute_agreement("gpu", "L4", "L40S") == 0.0


@given(st.floats(0, math.pi))
def test_the_kernel_is_a_share_and_the_sum_that_it_is_said_to_be(angle: float) -> None:
    n = ORDER + 1
    series = (1 + 2 * sum((1 - k / n) * math.cos(k * angle) for k in range(1, n))) / n
    assert compute_fejer(angle) == pytest.approx(series, abs=1e-9)
    assert 0 <= compute_fejer(angle) <= 1 + 1e-12


@given(SITUATIONS, SITUATIONS)
def test_the_dot_product_is_the_sum_of_weight_times_agreement(
    one: Situation, other: Situation
) -> None:
    total = sum(get_weight(name) for name in one.list_known())
    assert compute_similarities(one, [other, one]) == pytest.approx(
        [sum(e.contribution for e in compare(one, each)) for each in (other, one)]
    )
    dot = math.fsum(a * b for a, b in zip(to_vector(one), to_vector(other), strict=True))
    similarity = sum(each.contribution for each in compare(one, other))
    # Words may share a coordinate; these three do not.
    assert dot == pytest.approx(similarity * total, abs=1e-9)
    assert len(to_vector(one)) == DIMENSIONS


@given(SITUATIONS)
def test_a_situation_agrees_with_itself(situation: Situation) -> None:
    agreements = compare(situation, situation)
    assert {each.feature for each in agreements} == situation.list_known().keys()
    if agreements:
        assert sum(each.contribution for each in agreements) == pytest.approx(1.0)
    assert read_situation(situation.list_known()) == situation


@given(SITUATIONS, SITUATIONS)
def test_what_is_unknown_on_one_side_adds_nothing(one: Situation, other: Situation) -> None:
    for each in compare(one, other):
        is_known = each.asked is not None and each.remembered is not None
        assert (each.agreement is not None) == is_known
        assert is_known or each.contribution == 0
    contributions = [each.contribution for each in compare(one, other)]
    assert contributions == sorted(contributions, reverse=True)


@pytest.mark.parametrize(
    "values",
    [
        {"request_rate_per_s": 0},
        {"request_rate_per_s": -1.0},
        {"request_rate_per_s": float("nan")},
        {"list_cost_usd_per_h": float("inf")},
        {"num_replicas": True},
        {"num_replicas": "4"},
        {"kv_cache_usage_ratio": -0.1},
        {"gpu": ""},
        {"gpu": "x" * 101},
        {"gpu": "a\nb"},
        {"gpu": 7},
    ],
)
def test_what_is_no_value_of_a_feature_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(values))):
        Situation(**values)
    with pytest.raises(InputError):
        read_situation(values | {"nonsense": 1})
