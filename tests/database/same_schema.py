"""Whether a database still has the schema that the migrations made, without making it again."""

from __future__ import annotations

from functools import cache

from optiinfra.database.catalogue import Catalogue, read_catalogue
from optiinfra.database.engine import make_engine
from optiinfra.database.verification import compare_catalogue


@cache
def read_template(url: str) -> Catalogue:
    with make_engine(url, is_pooled=False).connect() as connection:
        return read_catalogue(connection)


def list_differences(url: str, template_url: str) -> list[str]:
    """Differences of a database from the one that tests are copied from."""
    with make_engine(url, is_pooled=False).connect() as connection:
        found = compare_catalogue(connection, read_template(template_url))
    return [str(difference) for difference in found]
