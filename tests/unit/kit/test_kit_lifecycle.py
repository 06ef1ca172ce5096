from __future__ import annotations

from enum import StrEnum

import pytest

from optiinfra.kit.lifecycle import IllegalTransitionError, Lifecycle


class Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    BRICKED_UP = "bricked_up"


TABLE: dict[Door, frozenset[Door]] = {
    Door.OPEN: frozenset({Door.SHUT}),
    Door.SHUT: frozenset({Door.OPEN, Door.BRICKED_UP}),
    Door.BRICKED_UP: frozenset[Door](),
}


def test_allows_what_the_table_holds_and_nothing_else() -> None:
    door = Lifecycle(name="door", initial=Door.OPEN, table=TABLE)
    allowed = {(s, t) for s in Door for t in Door if door.allows(source=s, target=t)}
    assert allowed == {
        (Door.OPEN, Door.SHUT),
        (Door.SHUT, Door.OPEN),
        (Door.SHUT, Door.BRICKED_UP),
    }
    assert door.terminal == {Door.BRICKED_UP}


def test_check_names_the_change_it_refuses() -> None:
    door = Lifecycle(name="door", initial=Door.OPEN, table=TABLE)
    door.check(source=Door.OPEN, target=Door.SHUT)
    with pytest.raises(IllegalTransitionError, match="door: bricked_up -> open") as caught:
        door.check(source=Door.BRICKED_UP, target=Door.OPEN)
    assert (caught.value.source, caught.value.target) == (Door.BRICKED_UP, Door.OPEN)


def test_a_member_without_a_row_is_refused() -> None:
    table: dict[Door, frozenset[Door]] = {
        source: targets for source, targets in TABLE.items() if source is not Door.BRICKED_UP
    }
    with pytest.raises(ValueError, match="exactly one row"):
        Lifecycle(name="door", initial=Door.OPEN, table=table)


def test_a_member_that_cannot_be_reached_is_refused() -> None:
    table: dict[Door, frozenset[Door]] = {**TABLE, Door.SHUT: frozenset({Door.OPEN})}
    with pytest.raises(ValueError, match=r"bricked_up.* cannot be reached"):
        Lifecycle(name="door", initial=Door.OPEN, table=table)


def test_what_may_become_something() -> None:
    door = Lifecycle(name="door", initial=Door.OPEN, table=TABLE)
    assert door.list_sources(Door.SHUT) == (Door.OPEN,)
