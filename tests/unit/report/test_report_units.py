from decimal import Decimal

import pytest

from optiinfra.report import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (float("inf"), "unknown"),
        (0.0, "0 ms"),
        (0.0244, "24.4 ms"),
        (0.42, "420 ms"),
        (1.0, "1 s"),
        (12.66, "12.7 s"),
        (3501.7, "58.4 minutes"),
        (8 * 86_400.0, "8 days"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert units.format_seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (Decimal("9.96"), "$9.96"),
        (Decimal("-2.49"), "\N{MINUS SIGN}$2.49"),
        (0.0123, "$0.0123"),
        (0.0, "$0.00"),
        (12_345.678, "$12,345.68"),
    ],
)
def test_money(value: float | Decimal | None, text: str) -> None:
    assert units.format_money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "unknown"), (1.0, "100%"), (0.99999, "99.99%"), (0.99, "99%"), (0.9973, "99.73%")],
)
def test_ratio_never_rounds_up_to_all(value: float | None, text: str) -> None:
    assert units.format_ratio(value) == text


def test_percent_rounds_down() -> None:
    assert units.format_percent(0.83) == "83%"
    assert units.format_percent(0.999) == "99%"


@pytest.mark.parametrize(
    ("metric", "name", "value", "text"),
    [
        ("ttft_s_p99", "TTFT p99", 0.5, "500 ms"),
        ("tpot_s_mean", "TPOT mean", 0.02, "20 ms"),
        ("slo_attainment_ratio", "SLO attainment", 0.995, "99.5%"),
        (
            "slo_attainment_ratio_one_lost",
            "SLO attainment with one replica lost",
            None,
            "unknown",
        ),
        ("kv_cache_usage_ratio_mean", "KV cache use mean", 0.25, "25%"),
        ("list_cost_usd_per_h", "List cost", 9.96, "$9.96/h"),
        ("goodput_per_s", "Goodput", 5.5, "5.5/s"),
        ("num_preemptions", "Num preemptions", 1234.0, "1,234"),
    ],
)
def test_metric_states_its_unit_by_name(
    metric: str, name: str, value: float | None, text: str
) -> None:
    assert units.describe_metric(metric) == name
    assert units.format_metric(metric, value) == text


def test_factor_is_a_change() -> None:
    assert units.format_factor(1.2) == "+20%"
    assert units.format_factor(0.8) == "\N{MINUS SIGN}20%"
