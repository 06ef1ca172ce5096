"""What a live database consists of, as PostgreSQL's own catalogue states it."""

from __future__ import annotations

from optiinfra.database.catalogue.reading import (
    DEFAULT_BOUNDS,
    Catalogue,
    Item,
    Partition,
    read_catalogue,
    read_items,
)
from optiinfra.database.catalogue.server import OUR_ROLES, list_roles

__all__ = [
    "DEFAULT_BOUNDS",
    "OUR_ROLES",
    "Catalogue",
    "Item",
    "Partition",
    "list_roles",
    "read_catalogue",
    "read_items",
]
