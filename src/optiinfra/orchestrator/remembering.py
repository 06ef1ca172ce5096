"""From the records of what was decided and done to memories, and the memory made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from optiinfra.domain.enums import AgentType, OptimizationStatus
from optiinfra.domain.memories import (
    MAX_TEXT_LENGTH,
    ContextKind,
    CostKnowledge,
    CustomerContext,
    Detail,
    Memory,
    PerformancePattern,
)
from optiinfra.domain.situations import MAX_CATEGORY_LENGTH, SCALES, Situation
from optiinfra.ports.outcome_memory import MAX_BATCH, OutcomeMemory

if TYPE_CHECKING:
    from optiinfra.database.engine import Database
    from optiinfra.database.repositories.outcomes import EndedOptimization, RejectedRecommendation

SIMULATED_KEY: Final = "is_simulated"  # on the data of rows that seeds made


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many memories of each collection were made."""

    num_memories: dict[str, int]


def rebuild(database: Database, memory: OutcomeMemory) -> Rebuilt:
    """Clear the memory and make it again from one snapshot of the records."""
    from optiinfra.database.repositories.outcomes import Outcomes

    memory.clear()
    counts: dict[str, int] = {}
    with database.reading() as session:
        outcomes = Outcomes(session)
        for batch in _batch(_walk(outcomes.walk_ended(), outcomes.walk_rejected())):
            memory.remember(batch)
            for each in batch:
                counts[each.collection.value] = counts.get(each.collection.value, 0) + 1
    return Rebuilt(counts)


def make_memories(ended: EndedOptimization) -> list[Memory]:
    """What became known of an optimization, a version for each time at which something did.

    One that was completed and rolled back later was, in between, one that had been completed.
    """
    versions = []
    if ended.completed_at is not None and (
        ended.rolled_back_at is None or ended.completed_at < ended.rolled_back_at
    ):
        is_last = ended.rolled_back_at is None
        status = ended.status if is_last else OptimizationStatus.COMPLETED
        versions.append((ended.completed_at, status, is_last))
    if ended.rolled_back_at is not None:
        versions.append((ended.rolled_back_at, ended.status, True))
    texts = (ended.title, ended.description)
    return [
        Memory(
            id=ended.id,
            customer_id=ended.customer_id,
            situation=read_recommendation(ended.action, ended.data),
            text=_join(*texts, ended.error if is_last else None),
            known_at=known_at,
            detail=_make_detail(ended, status, is_last=is_last),
            is_simulated=bool(ended.data.get(SIMULATED_KEY)),
        )
        for known_at, status, is_last in versions
    ]


def make_rejection(rejected: RejectedRecommendation) -> Memory:
    """What a customer did not want."""
    return Memory(
        id=rejected.id,
        customer_id=rejected.customer_id,
        situation=read_recommendation(rejected.action, rejected.data),
        text=_join(rejected.title, rejected.comment),
        known_at=rejected.decided_at,
        detail=CustomerContext(
            kind=ContextKind.REJECTION.value,
            told_by=rejected.decided_by,
            recommendation_id=str(rejected.recommendation_id),
        ),
        is_simulated=bool(rejected.data.get(SIMULATED_KEY)),
    )


def read_recommendation(action: str, data: Mapping[str, Any]) -> Situation:
    """The situation of a stored recommendation; whatever its document does not say is unknown."""
    document = _get(data, "recommendation")
    before, after = _get(document, "before"), _get(document, "after")
    old, new = _get(before, "configuration"), _get(after, "configuration")
    arguments, service = _get(old, "arguments"), _get(before, "service")
    values: dict[str, Any] = {
        "action": action,
        "model_family": _get_word(data, "model_family"),
        "gpu": _get_word(old, "gpu"),
        "gpu_after": _get_word(new, "gpu"),
        "engine": _get_word(arguments, "engine"),
        "purchase_option": _get_word(_get(old, "offer"), "purchase_option"),
        "purchase_option_after": _get_word(_get(new, "offer"), "purchase_option"),
        "num_replicas": _get_number(old, "num_replicas"),
        "tensor_parallel_size": _get_number(arguments, "tensor_parallel_size"),
        "kv_cache_usage_ratio": _get_number(service, "kv_cache_usage_ratio_mean"),
        "slo_attainment_ratio": _get_number(service, "slo_attainment_ratio"),
        "list_cost_usd_per_h": _get_number(old, "list_cost_usd_per_h"),
        "replicas_factor": _divide(new, old, "num_replicas"),
        "list_cost_factor": _divide(new, old, "list_cost_usd_per_h"),
    }
    for name, scale in SCALES.items():
        value = values.get(name)
        if value is not None and (value < 0 or (scale.is_log and value == 0)):
            values[name] = None
    return Situation(**values)


def _walk(
    ended: Iterable[EndedOptimization], rejected: Iterable[RejectedRecommendation]
) -> Iterator[Memory]:
    for one in ended:
        yield from make_memories(one)
    for other in rejected:
        yield make_rejection(other)


def _batch(memories: Iterator[Memory]) -> Iterator[list[Memory]]:
    while batch := list(islice(memories, MAX_BATCH)):
        yield batch


def _make_detail(ended: EndedOptimization, status: OptimizationStatus, *, is_last: bool) -> Detail:
    recommendation_id = str(ended.recommendation_id)
    error = ended.error if is_last else None
    if ended.agent_type is AgentType.PERFORMANCE:
        return PerformancePattern(
            status=status.value,
            predicted_improvement=_to_float(ended.estimated_improvement),
            realised_improvement=_to_float(ended.actual_improvement) if is_last else None,
            recommendation_id=recommendation_id,
            error=error,
        )
    return CostKnowledge(
        status=status.value,
        predicted_savings_usd_per_month=_to_float(ended.estimated_savings),
        realised_savings_usd_per_month=_to_float(ended.actual_savings) if is_last else None,
        recommendation_id=recommendation_id,
        error=error,
    )


def _join(*texts: str | None) -> str:
    return "\n".join(text for text in texts if text)[:MAX_TEXT_LENGTH]


def _get(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def _get_word(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    is_word = isinstance(value, str) and 0 < len(value) <= MAX_CATEGORY_LENGTH
    return value if is_word and value.isprintable() else None  # type: ignore[union-attr]


def _get_number(document: Mapping[str, Any], key: str) -> float | None:
    """Numbers, and money, which JSON carries as text."""
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _divide(over: Mapping[str, Any], under: Mapping[str, Any], key: str) -> float | None:
    one, other = _get_number(over, key), _get_number(under, key)
    return one / other if one is not None and other else None


def _to_float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
