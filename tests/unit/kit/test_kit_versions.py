"""Semantic versions: what is one, and which comes first."""

from __future__ import annotations

import pytest

from optiinfra.kit.versions import is_version, parse_version


@pytest.mark.parametrize(
    "text", ["0.0.0", "1.2.3", "10.20.30", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-0A.is.legal-"]
)
def test_a_version(text: str) -> None:
    assert is_version(text)
    parse_version(text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0+build", "1.0.0 ",
     "1.0.0\n", "-1.0.0", "1.٢.0", "1.0.0-a..b", "1.0." + "9" * 300],
)  # fmt: skip
def test_no_version(text: str) -> None:
    assert not is_version(text)
    with pytest.raises(ValueError, match="is not a semantic version"):
        parse_version(text)


def test_a_number_that_begins_with_zero_is_read_and_not_written() -> None:
    assert not is_version("1.0.0-01")
    assert parse_version("1.0.0-01") == parse_version("1.0.0-1")


def test_the_order_is_that_of_semver() -> None:
    # https://semver.org, section 11, and numbers of several digits.
    order = [
        "1.0.0-2", "1.0.0-11", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
        "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.9.0", "1.10.0", "2.0.0",
    ]  # fmt: skip
    assert sorted(sorted(order), key=parse_version) == order
