from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiinfra.kit.ids import get_id_range


@given(
    st.uuids(), st.integers(8, 32), st.sampled_from([str.upper, str.lower]), st.sampled_from("- ")
)
def test_a_prefix_holds_its_id_and_every_id_that_begins_so(
    id_: UUID, num_digits: int, case: type[str], filler: str
) -> None:
    prefix = id_.hex[:num_digits]
    typed = case(prefix[:8] + filler.strip() + prefix[8:])
    lowest, highest = get_id_range(typed)
    assert lowest <= id_ <= highest
    assert lowest.hex[:num_digits] == highest.hex[:num_digits] == prefix
    assert highest.int - lowest.int + 1 == 16 ** (32 - num_digits)


@pytest.mark.parametrize("text", ["", "1234567", "g2345678", "12345678 9", "0" * 33, "%_______"])
def test_what_is_no_prefix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hex digits"):
        get_id_range(text)
