"""Two catalogues against each other: the live one, and one of a schema made now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from optiinfra.database.catalogue import Catalogue, Item
from optiinfra.database.verification.difference import NONE, Difference, make_existence
from optiinfra.database.verification.partitions import check_partitions
from optiinfra.database.verification.server import check_server

WHOLES = ("table", "view", "sequence", "function", "schema", "enum", "type")
Items = Mapping[tuple[str, str], Item]


def compare_catalogues(expected: Catalogue, live: Catalogue) -> list[Difference]:
    """Every difference of the live one, in order."""
    differences = {
        *compare_items(expected.items, live.items),
        *check_partitions(expected, live),
        *check_server(expected, live),
    }
    if expected.revisions != live.revisions:
        differences.add(
            Difference(
                "schema",
                "revision",
                "number",
                expected=" and ".join(expected.revisions) or NONE,
                found=" and ".join(live.revisions) or NONE,
            )
        )
    return sorted(differences)


def compare_items(expected: Items, live: Items) -> Iterator[Difference]:
    """What is too many, too few or another."""
    for kind, name in sorted(expected.keys() | live.keys()):
        wanted, found = expected.get((kind, name)), live.get((kind, name))
        if wanted is not None and found is not None:
            for facet in sorted(wanted.facets.keys() | found.facets.keys()):
                values = wanted.facets.get(facet, NONE), found.facets.get(facet, NONE)
                if values[0] != values[1]:
                    yield Difference(kind, name, facet, expected=values[0], found=values[1])
            continue
        present = wanted or found
        assert present is not None, "a key comes from one of the two"  # noqa: S101
        # A table too many or too few says it all; what belongs to it says nothing more.
        other = live if found is None else expected
        is_part = present.part_of and kind not in WHOLES
        if is_part and not any((whole, present.part_of) in other for whole in WHOLES):
            continue
        yield make_existence(kind, name, is_expected=wanted is not None)
