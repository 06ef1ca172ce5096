"""Many values in one parameter: a statement of one shape, however many rows it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Function, func, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

T = TypeVar("T")


def unnest(
    values: Sequence[T | None], kind: type[TypeEngine[Any]] | TypeEngine[Any]
) -> Function[T]:
    """A row for each value; several beside each other in one SELECT go in step."""
    return func.unnest(literal(list(values), ARRAY(kind)), type_=kind)
