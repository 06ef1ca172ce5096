"""What happened, as typed values for the event bus, and their form in JSON.

The names and documents are those of the rows of `events`. An event of a type that is not known
here, or whose document does not fit its type (a newer program wrote it), is kept whole as
UnknownEvent and passed on as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeAlias, get_args, get_origin, get_type_hints
from uuid import UUID

from optiinfra.domain.enums import (
    CustomerStatus,
    OptimizationStatus,
    RecommendationStatus,
    RegressionAction,
    RegressionType,
)

# The name in JSON where Python has that word for itself.
_KEYS: Final = MappingProxyType({"source": "from", "target": "to"})


@dataclass(frozen=True, slots=True)
class AnalysisCompleted:
    """`optiinfra analyze` stored its answer."""

    NAMES: ClassVar = ("analysis_completed",)

    workflow_execution_id: UUID
    recommendations: tuple[UUID, ...]

    def get_name(self) -> str:
        """The event's type."""
        return self.NAMES[0]


@dataclass(frozen=True, slots=True)
class RecommendationCreated:
    """An agent proposed something, and in which analysis."""

    NAMES: ClassVar = ("recommendation_created",)

    recommendation_id: UUID
    evidence_digest: str
    analysis_execution_id: UUID | None = None

    def get_name(self) -> str:
        """The event's type."""
        return self.NAMES[0]


@dataclass(frozen=True, slots=True)
class RecommendationMoved:
    """A recommendation changed its status; who decided, and why, where a person did."""

    NAMES: ClassVar = tuple(f"recommendation_{status.value}" for status in RecommendationStatus)

    recommendation_id: UUID
    source: RecommendationStatus
    target: RecommendationStatus
    evidence_digest: str | None = None
    by: str | None = None
    comment: str | None = None

    def get_name(self) -> str:
        """The event's type: what it became."""
        return f"recommendation_{self.target.value}"


@dataclass(frozen=True, slots=True)
class OptimizationMoved:
    """An optimization was queued (`source` is None then) or changed its status."""

    NAMES: ClassVar = tuple(f"optimization_{status.value}" for status in OptimizationStatus)

    optimization_id: UUID
    recommendation_id: UUID
    source: OptimizationStatus | None
    target: OptimizationStatus
    evidence_digest: str | None = None

    def get_name(self) -> str:
        """The event's type: what it became."""
        return f"optimization_{self.target.value}"


@dataclass(frozen=True, slots=True)
class CustomerMoved:
    """A customer's account changed its status."""

    NAMES: ClassVar = tuple(f"customer_{status.value}" for status in CustomerStatus)

    source: CustomerStatus
    target: CustomerStatus
    by: str | None = None

    def get_name(self) -> str:
        """The event's type: what it became."""
        return f"customer_{self.target.value}"


@dataclass(frozen=True, slots=True)
class RegressionDetected:
    """Quality fell against its baseline."""

    NAMES: ClassVar = ("quality_regression_detected",)

    regression_id: UUID
    type: RegressionType

    def get_name(self) -> str:
        """The event's type."""
        return self.NAMES[0]


@dataclass(frozen=True, slots=True)
class RegressionResolved:
    """A regression of quality was put right."""

    NAMES: ClassVar = ("quality_regression_resolved",)

    regression_id: UUID
    action: RegressionAction

    def get_name(self) -> str:
        """The event's type."""
        return self.NAMES[0]


@dataclass(frozen=True, slots=True)
class OutcomeRecorded:
    """What a change really did is known; `memory_id` finds it in the outcome memory."""

    NAMES: ClassVar = ("outcome_recorded",)

    optimization_id: UUID
    memory_id: UUID

    def get_name(self) -> str:
        """The event's type."""
        return self.NAMES[0]


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event of another program, whole; `reason` says why it has no type here."""

    name: str
    data: Mapping[str, Any]
    reason: str = "its type is not known here"

    def get_name(self) -> str:
        """The event's type, as it came."""
        return self.name


KnownEvent: TypeAlias = (
    AnalysisCompleted
    | RecommendationCreated
    | RecommendationMoved
    | OptimizationMoved
    | CustomerMoved
    | RegressionDetected
    | RegressionResolved
    | OutcomeRecorded
)
BusEvent: TypeAlias = KnownEvent | UnknownEvent
EVENT_TYPES: Final[tuple[type[KnownEvent], ...]] = (
    AnalysisCompleted,
    RecommendationCreated,
    RecommendationMoved,
    OptimizationMoved,
    CustomerMoved,
    RegressionDetected,
    RegressionResolved,
    OutcomeRecorded,
)
TYPE_BY_NAME: Final = MappingProxyType({name: kind for kind in EVENT_TYPES for name in kind.NAMES})


def to_document(event: BusEvent) -> dict[str, Any]:
    """The event's fields as JSON; None where a field may be left out is left out."""
    if isinstance(event, UnknownEvent):
        return dict(event.data)
    document = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if value is not None or field.name not in _OPTIONAL[type(event)]:
            document[_KEYS.get(field.name, field.name)] = _to_json(value)
    return document


def from_document(name: str, data: Mapping[str, Any]) -> BusEvent:
    """The typed event, or UnknownEvent with the reason; never an error for what others wrote."""
    kind = TYPE_BY_NAME.get(name)
    if kind is None:
        return UnknownEvent(name, data)
    readers = _READERS[kind]
    surplus = sorted(data.keys() - {_KEYS.get(key, key) for key in readers})
    if surplus:
        return UnknownEvent(name, data, f"it has a field that its type has not: {surplus[0]}")
    values = {}
    for key, read in readers.items():
        written = _KEYS.get(key, key)
        if written not in data:
            if key in _OPTIONAL[kind]:
                continue
            return UnknownEvent(name, data, f"it lacks the field {written}")
        try:
            values[key] = read(data[written])
        except (TypeError, ValueError):
            return UnknownEvent(name, data, f"its field {written} does not fit")
    event = kind(**values)
    if event.get_name() != name:
        return UnknownEvent(name, data, f"its fields say {event.get_name()}")
    return event


def _to_json(value: object) -> Any:
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return str(value) if isinstance(value, UUID) else value  # an enum of text is its value


def _make_reader(hint: Any) -> Callable[[Any], Any]:
    """What reads a JSON value as that type. Raises TypeError or ValueError for any other."""
    args: tuple[Any, ...] = get_args(hint)
    if type(None) in args:
        (inner,) = (arg for arg in args if arg is not type(None))
        read = _make_reader(inner)
        return lambda value: None if value is None else read(value)
    if get_origin(hint) is tuple:
        read_item = _make_reader(args[0])
        return lambda value: tuple(read_item(item) for item in _require(list, value))
    return lambda value: hint(_require(str, value))  # text, UUIDs and enums of text


def _require(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(type(value).__name__)
    return value


def _make_readers(kind: type[KnownEvent]) -> dict[str, Callable[[Any], Any]]:
    hints = get_type_hints(kind)
    return {field.name: _make_reader(hints[field.name]) for field in fields(kind)}


_READERS: Final = {kind: _make_readers(kind) for kind in EVENT_TYPES}
# Fields that have a default: they may be missing.
_OPTIONAL: Final = {
    kind: frozenset(field.name for field in fields(kind) if field.default is not MISSING)
    for kind in EVENT_TYPES
}
