"""What every event bus promises, on each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import pytest

from optiinfra.domain.bus_events import RegressionDetected, UnknownEvent
from optiinfra.domain.enums import RegressionType
from optiinfra.domain.errors import InputError, NotFoundError
from optiinfra.ports.event_bus import (
    ALONE_AFTER,
    END,
    MAX_ATTEMPTS,
    MAX_BATCH,
    MAX_EVENT_BYTES,
    START,
    Delivery,
    Envelope,
    EventBus,
    GroupState,
    forward,
)

AT = datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
Make = Callable[[], EventBus]


def make_envelope(number: int, customer_id: UUID | None = None) -> Envelope:
    event = UnknownEvent("numbered", {"number": number})
    return Envelope(event, AT, customer_id, id=UUID(int=10_000 + number))


def publish(bus: EventBus, *numbers: int) -> None:
    bus.publish([make_envelope(number) for number in numbers])


def get_numbers(deliveries: Sequence[Delivery]) -> list[int]:
    events = [delivery.envelope.event for delivery in deliveries]
    return [event.data["number"] for event in events if isinstance(event, UnknownEvent)]


def get_positions(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.position for delivery in deliveries]


def test_what_was_published_is_read_as_it_was_and_in_order(
    bus: EventBus, customer_ids: tuple[UUID, UUID]
) -> None:
    odd = {
        "not a nul": "\\u0000",
        "text": 'é "quoted" \\ 🙂\n',
        "nested": {"list": [1, 2.5, None, True], "empty": {}},
    }
    typed = RegressionDetected(UUID(int=7), RegressionType.QUALITY_DROP)
    envelopes = [
        Envelope(typed, AT, customer_ids[0]),
        Envelope(UnknownEvent("from_a_newer_program", odd), AT, customer_ids[1]),
        Envelope(UnknownEvent("nobodys", {}), AT),
    ]
    bus.publish(envelopes)
    found = bus.read()
    assert [delivery.envelope for delivery in found] == envelopes
    assert [delivery.attempt for delivery in found] == [0, 0, 0]
    assert len(set(get_positions(found))) == 3


def test_an_event_published_again_under_its_id_is_one_event(bus: EventBus) -> None:
    publish(bus, 1, 2)
    publish(bus, 2, 3)
    assert get_numbers(bus.read()) == [1, 2, 3]
    publish(bus, 3, 1)
    assert get_numbers(bus.read()) == [1, 2, 3]


def test_a_batch_with_an_event_that_cannot_be_published_publishes_none(bus: EventBus) -> None:
    large = Envelope(UnknownEvent("large", {"text": "x" * MAX_EVENT_BYTES}), AT)
    infinite = Envelope(UnknownEvent("infinite", {"number": float("inf")}), AT)
    nul = Envelope(UnknownEvent("nul", {"text": "a\0b"}), AT)
    half = Envelope(UnknownEvent("half", {"text": "\ud800"}), AT)
    nameless = Envelope(UnknownEvent("", {}), AT)
    for bad in (large, infinite, nul, half, nameless):
        with pytest.raises(InputError):
            bus.publish([make_envelope(1), bad])
    with pytest.raises(InputError, match="1000"):
        bus.publish([make_envelope(number) for number in range(MAX_BATCH + 1)])
    assert bus.read() == []
    bus.publish([])


def test_reading_goes_on_behind_a_position(bus: EventBus) -> None:
    publish(bus, *range(10))
    first = bus.read(limit=4)
    second = bus.read(after=first[-1].position, limit=4)
    third = bus.read(after=second[-1].position, limit=4)
    assert get_numbers([*first, *second, *third]) == list(range(10))
    assert bus.read(after=third[-1].position) == []
    assert bus.read(after=END) == []


def test_a_group_begins_where_it_is_told_to(bus: EventBus) -> None:
    publish(bus, 1, 2, 3)
    middle = bus.read(limit=2)[-1].position
    for group, after in (("all", START), ("rest", middle), ("none", END)):
        assert bus.create_group(group, after=after)
    publish(bus, 4)
    assert get_numbers(bus.claim("all", "c")) == [1, 2, 3, 4]
    assert get_numbers(bus.claim("rest", "c")) == [3, 4]
    assert get_numbers(bus.claim("none", "c")) == [4]


def test_a_group_is_made_once_and_can_be_removed(bus: EventBus) -> None:
    publish(bus, 1)
    assert bus.create_group("g", after=START)
    assert not bus.create_group("g", after=END)
    assert get_numbers(bus.claim("g", "c")) == [1]
    assert bus.remove_group("g")
    assert not bus.remove_group("g")
    with pytest.raises(NotFoundError, match="no group 'g'"):
        bus.claim("g", "c")


def test_consumers_share_and_groups_do_not(bus: EventBus) -> None:
    bus.create_group("g")
    bus.create_group("h")
    publish(bus, *range(6))
    assert get_numbers(bus.claim("g", "a", limit=2)) == [0, 1]
    assert get_numbers(bus.claim("g", "b", limit=3)) == [2, 3, 4]
    assert get_numbers(bus.claim("g", "a", limit=9)) == [5]
    assert bus.claim("g", "b") == []
    assert get_numbers(bus.claim("h", "a")) == list(range(6))


def test_what_is_acknowledged_does_not_come_again(bus: EventBus) -> None:
    bus.create_group("g")
    publish(bus, 1, 2, 3)
    found = bus.claim("g", "a")
    assert bus.acknowledge("g", get_positions(found)[:2]) == 2
    assert bus.acknowledge("g", get_positions(found)[:2]) == 0
    assert bus.acknowledge("g", []) == 0
    again = bus.claim("g", "b", redeliver_after_s=0)
    assert [(delivery.attempt, *get_numbers([delivery])) for delivery in again] == [(2, 3)]
    assert bus.acknowledge("g", get_positions(again)) == 1
    assert bus.claim("g", "b", redeliver_after_s=0) == []


def test_a_claim_is_safe_until_its_time_is_over(bus: EventBus) -> None:
    bus.create_group("g")
    publish(bus, 1, 2)
    first = bus.claim("g", "a", limit=1)
    assert get_numbers(bus.claim("g", "b", redeliver_after_s=3600)) == [2]
    again = bus.claim("g", "b", redeliver_after_s=0)
    assert get_numbers(again) == [1, 2]
    assert bus.acknowledge("g", get_positions(first)) == 1, "late, but it was done"


def test_an_event_nobody_can_do_takes_no_others_with_it(bus: EventBus) -> None:
    bus.create_group("g")
    publish(bus, *range(4))
    poison, dead_after, sizes = 2, 0, []
    for _ in range(40):  # a consumer that does its events one by one and dies of the poison
        found = bus.claim("g", "c", redeliver_after_s=0)
        if not found:
            break
        sizes.append(len(found))
        for delivery in found:
            if get_numbers([delivery]) == [poison]:
                dead_after += 1
                break
            assert bus.acknowledge("g", [delivery.position]) == 1
    assert dead_after == MAX_ATTEMPTS
    assert bus.describe_group("g") == GroupState("g", num_waiting=0, num_claimed=0, num_dead=1)
    assert sizes[:ALONE_AFTER] == [4, 2]
    (dead,) = bus.list_dead("g")
    assert get_numbers([dead]) == [poison]
    assert dead.attempt == MAX_ATTEMPTS
    assert bus.drop_dead("g", [dead.position]) == 1
    assert bus.drop_dead("g", [dead.position]) == 0
    assert bus.list_dead("g") == []


def test_a_group_is_rewound_over_done_claimed_and_dead_events(bus: EventBus) -> None:
    bus.create_group("g")
    publish(bus, 1, 2, 3)
    found = bus.claim("g", "c")
    bus.acknowledge("g", get_positions(found)[:1])
    for _ in range(20):
        bus.claim("g", "c", redeliver_after_s=0)
    assert get_numbers(bus.list_dead("g")) == [2, 3]
    bus.rewind("g", after=found[0].position)
    again = bus.claim("g", "c")
    assert [(d.attempt, *get_numbers([d])) for d in again] == [(1, 2), (1, 3)]
    assert bus.list_dead("g") == []
    bus.rewind("g", after=START)
    assert get_numbers(bus.claim("g", "c")) == [1, 2, 3]
    assert bus.claim("g", "c") == []
    bus.rewind("g", after=START)
    bus.rewind("g", after=END)
    assert bus.claim("g", "c") == []
    publish(bus, 4)
    assert get_numbers(bus.claim("g", "c")) == [4]


def test_a_group_says_how_far_it_has_come(bus: EventBus) -> None:
    bus.create_group("g")
    publish(bus, *range(5))
    assert bus.describe_group("g") == GroupState("g", 5, 0, 0)
    found = bus.claim("g", "c", limit=3)
    assert bus.describe_group("g") == GroupState("g", 2, 3, 0)
    bus.acknowledge("g", get_positions(found)[1:])
    assert bus.describe_group("g") == GroupState("g", 2, 1, 0)


def test_pruning_keeps_what_somebody_has_still_to_do(bus: EventBus) -> None:
    publish(bus, *range(6))
    bus.create_group("g", after=START)
    assert bus.prune(before=LATER) == 0
    found = bus.claim("g", "c", limit=4)
    bus.acknowledge("g", get_positions(found)[:2])
    assert bus.prune(before=AT - timedelta(days=400)) == 0
    assert bus.prune(before=LATER) == 2
    assert get_numbers(bus.read()) == [2, 3, 4, 5]
    assert get_numbers(bus.claim("g", "c", redeliver_after_s=0)) == [2, 3]
    bus.acknowledge("g", get_positions(found))
    bus.acknowledge("g", get_positions(bus.claim("g", "c")))
    assert bus.prune(before=LATER) == 4
    assert bus.read() == []
    publish(bus, 7)
    assert get_numbers(bus.claim("g", "c")) == [7]


def test_who_waits_is_woken_by_a_publisher(bus: EventBus, make_bus: Make) -> None:
    bus.create_group("g")
    waiting = threading.Event()
    consumer = make_bus()

    def consume() -> list[Delivery]:
        waiting.set()
        return consumer.claim("g", "c", wait_s=60)

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(consume)
        assert waiting.wait(30)
        publish(bus, 1)
        assert get_numbers(found.result(timeout=30)) == [1]
    assert bus.claim("g", "c", wait_s=0.01) == []


def test_many_publish_and_many_consume_and_each_event_is_done_once(make_bus: Make) -> None:
    num, size = 20, 25
    bus = make_bus()
    bus.create_group("g")

    def produce(start: int) -> None:
        own = make_bus()
        numbers = iter(range(start, start + num * size))
        while batch := list(islice(numbers, size)):
            publish(own, *batch)

    def consume(name: str) -> list[int]:
        own, done = make_bus(), []
        while found := own.claim("g", name, limit=40, wait_s=2, redeliver_after_s=600):
            assert own.acknowledge("g", get_positions(found)) == len(found)
            done += get_numbers(found)
        return done

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(consume, name) for name in "ab"]
        for start in (0, num * size):
            pool.submit(produce, start)
        results = [future.result(timeout=90) for future in done]
    assert sorted(results[0] + results[1]) == list(range(2 * num * size))
    for result in results:
        for start in (0, num * size):  # a publisher's events come in its order
            own = [number for number in result if start <= number < start + num * size]
            assert own == sorted(own)


def test_events_are_carried_from_one_bus_to_another(bus: EventBus, redis_url: str) -> None:
    from optiinfra.adapters.redis_bus import RedisEventBus

    other = RedisEventBus(redis_url)
    if isinstance(bus, RedisEventBus):
        pytest.skip("it would be carried to itself")
    bus.create_group("relay")
    publish(bus, 1, 2)
    assert forward(bus, other, group="relay", consumer="c", limit=10) == 2
    bus.rewind("relay", after=START)  # as if it had died before it acknowledged
    assert forward(bus, other, group="relay", consumer="c", limit=10) == 2
    assert forward(bus, other, group="relay", consumer="c", limit=10) == 0
    assert get_numbers(other.read()) == [1, 2]
    assert [d.envelope for d in other.read()] == [d.envelope for d in bus.read()]
    other.close()


def test_an_unknown_group_is_named(bus: EventBus) -> None:
    calls: list[Callable[[], object]] = [
        lambda: bus.claim("nobody", "c"),
        lambda: bus.describe_group("nobody"),
        lambda: bus.list_dead("nobody"),
        lambda: bus.rewind("nobody", after=START),
    ]
    for num_events in (0, 1):
        publish(bus, *range(num_events))
        for call in calls:
            with pytest.raises(NotFoundError, match="no group 'nobody'"):
                call()
        assert bus.acknowledge("nobody", []) == 0


@pytest.mark.parametrize("position", ["", "x", "-1", "1-", "9" * 30, "٣"])
def test_a_position_of_another_bus_is_refused(bus: EventBus, position: str) -> None:
    bus.create_group("g")
    calls: list[Callable[[], object]] = [
        lambda: bus.read(after=position),
        lambda: bus.create_group("h", after=position),
        lambda: bus.rewind("g", after=position),
        lambda: bus.acknowledge("g", [position]),
        lambda: bus.drop_dead("g", [position]),
    ]
    for call in calls:
        with pytest.raises(InputError, match="no position"):
            call()


def test_what_may_not_be_asked_is_refused(bus: EventBus) -> None:
    bus.create_group("g")
    calls: list[Callable[[], object]] = [
        lambda: bus.create_group("a group"),
        lambda: bus.create_group("g" * 101),
        lambda: bus.claim("g", ""),
        lambda: bus.claim("g", "c", limit=0),
        lambda: bus.claim("g", "c", limit=MAX_BATCH + 1),
        lambda: bus.claim("g", "c", wait_s=61),
        lambda: bus.claim("g", "c", wait_s=float("nan")),
        lambda: bus.read(limit=0),
        lambda: bus.acknowledge("g", ["1"] * (MAX_BATCH + 1)),
    ]
    for call in calls:
        with pytest.raises(InputError):
            call()
