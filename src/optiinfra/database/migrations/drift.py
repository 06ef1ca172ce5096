"""What models and a database can be compared by; partitions are checked by `verify`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PARTITION = re.compile(r"(resource_metrics|agent_metrics|events)_p_(first|\d{4}_\d{2})")


def is_modelled(name: str | None, kind: str, parents: Mapping[Any, str | None]) -> bool:
    """Whether Alembic shall look at this name: partitions are no tables of a model."""
    del parents
    return not (kind == "table" and PARTITION.fullmatch(name or ""))
