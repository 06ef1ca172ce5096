"""The outcome memory: what happened the last times in a situation like this one.

It answers for one customer, with what had become known by an instant. It is made from PostgreSQL
and can be made again at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from optiinfra.domain.errors import InputError
from optiinfra.domain.memories import MAX_TEXT_LENGTH, Collection, Memory
from optiinfra.domain.situations import Agreement, Situation, compare, compute_similarities
from optiinfra.kit.bm25 import compute_scores
from optiinfra.kit.time import require_utc

MAX_LIMIT: Final = 100
MAX_BATCH: Final = 500
FILTERS: Final = ("action", "model_family")
TEXT_WEIGHT_RATIO: Final = 0.25  # of the score, where there are a situation and a text


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: for whom, as of when, and what it is like.

    `only` keeps to memories of a category that is the same, such as {"model_family": "llama"}.
    """

    collection: Collection
    customer_id: UUID
    as_of: datetime
    situation: Situation = field(default_factory=Situation)
    text: str = ""
    only: Mapping[str, str] = field(default_factory=dict)
    limit: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", require_utc(self.as_of))
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InputError(
                f"{self.limit} memories were asked for.", remedy=f"Ask for 1 to {MAX_LIMIT}."
            )
        if self.only.keys() - set(FILTERS):
            raise InputError(
                f"memories cannot be kept to {', '.join(self.only)}.",
                remedy=f"Use {' or '.join(FILTERS)}.",
            )
        if len(self.text) > MAX_TEXT_LENGTH:
            raise InputError(
                f"the question has {len(self.text)} characters.",
                remedy=f"At most {MAX_TEXT_LENGTH} are looked at: shorten it.",
            )
        if not self.situation.list_known() and not self.text.strip():
            raise InputError(
                "nothing is known of the situation that was asked for.",
                remedy="Give a feature of it, or words.",
            )


@dataclass(frozen=True, slots=True)
class Match:
    """A memory, and why it was found.

    `similarity` is the sum of the agreements' contributions, None where no feature was asked for;
    `text_ratio` is its BM25 over that of the best candidate, None where no text was.
    """

    memory: Memory
    score: float
    similarity: float | None
    agreements: tuple[Agreement, ...]
    text_ratio: float | None


class OutcomeMemory(Protocol):
    """See the module. Raises StoreError where the store does not answer."""

    def remember(self, memories: Sequence[Memory]) -> None:
        """Keep at most MAX_BATCH memories; safe to repeat, in any order."""

    def recall(self, question: Question) -> list[Match]:
        """The customer's memories that had become known by then, the best first."""

    def count(self, collection: Collection, customer_id: UUID) -> int:
        """All versions of a customer's memories."""

    def forget_customer(self, customer_id: UUID) -> None:
        """Everything of a customer, in all collections."""

    def clear(self) -> None:
        """Everything of everybody, before it is made again."""

    def close(self) -> None:
        """Give back what is held."""


def rank(question: Question, candidates: Sequence[Memory]) -> list[Match]:
    """The candidates by score, the best first; of equals the latest.

    Rarity of words is counted among the candidates, who are all the customer's own: what others
    wrote changes nothing.
    """
    is_asked = bool(question.situation.list_known())
    ratios: list[float | None] = [None] * len(candidates)
    if question.text.strip():
        scores = compute_scores(question.text, [memory.text for memory in candidates])
        best = max(scores, default=0.0)
        ratios = [score / best if best > 0 else 0.0 for score in scores]
    similarities: list[float | None] = [None] * len(candidates)
    if is_asked:
        situations = [memory.situation for memory in candidates]
        similarities = [*compute_similarities(question.situation, situations)]
    scored = [
        (_combine(similarity, ratio), similarity, ratio, memory)
        for memory, similarity, ratio in zip(candidates, similarities, ratios, strict=True)
    ]
    scored = [each for each in scored if each[0] > 0]
    scored.sort(key=lambda each: each[3].id)
    scored.sort(key=lambda each: (each[0], each[3].known_at), reverse=True)
    return [
        Match(memory, score, similarity, compare(question.situation, memory.situation), ratio)
        for score, similarity, ratio, memory in scored[: question.limit]
    ]


def _combine(similarity: float | None, text_ratio: float | None) -> float:
    if similarity is None or text_ratio is None:
        return similarity if similarity is not None else text_ratio or 0.0
    return (1 - TEXT_WEIGHT_RATIO) * similarity + TEXT_WEIGHT_RATIO * text_ratio
