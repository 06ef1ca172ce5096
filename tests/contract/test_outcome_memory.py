"""What every outcome memory promises, on each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optiinfra.domain.errors import InputError
from optiinfra.domain.memories import (
    Collection,
    ContextKind,
    CostKnowledge,
    CustomerContext,
    Memory,
    PerformancePattern,
)
from optiinfra.domain.situations import Situation
from optiinfra.ports.outcome_memory import Match, OutcomeMemory, Question, rank

pytestmark = pytest.mark.timeout(300)  # the first test starts the owner
NOW = datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC)
COST = Collection.COST_OPTIMIZATION_KNOWLEDGE
ACME, OTHER = UUID(int=1), UUID(int=2)
LLAMA = Situation(
    action="reduce_cost", model_family="llama", gpu="H100-SXM", request_rate_per_s=8, num_replicas=4
)


def make_memory(number: int, situation: Situation = LLAMA, **changes: Any) -> Memory:
    memory = Memory(
        id=UUID(int=1000 + number),
        customer_id=ACME,
        situation=situation,
        text=f"number {number}",
        known_at=NOW,
        detail=CostKnowledge("completed", 100.0, 80.5, None, None),
    )
    return replace(memory, **changes)


def ask(situation: Situation = LLAMA, **changes: Any) -> Question:
    values: dict[str, Any] = {"collection": COST, "customer_id": ACME, "as_of": NOW}
    return Question(situation=situation, **values | changes)


def get_numbers(matches: Sequence[Match]) -> list[int]:
    return [match.memory.id.int - 1000 for match in matches]


def test_a_memory_comes_back_as_it_was(memory: OutcomeMemory) -> None:
    known = [
        make_memory(1, text="é 🙂 \\u0000 fp8", is_simulated=True),
        make_memory(2, detail=PerformancePattern("rolled_back", 1.5, None, "r", "too slow")),
        make_memory(3, detail=CustomerContext(ContextKind.REJECTION.value, told_by="them")),
    ]
    memory.remember(known)
    for each in known:
        (match,) = memory.recall(ask(collection=each.collection))
        assert match.memory == each
        assert memory.count(each.collection, ACME) == 1


def test_the_nearest_comes_first_and_says_why(memory: OutcomeMemory) -> None:
    near = replace(LLAMA, request_rate_per_s=9.0)
    far = replace(LLAMA, request_rate_per_s=400.0, gpu="L4")
    memory.remember(
        [make_memory(1, far), make_memory(2, near), make_memory(3, Situation(gpu="L4"))]
    )
    matches = memory.recall(ask())
    assert get_numbers(matches) == [2, 1]
    first, second = matches
    assert first.similarity is not None
    assert first.similarity > 0.95
    for match in matches:
        assert sum(a.contribution for a in match.agreements) == pytest.approx(match.similarity)
        assert match.score == match.similarity
        assert match.text_ratio is None
    by_feature = {a.feature: a for a in second.agreements}
    assert (by_feature["gpu"].agreement, by_feature["gpu"].asked) == (0.0, "H100-SXM")
    assert by_feature["gpu"].remembered == "L4"
    assert by_feature["model_family"].agreement == 1.0
    rate = by_feature["request_rate_per_s"].agreement
    assert rate is not None
    assert rate < 0.3


def test_what_is_unknown_agrees_with_nothing_and_is_said_to_be(memory: OutcomeMemory) -> None:
    memory.remember([make_memory(1, Situation(model_family="llama")), make_memory(2)])
    matches = memory.recall(ask())
    assert get_numbers(matches) == [2, 1]
    unknown = [a.feature for a in matches[1].agreements if a.agreement is None]
    assert set(unknown) == {"action", "gpu", "request_rate_per_s", "num_replicas"}
    assert matches[0].similarity == pytest.approx(1.0)


def test_nothing_of_another_customer_is_found(memory: OutcomeMemory) -> None:
    memory.remember([make_memory(1), make_memory(1, customer_id=OTHER), make_memory(2)])
    assert sorted(get_numbers(memory.recall(ask()))) == [1, 2]
    assert get_numbers(memory.recall(ask(customer_id=OTHER))) == [1]
    assert memory.recall(ask(customer_id=UUID(int=3))) == []
    memory.forget_customer(ACME)
    assert memory.recall(ask()) == []
    assert memory.count(COST, ACME) == 0
    (match,) = memory.recall(ask(customer_id=OTHER))
    assert match.memory.customer_id == OTHER


def test_nothing_is_found_before_it_was_known(memory: OutcomeMemory) -> None:
    memory.remember([make_memory(1, known_at=NOW + timedelta(microseconds=1)), make_memory(2)])
    assert get_numbers(memory.recall(ask())) == [2]
    later = memory.recall(ask(as_of=NOW + timedelta(microseconds=1)))
    assert sorted(get_numbers(later)) == [1, 2]
    assert memory.recall(ask(as_of=NOW - timedelta(microseconds=1))) == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_versions_follow_each_other_in_whatever_order_they_come(
    memory: OutcomeMemory, order: tuple[int, ...]
) -> None:
    days = [timedelta(days=day) for day in (0, 1, 2)]
    versions = [make_memory(1, known_at=NOW + day, text=f"version {day.days}") for day in days]
    for number in order:
        memory.remember([versions[number]])
        memory.remember([versions[number]])
    assert memory.count(COST, ACME) == 3
    for version, day in zip(versions, days, strict=True):
        (match,) = memory.recall(ask(as_of=NOW + day + timedelta(hours=1)))
        assert match.memory == version


def test_words_find_what_features_do_not(memory: OutcomeMemory) -> None:
    memory.remember(
        [
            make_memory(1, text="Quantised to fp8; quality held."),
            make_memory(2, text="Fewer replicas at night; the morning peak was missed."),
            make_memory(3, text="Spot instances in two zones. Interruptions: none."),
        ]
    )
    assert get_numbers(memory.recall(ask(Situation(), text="spot interruptions"))) == [3]
    first = memory.recall(ask(text="was the MORNING peak a trouble?"))[0]
    assert get_numbers([first]) == [2]
    assert first.text_ratio == 1.0
    assert first.score == pytest.approx(1.0)
    assert memory.recall(ask(Situation(), text="nonsense")) == []
    # As many words of another customer as there may be: the answer stays the same.
    before = memory.recall(ask(text="fp8 peak"))
    others = [
        make_memory(n, customer_id=OTHER, text="fp8 fp8 peak quality") for n in range(100, 160)
    ]
    memory.remember(others)
    assert memory.recall(ask(text="fp8 peak")) == before


def test_it_keeps_to_a_category_that_is_asked_for(memory: OutcomeMemory) -> None:
    qwen = replace(LLAMA, model_family="qwen")
    memory.remember([make_memory(1), make_memory(2, qwen), make_memory(3, Situation(gpu="L4"))])
    assert get_numbers(memory.recall(ask(only={"model_family": "qwen"}))) == [2]
    assert get_numbers(memory.recall(ask(only={"model_family": "llama"}))) == [1]
    assert memory.recall(ask(only={"model_family": "qwen", "action": "restore_slo"})) == []


def test_a_late_question_is_answered_among_many_that_came_later(memory: OutcomeMemory) -> None:
    old = [make_memory(n, known_at=NOW - timedelta(days=1)) for n in range(3)]
    new = [make_memory(n, known_at=NOW + timedelta(days=1)) for n in range(10, 400)]
    memory.remember([*old, *new])
    assert sorted(get_numbers(memory.recall(ask()))) == [0, 1, 2]


def test_what_was_cleared_is_gone_and_can_be_made_again(memory: OutcomeMemory) -> None:
    memory.remember([make_memory(1)])
    memory.clear()
    assert memory.recall(ask()) == []
    memory.remember([make_memory(1)])
    assert get_numbers(memory.recall(ask())) == [1]


def test_what_may_not_be_asked_is_refused(memory: OutcomeMemory) -> None:
    with pytest.raises(InputError, match="501"):
        memory.remember([make_memory(1)] * 501)
    with pytest.raises(InputError, match="nothing is known"):
        ask(Situation(), text=" ")
    with pytest.raises(InputError, match="were asked for"):
        ask(limit=0)
    with pytest.raises(InputError, match="kept to"):
        ask(only={"gpu": "L4"})
    with pytest.raises(InputError, match="characters"):
        ask(text="x" * 8_001)
    with pytest.raises(ValueError, match="time zone"):
        ask(as_of=NOW.replace(tzinfo=None))


SHIFTS = count(1)
SITUATIONS = st.builds(
    Situation,
    action=st.sampled_from(["reduce_cost", "restore_slo"]),
    model_family=st.none() | st.sampled_from(["llama", "qwen"]),
    request_rate_per_s=st.none() | st.sampled_from([0.5, 2.0, 8.0, 300.0]),
)
TIMES = st.integers(-3, 3).map(lambda hours: NOW + timedelta(hours=hours))
MEMORIES = st.lists(
    st.builds(
        make_memory,
        st.integers(0, 6),
        SITUATIONS,
        customer_id=st.sampled_from([ACME, OTHER]),
        known_at=TIMES,
        text=st.sampled_from(["fp8 quality", "spot zones", "night replicas", ""]),
    ),
    max_size=25,
)
QUESTIONS = st.builds(
    ask,
    SITUATIONS,
    customer_id=st.sampled_from([ACME, OTHER, UUID(int=3)]),
    as_of=TIMES,
    text=st.sampled_from(["", "fp8", "spot night"]),
    only=st.sampled_from([{}, {"model_family": "llama"}]),
)


def find_visible(memories: Sequence[Memory], question: Question) -> list[Memory]:
    """By the letter: of each of the customer's memories the latest version known by then."""
    latest: dict[UUID, Memory] = {}
    for memory in memories:
        if memory.customer_id == question.customer_id and memory.known_at <= question.as_of:
            other = latest.get(memory.id)
            if other is None or other.known_at <= memory.known_at:
                latest[memory.id] = memory
    wanted = question.only.get("model_family")
    return [m for m in latest.values() if wanted is None or m.situation.model_family == wanted]


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(MEMORIES, st.lists(QUESTIONS, min_size=1, max_size=4))
def test_it_answers_as_one_who_looks_at_every_memory(
    memory: OutcomeMemory, memories: list[Memory], questions: list[Question]
) -> None:
    # Customers of its own for each example: making collections again takes seconds.
    shift = next(SHIFTS) << 64
    memories = [replace(m, customer_id=UUID(int=m.customer_id.int + shift)) for m in memories]
    memory.remember(memories)
    for asked in questions:
        question = replace(asked, customer_id=UUID(int=asked.customer_id.int + shift))
        found = memory.recall(question)
        assert found == rank(question, find_visible(memories, question))
        for match in found:
            assert match.memory.customer_id == question.customer_id
            assert match.memory.known_at <= question.as_of
