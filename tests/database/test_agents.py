"""Agents: registered, heard of, looked at with all that is kept of them; and customers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session
from tests.database.racing import race
from tests.factories.core import NOW, add, make_agent, make_customer

from optiinfra.database.engine import Database
from optiinfra.database.models import (
    Agent,
    AgentCapability,
    AgentMetric,
    AgentState,
    AgentStatus,
    AgentStatusDetail,
    AgentType,
    CustomerStatus,
)
from optiinfra.database.refusals import REDACTED
from optiinfra.database.repositories import (
    Agents,
    AgentStates,
    Configs,
    Customers,
    Events,
    Heartbeat,
    get_with_state,
)
from optiinfra.database.repositories.agents import MAX_HEARTBEATS
from optiinfra.database.sealing import Sealer
from optiinfra.domain.errors import ConflictError, ConstraintError, InputError, NotFoundError

BOSS = "boss@example.com"
SECOND = timedelta(seconds=1)
SEALER = Sealer(keys={"k": b"1" * 32}, active="k")


@contextmanager
def counted(session: Session) -> Iterator[list[str]]:
    """The statements that are sent in the block."""
    sent: list[str] = []

    def note(*arguments: Any) -> None:
        sent.append(arguments[2])

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    yield sent
    event.remove(connection, "before_cursor_execute", note)


def register(session: Session, **overrides: Any) -> Agent:
    values: dict[str, Any] = {
        "type": AgentType.COST, "name": "c", "version": "1", "endpoint": "http://a",
        "capabilities": ["x"], "now": NOW,
    }  # fmt: skip
    return Agents(session).register(**values | overrides)


def test_an_agent_registers_again_under_its_name(session: Session) -> None:
    agents = Agents(session)
    first = register(session)
    assert (first.status, first.created_at) == (AgentStatus.STARTING, NOW)
    agents.set_status(first.id, AgentStatus.STOPPED, seen=AgentStatus.STARTING, now=NOW)
    again = register(session, version="2", endpoint=None, capabilities=[], now=NOW + SECOND)
    assert (again.id, again.version, again.endpoint) == (first.id, "2", None)
    assert (again.status, again.capabilities, again.updated_at) == ("starting", [], NOW + SECOND)
    found = agents.find(type=AgentType.COST, name="c")
    assert found is again
    assert agents.find(type=AgentType.PERFORMANCE, name="c") is None
    with pytest.raises(ConstraintError) as caught:
        register(session, endpoint="http://" + "x" * 255)
    assert (caught.value.table, caught.value.column) == ("agents", "endpoint")


def test_many_heartbeats_are_one_statement(session: Session) -> None:
    ids = [make_agent(session).id for _ in range(5)]
    stranger = uuid4()
    beats = [Heartbeat(id_, NOW + i * SECOND) for i, id_ in enumerate(ids)]
    beats += [Heartbeat(ids[0], NOW - SECOND, AgentStatus.FAILED), Heartbeat(stranger, NOW)]
    with counted(session) as sent:
        unknown = Agents(session).record_heartbeats(beats)
    assert len(sent) == 1
    assert unknown == {stranger}
    agents = [Agents(session).get(id_) for id_ in ids]
    assert [agent.last_heartbeat for agent in agents] == [NOW + i * SECOND for i in range(5)]
    assert {agent.status for agent in agents} == {AgentStatus.HEALTHY}
    assert Agents(session).record_heartbeats([]) == frozenset()


def test_a_late_heartbeat_changes_nothing_and_a_stopped_agent_stays_so(session: Session) -> None:
    heard = make_agent(session, last_heartbeat=NOW, status=AgentStatus.DEGRADED)
    stopped = make_agent(session, status=AgentStatus.STOPPED)
    agents = Agents(session)
    agents.record_heartbeats([Heartbeat(heard.id, NOW - SECOND), Heartbeat(stopped.id, NOW)])
    assert agents.get(heard.id).last_heartbeat == NOW
    assert agents.get(heard.id).status is AgentStatus.DEGRADED
    assert agents.get(stopped.id).last_heartbeat == NOW
    assert agents.get(stopped.id).status is AgentStatus.STOPPED


def test_who_writes_the_same_heartbeats_waits_and_the_latest_counts(database: Database) -> None:
    with database.transaction() as session:
        ids = [make_agent(session).id for _ in range(20)]

    def beat(order: list[UUID], at: datetime) -> Any:
        return lambda s: Agents(s).record_heartbeats([Heartbeat(id_, at) for id_ in order])

    outcomes = race(database, beat(ids, NOW + SECOND), beat(ids[::-1], NOW))
    assert outcomes == (frozenset(), frozenset())
    with database.reading() as session:
        assert {Agents(session).get(id_).last_heartbeat for id_ in ids} == {NOW + SECOND}


def test_what_no_heartbeat_is(session: Session) -> None:
    with pytest.raises(ConstraintError) as caught:
        Heartbeat(uuid4(), datetime(2026, 1, 1))  # noqa: DTZ001 - on purpose
    assert (caught.value.table, caught.value.column) == ("agents", "last_heartbeat")
    with pytest.raises(InputError, match="too many for one statement"):
        Agents(session).record_heartbeats([Heartbeat(uuid4(), NOW)] * (MAX_HEARTBEATS + 1))


def test_a_status_that_was_not_seen_is_not_changed(session: Session) -> None:
    agent, agents = make_agent(session, status=AgentStatus.FAILED), Agents(session)
    with pytest.raises(ConflictError, match="is failed; from healthy it does not become degraded"):
        agents.set_status(agent.id, AgentStatus.DEGRADED, seen=AgentStatus.HEALTHY, now=NOW)
    with pytest.raises(NotFoundError):
        agents.set_status(uuid4(), AgentStatus.DEGRADED, seen=AgentStatus.HEALTHY, now=NOW)


def test_agents_come_in_pages(session: Session) -> None:
    for number in range(3):
        make_agent(session, created_at=NOW + number * SECOND)
    make_agent(session, type=AgentType.RESOURCE, status=AgentStatus.FAILED)
    agents = Agents(session)
    page = agents.list_page(type=AgentType.COST, limit=2)
    assert [agent.created_at for agent in page.items] == [NOW + 2 * SECOND, NOW + SECOND]
    rest = agents.list_page(type=AgentType.COST, after=page.next_cursor)
    assert [agent.created_at for agent in rest.items] == [NOW]
    assert len(agents.list_page(status=AgentStatus.FAILED).items) == 1
    with pytest.raises(InvalidRequestError, match="raise"):
        _ = rest.items[0].configs


@pytest.mark.parametrize("number", [0, 1, 40])
def test_an_agent_with_all_its_state_is_three_queries(session: Session, number: int) -> None:
    agent, other = make_agent(session), make_agent(session)
    configs = Configs(session, sealer=SEALER)
    add(session, AgentMetric(agent_id=other.id, metric_name="m", metric_value=1))
    for i in range(number):
        configs.set(agent.id, f"k{i:02}", i, type_name="integer", now=NOW)
        add(session, AgentCapability(agent_id=agent.id, capability_name=f"c{i:02}"))
        for ago in (timedelta(days=70), timedelta(days=35), timedelta(0)):  # in three partitions
            at = NOW + timedelta(days=500) - ago
            value = i + ago.days
            metric = AgentMetric(agent_id=agent.id, metric_name=f"m{i:02}", metric_value=value)
            metric.recorded_at = at
            session.add(metric)
    if number:
        add(session, AgentState(agent_id=agent.id, current_status=AgentStatusDetail.BUSY))
        configs.set(agent.id, "secret", "s3cret", type_name="string", now=NOW, is_sensitive=True)
    session.flush()
    session.expunge_all()
    with counted(session) as sent:
        found = get_with_state(session, agent.id)
    assert len(sent) == 3
    assert found.agent.name == agent.name
    assert len(found.capabilities) == number
    assert {name: m.metric_value for name, m in found.latest_metrics.items()} == {
        f"m{i:02}": i for i in range(number)
    }
    if number:
        assert found.state is not None
        assert found.state.current_status is AgentStatusDetail.BUSY
        assert found.configs["secret"] == REDACTED
        assert found.configs[f"k{number - 1:02}"] == number - 1
        assert "s3cret" not in repr(found)
    else:
        assert (found.state, found.configs) == (None, {})


def test_an_agent_that_is_not_there(session: Session) -> None:
    with pytest.raises(NotFoundError):
        get_with_state(session, uuid4())
    with pytest.raises(NotFoundError, match="has no state"):
        AgentStates(session).get(uuid4())


def test_a_customer_is_suspended_reactivated_and_gone(session: Session) -> None:
    customers = Customers(session)
    customer = make_customer(session)
    key = customers.issue_key(customer, now=NOW)
    customers.suspend(customer.id, by=BOSS, now=NOW)
    assert customers.find_by_key(key) is None
    with pytest.raises(ConflictError, match="is suspended and does not become suspended"):
        customers.suspend(customer.id, by=BOSS, now=NOW)
    customers.reactivate(customer.id, by=BOSS, now=NOW + SECOND)
    found = customers.find_by_key(key)
    assert found is not None
    customers.churn(customer.id, by=BOSS, now=NOW + 2 * SECOND)
    with pytest.raises(NotFoundError):
        customers.churn(uuid4(), by=BOSS, now=NOW)
    events = Events(session).list_page(customer_id=customer.id).items
    assert [event_.event_type for event_ in events] == [
        "customer_churned",
        "customer_active",
        "customer_suspended",
    ]
    assert events[0].data == {"from": "active", "to": "churned", "by": BOSS}


def test_customers_come_in_pages_with_the_beginning_of_their_keys(session: Session) -> None:
    for number in range(3):
        make_customer(session, created_at=NOW + number * SECOND, api_key=f"abcdefgh{number:035}")
    make_customer(session, status=CustomerStatus.CHURNED, created_at=NOW - SECOND)
    session.expunge_all()
    customers = Customers(session)
    page = customers.list_page(status=CustomerStatus.ACTIVE, limit=2)
    assert [c.created_at for c in page.items] == [NOW + 2 * SECOND, NOW + SECOND]
    assert [c.api_key_prefix for c in page.items] == ["abcdefgh"] * 2
    with pytest.raises(InvalidRequestError, match="raiseload"):
        _ = page.items[0].api_key_digest
    rest = customers.list_page(after=page.next_cursor)
    assert [c.status.value for c in rest.items] == ["active", "churned"]
