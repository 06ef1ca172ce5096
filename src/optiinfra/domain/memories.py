"""What is remembered: what was decided in a situation, and what came of it.

Three collections, each with a payload of its own. A memory says when it became known; nothing that
became known later may be used for a decision. What is told of the same thing later does not replace
it, but follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeAlias, get_args, get_type_hints
from uuid import UUID

from optiinfra.domain.errors import InputError
from optiinfra.domain.situations import Situation
from optiinfra.kit.time import require_utc

MAX_TEXT_LENGTH: Final = 8_000


class Collection(StrEnum):
    """What a memory is about."""

    COST_OPTIMIZATION_KNOWLEDGE = "cost_optimization_knowledge"  # what changes for cost brought
    PERFORMANCE_PATTERNS = "performance_patterns"  # what changes for speed brought
    CUSTOMER_CONTEXT = "customer_context"  # what a customer wants, forbids, was promised


class ContextKind(StrEnum):
    """What is told of a customer."""

    REJECTION = "rejection"  # of a recommendation, with the reason if one was given
    CONSTRAINT = "constraint"
    PREFERENCE = "preference"
    COMMITMENT = "commitment"  # of ours, such as an SLO
    INCIDENT = "incident"


@dataclass(frozen=True, slots=True)
class CostKnowledge:
    """What a change for cost was to bring and brought; None: unknown, as where nobody measured."""

    COLLECTION: ClassVar = Collection.COST_OPTIMIZATION_KNOWLEDGE

    status: str  # of the optimization: completed, failed or rolled_back
    predicted_savings_usd_per_month: float | None = None
    realised_savings_usd_per_month: float | None = None
    recommendation_id: str | None = None
    error: str | None = None

    @property
    def realised_ratio(self) -> float | None:
        """Realised over predicted; None where one is unknown or nothing was predicted."""
        predicted, realised = (
            self.predicted_savings_usd_per_month,
            self.realised_savings_usd_per_month,
        )
        if predicted is None or realised is None or predicted <= 0:
            return None
        return realised / predicted


@dataclass(frozen=True, slots=True)
class PerformancePattern:
    """What a change for speed did; improvements are performance after over before."""

    COLLECTION: ClassVar = Collection.PERFORMANCE_PATTERNS

    status: str
    predicted_improvement: float | None = None
    realised_improvement: float | None = None
    recommendation_id: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CustomerContext:
    """What is known of a customer beyond figures; the words are in the memory's text."""

    COLLECTION: ClassVar = Collection.CUSTOMER_CONTEXT

    kind: str  # a ContextKind
    told_by: str | None = None
    recommendation_id: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in set(ContextKind):
            raise InputError(
                f"{self.kind!r} is no kind of context.", remedy=f"Use {', '.join(ContextKind)}."
            )


Detail: TypeAlias = CostKnowledge | PerformancePattern | CustomerContext
DETAILS: Final[Mapping[Collection, type[Detail]]] = MappingProxyType(
    {kind.COLLECTION: kind for kind in (CostKnowledge, PerformancePattern, CustomerContext)}
)


@dataclass(frozen=True, slots=True)
class Memory:
    """One of a customer's memories; `id` is that of what it tells of, such as an optimization.

    A memory of the same id that became known later is its next version.
    """

    id: UUID
    customer_id: UUID
    situation: Situation
    text: str
    known_at: datetime
    detail: Detail
    is_simulated: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "known_at", require_utc(self.known_at))
        if len(self.text) > MAX_TEXT_LENGTH:
            raise InputError(
                f"the text of memory {self.id} has {len(self.text)} characters.",
                remedy=f"At most {MAX_TEXT_LENGTH} are kept: shorten it.",
            )

    @property
    def collection(self) -> Collection:
        """Where it is kept."""
        return self.detail.COLLECTION


def detail_to_document(detail: Detail) -> dict[str, Any]:
    """The payload of its collection; what is unknown is left out."""
    values = {field.name: getattr(detail, field.name) for field in fields(detail)}
    return {name: value for name, value in values.items() if value is not None}


def read_detail(collection: Collection, document: Mapping[str, Any]) -> Detail:
    """The payload as a value. Raises InputError for one that is not of the collection's form."""
    forms = _FORMS[collection]
    for name in document:
        allowed = forms.get(name, ())
        is_number = float in allowed and type(document[name]) is int
        if not is_number and type(document[name]) not in allowed:
            raise _make_error(collection, f"field {name!r} is not of its form")
    for name in _REQUIRED[collection]:
        if name not in document:
            raise _make_error(collection, f"field {name!r} is missing")
    return DETAILS[collection](**document)


def _read_forms(kind: type[Detail]) -> dict[str, tuple[type, ...]]:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    return {name: get_args(hints[name]) or (hints[name],) for name in names}


# Types that each field takes, and the fields that must be there; found out once.
_FORMS: Final = {collection: _read_forms(kind) for collection, kind in DETAILS.items()}
_REQUIRED: Final = {
    collection: [field.name for field in fields(kind) if field.default is MISSING]
    for collection, kind in DETAILS.items()
}


def _make_error(collection: Collection, why: str) -> InputError:
    return InputError(
        f"a memory of {collection.value} cannot be read: {why}.",
        remedy="Make the memory again: `optiinfra memory rebuild`.",
    )
