"""The event bus in PostgreSQL: with the transaction, in order, and past whoever is in the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from tests.factories.core import NOW, make_agent, make_customer
from tests.fixtures_database import run_admin

from optiinfra.database.engine import Database, Role
from optiinfra.database.event_bus import PostgresEventBus, _claim
from optiinfra.database.event_statements import NUMBERING, TAKE_TURN
from optiinfra.database.listening import Listener
from optiinfra.database.repositories import EventOutbox, Events
from optiinfra.database.transfer import purge_customer
from optiinfra.domain.bus_events import RecommendationMoved, UnknownEvent
from optiinfra.domain.enums import RecommendationStatus
from optiinfra.domain.errors import ConstraintError, DatabaseError
from optiinfra.ports.event_bus import START, Delivery, Envelope, EventBus


@pytest.fixture
def bus(fresh_url: str) -> Iterator[EventBus]:
    bus = PostgresEventBus(fresh_url)
    yield bus
    bus.close()


def make_envelope(name: str, customer_id: UUID | None = None) -> Envelope:
    return Envelope(UnknownEvent(name, {}), NOW, customer_id)


def get_names(deliveries: list[Delivery]) -> list[str]:
    return [delivery.envelope.event.get_name() for delivery in deliveries]


def test_a_transaction_that_commits_late_is_not_skipped(bus: EventBus, database: Database) -> None:
    bus.create_group("g")
    with database.transaction() as early:
        EventOutbox(early).append([make_envelope("early_but_late")])
        with database.transaction() as late:
            EventOutbox(late).append([make_envelope("late_but_early")])
        seen = bus.claim("g", "c")
        assert get_names(seen) == ["late_but_early"]
        position = seen[-1].position
        assert get_names(bus.read()) == ["late_but_early"]
    assert get_names(bus.claim("g", "c")) == ["early_but_late"]
    assert get_names(bus.read(after=position)) == ["early_but_late"]


def test_who_publishes_comes_behind_what_it_left_in_the_outbox(
    bus: EventBus, database: Database
) -> None:
    bus.create_group("g")
    with database.transaction() as session:
        EventOutbox(session).append([make_envelope("first"), make_envelope("second")])
    bus.publish([make_envelope("third")])
    with database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM event_outbox")) == 0
    assert get_names(bus.claim("g", "c")) == ["first", "second", "third"]


def test_who_publishes_waits_for_nobody_who_numbers(bus: EventBus, database: Database) -> None:
    bus.create_group("g")
    with database.transaction() as session:
        session.execute(TAKE_TURN, {"turn": NUMBERING})
        bus.publish([make_envelope("meanwhile")])
    bus.publish([make_envelope("after")])
    assert get_names(bus.claim("g", "c")) == ["meanwhile", "after"]


def test_claims_go_with_their_group(bus: EventBus, database: Database) -> None:
    bus.create_group("g")
    bus.publish([make_envelope("one")])
    assert len(bus.claim("g", "c")) == 1
    assert bus.remove_group("g")
    assert not bus.remove_group("g")
    with database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM event_claims")) == 0


def test_numbers_come_into_sight_in_their_order(bus: EventBus, database: Database) -> None:
    """Many transactions, each of which commits only after the next but one has."""
    open_ones = []
    seen: list[int] = []
    bus.create_group("g")
    for number in range(12):
        session = database._writing()
        EventOutbox(session).append([make_envelope(f"n{number}"), make_envelope(f"n{number}")])
        open_ones.append(session)
        if number % 3 == 2:
            open_ones.pop(-2).commit()
            seen += [int(d.position) for d in bus.claim("g", "c")]
    for session in reversed(open_ones):
        session.commit()
        session.close()
        seen += [int(d.position) for d in bus.claim("g", "c")]
    assert seen == sorted(set(seen))
    assert len(seen) == 24


def test_a_long_transaction_elsewhere_holds_up_nobody(bus: EventBus, database: Database) -> None:
    bus.create_group("g")
    with database.transaction() as session:
        make_customer(session)  # it has a transaction id, and is not over
        bus.publish([make_envelope("meanwhile")])
        assert get_names(bus.claim("g", "c")) == ["meanwhile"]


def test_what_is_rolled_back_was_never_published(bus: EventBus, database: Database) -> None:
    bus.create_group("g")

    with database.transaction() as session:
        EventOutbox(session).append([make_envelope("undone")])
        session.rollback()
    assert bus.claim("g", "c") == []


def test_a_recorded_event_is_published_with_its_transaction(
    bus: EventBus, database: Database
) -> None:
    bus.create_group("g")
    data = {
        "recommendation_id": str(UUID(int=3)),
        "from": "pending",
        "to": "rejected",
        "evidence_digest": "d" * 64,
    }
    with database.transaction() as session:
        customer, agent = make_customer(session), make_agent(session)
        row = Events(session).record(
            "recommendation_rejected",
            customer_id=customer.id,
            agent_id=agent.id,
            data=data,
            now=NOW,
        )
    (found,) = bus.claim("g", "c")
    moved = RecommendationMoved(
        UUID(int=3), RecommendationStatus.PENDING, RecommendationStatus.REJECTED, "d" * 64
    )
    assert found.envelope == Envelope(moved, NOW, customer.id, id=row.id)


def test_a_recorded_event_too_large_for_the_bus_is_named_on_it(
    bus: EventBus, database: Database
) -> None:
    with database.transaction() as session:
        row = Events(session).record(
            "large",
            customer_id=make_customer(session).id,
            agent_id=None,
            data={"text": "x" * 100_000},
            now=NOW,
        )
    (found,) = bus.read()
    assert found.envelope.id == row.id
    assert found.envelope.event == UnknownEvent("large", {"event_id": str(row.id)})


def test_an_event_of_an_unknown_customer_is_refused_and_holds_up_nobody(bus: EventBus) -> None:
    with pytest.raises(ConstraintError, match="customer_id"):
        bus.publish([make_envelope("good"), make_envelope("bad", uuid4())])
    bus.publish([make_envelope("next")])
    assert get_names(bus.read()) == ["next"]


def test_events_go_with_their_customer_wherever_they_are(
    bus: EventBus, fresh_url: str, database: Database
) -> None:
    with database.transaction() as session:
        gone, kept = make_customer(session).id, make_customer(session).id
    bus.create_group("g")
    bus.publish([make_envelope("claimed", gone), make_envelope("claimed_and_kept", kept)])
    claimed = bus.claim("g", "c")
    assert len(claimed) == 2
    bus.publish([make_envelope("logged", gone)])
    assert len(bus.read()) == 3
    bus.publish([make_envelope("waiting", gone), make_envelope("waiting_and_kept", kept)])
    report = purge_customer(fresh_url, str(gone))
    assert not {"event_log", "event_outbox"} & report.num_rows.keys()
    assert get_names(bus.claim("g", "c", redeliver_after_s=0)) == ["claimed_and_kept"]
    assert bus.describe_group("g").num_claimed == 1
    assert get_names(bus.claim("g", "c")) == ["waiting_and_kept"]
    assert get_names(bus.read()) == ["claimed_and_kept", "waiting_and_kept"]
    assert bus.prune(before=NOW + timedelta(days=36500)) == 0, "claims hold both"


def test_a_tenant_publishes_its_own_events_and_consumes_none(
    fresh_url: str, database: Database
) -> None:
    with database.transaction() as session:
        own, other = make_customer(session).id, make_customer(session).id
    with database.transaction(role=Role.APP, customer_id=own) as session:
        EventOutbox(session).append([make_envelope("own", own)])
    for customer_id in (other, None):
        with (
            pytest.raises(DatabaseError, match="row-level security"),
            database.transaction(role=Role.APP, customer_id=own) as session,
        ):
            EventOutbox(session).append([make_envelope("not_own", customer_id)])
    as_tenant = PostgresEventBus(fresh_url, role=Role.APP)
    with pytest.raises(DatabaseError):
        as_tenant.create_group("g")
    as_tenant.close()


def test_a_consumer_that_dies_within_its_claim_has_claimed_nothing(
    bus: EventBus, fresh_url: str, database: Database
) -> None:
    bus.create_group("g")
    bus.publish([make_envelope("one")])
    dying = database._writing()
    assert get_names(_claim(dying, "g", "c", 1, 60.0)) == ["one"]
    pid = dying.scalar(text("SELECT pg_backend_pid()"))
    run_admin(fresh_url, f"SELECT pg_terminate_backend({pid})")
    with pytest.raises(OperationalError):
        dying.commit()
    dying.close()
    assert get_names(bus.claim("g", "c")) == ["one"]


def test_waiting_without_notifications_is_polling(bus: EventBus, fresh_url: str) -> None:
    listener = Listener(fresh_url, "x")
    listener.open()
    connection = listener._connection
    assert connection is not None
    connection.close()  # as a server that was restarted does
    listener.wait(0.01)
    assert listener._connection is not connection
    nowhere = Listener("postgresql://nobody@127.0.0.1:1/nowhere", "x")
    nowhere.wait(0.01)
    nowhere.close()
    listener.close()
    bus.create_group("g", after=START)
    assert bus.claim("g", "c", wait_s=0.3) == []
