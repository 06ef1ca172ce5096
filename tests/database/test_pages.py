"""Pages: the last costs what the first does, as the tenant too, and over all partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session
from tests.database.test_tenants import fill
from tests.factories.core import NOW, make_agent, make_customer
from tests.fixtures_database import make_checked_session

from optiinfra.database.engine import Role, set_role
from optiinfra.database.models import EventSeverity
from optiinfra.database.repositories import (
    AgentMetrics,
    Approvals,
    Artifacts,
    Cursor,
    Events,
    Executions,
    Optimizations,
    Page,
    QualityBaselines,
    QualityMetrics,
    QualityRegressions,
    Recommendations,
    ResourceMetrics,
    ScalingEvents,
)
from optiinfra.domain.errors import ConstraintError

NUM_ROWS = 12_000
START, END = datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 8, 1, tzinfo=UTC)
SPAN: dict[str, Any] = {"start": START, "end": END}
EVER: dict[str, Any] = {"start": datetime(2020, 1, 1, tzinfo=UTC), "end": END}
AT = f"'2026-12-01 00:00:00+00'::timestamptz + n * interval '{240 * 86_400 / NUM_ROWS} seconds'"
# Two customers, row by row, over eight months that have a partition each.
FILL = {
    "events": f"""INSERT INTO events (customer_id, event_type, severity, data, created_at)
        SELECT c, 't' || n % 7, 'info', '{{}}', {AT}""",
    "resource_metrics": f"""INSERT INTO resource_metrics (customer_id, agent_id, instance_id,
            resource_type, metric_name, metric_value, unit, "timestamp")
        SELECT c, :agent, 'i-' || n % 5, 'gpu', 'm' || n % 3, n, 'u', {AT}""",
    "agent_metrics": f"""INSERT INTO agent_metrics (agent_id, metric_name, metric_value, tags,
            recorded_at)
        SELECT :agent, 'm', n, jsonb_build_object('zone', n % 4), {AT}""",
    "quality_metrics": f"""INSERT INTO quality_metrics (customer_id, agent_id, request_id,
            model_name, model_version, overall_quality_score, "timestamp")
        SELECT c, :agent, 'r' || n, 'm', '1', 0.5, {AT}""",
}
ROWS = f" FROM generate_series(1, {NUM_ROWS}) n, unnest(CAST(:customers AS uuid[])) c ORDER BY n"


class Filled(NamedTuple):
    session: Session
    customer: UUID
    agent: UUID


@pytest.fixture(scope="module")
def filled(migrated_url: str) -> Iterator[Filled]:
    with make_checked_session(migrated_url) as session:
        agent = make_agent(session).id
        customers = [make_customer(session).id, make_customer(session).id]
        session.execute(text("SET LOCAL session_replication_role = replica"))  # no checks of keys
        for table, statement in FILL.items():
            session.execute(text(statement + ROWS), {"agent": agent, "customers": customers})
            session.execute(text(f"ANALYZE {table}"))
        session.execute(text("SET LOCAL session_replication_role = origin"))
        yield Filled(session, customers[0], agent)


TIMES = {"events": "created_at", "agent": "recorded_at"}
LISTS: dict[str, Callable[[Filled, Cursor | None], Page[Any]]] = {
    "events": lambda f, after: Events(f.session).list_page(
        customer_id=f.customer, after=after, limit=100
    ),
    "events of a type": lambda f, after: Events(f.session).list_page(
        customer_id=f.customer,
        event_type="t1",
        severity=EventSeverity.INFO,
        after=after,
        limit=20,
    ),
    "resource metrics": lambda f, after: ResourceMetrics(f.session).list_page(
        customer_id=f.customer, after=after, limit=100, **SPAN
    ),
    "resource metrics of an instance": lambda f, after: ResourceMetrics(f.session).list_page(
        customer_id=f.customer,
        instance_id="i-1",
        metric_name="m1",
        after=after,
        limit=10,
        **SPAN,
    ),
    "quality metrics": lambda f, after: QualityMetrics(f.session).list_page(
        customer_id=f.customer, after=after, limit=100, **SPAN
    ),
    "agent metrics": lambda f, after: AgentMetrics(f.session).list_page(
        f.agent, "m", after=after, limit=100, **SPAN
    ),
    "agent metrics with a tag": lambda f, after: AgentMetrics(f.session).list_page(
        f.agent, "m", tags={"zone": 1}, after=after, limit=25, **SPAN
    ),
}


def explain(session: Session, read: Callable[[], Page[Any]]) -> tuple[Page[Any], dict[str, Any]]:
    """A page, and the plan by which PostgreSQL reads it when nothing needs to be fetched."""
    sent: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        sent.append(arguments[2:4])

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    page = read()
    event.remove(connection, "before_cursor_execute", note)
    ((statement, values),) = sent
    query = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + statement
    plan = connection.exec_driver_sql(query, values).scalar_one()[0]["Plan"]
    return page, plan


def count_buffers(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def list_nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from list_nodes(child)


@pytest.mark.parametrize("name", LISTS)
def test_a_page_far_behind_reads_no_more_than_the_first(filled: Filled, name: str) -> None:
    session, is_shared = filled.session, name.startswith("agent")
    with session.begin_nested() as savepoint:
        if is_shared:
            set_role(session, role=Role.WORKER, customer_id=None)
        else:
            set_role(session, role=Role.APP, customer_id=filled.customer)
        read = LISTS[name]
        first, plan = explain(session, lambda: read(filled, None))
        num_first = count_buffers(plan)
        is_latest_first = name.startswith("events")
        behind = Cursor(
            at=START + timedelta(days=20) if is_latest_first else END - timedelta(days=20),
            id=UUID(int=1 << 127),
        )
        far, plan = explain(session, lambda: read(filled, behind))
        savepoint.rollback()
    assert len(far.items) == len(first.items)
    times = [getattr(row, TIMES.get(name.split(maxsplit=1)[0], "timestamp")) for row in far.items]
    assert times == sorted(times, reverse=is_latest_first)
    assert all(at <= behind.at if is_latest_first else at >= behind.at for at in times)
    assert count_buffers(plan) <= num_first + 3, plan
    scans = [node for node in list_nodes(plan) if "Relation Name" in node]
    read_scans = [node for node in scans if node["Actual Loops"]]
    assert len(read_scans) <= 2, "partitions that hold none of the page are not read"
    assert all(node["Node Type"] == "Index Scan" for node in scans), plan
    num_left_out = sum(node.get("Rows Removed by Filter", 0) for node in scans)
    assert num_left_out <= 20 * len(far.items), "rows before the page are not read"


OWN_LISTS: dict[str, Callable[[Session, UUID], Page[Any]]] = {
    "events": lambda s, c: Events(s).list_page(customer_id=c),
    "recommendations": lambda s, c: Recommendations(s).list_page(customer_id=c),
    "recommendations of all": lambda s, _: Recommendations(s).list_page(),
    "optimizations": lambda s, c: Optimizations(s).list_page(customer_id=c),
    "executions": lambda s, c: Executions(s).list_page(customer_id=c),
    "resource metrics": lambda s, c: ResourceMetrics(s).list_page(customer_id=c, **EVER),
    "scaling events": lambda s, c: ScalingEvents(s).list_page(customer_id=c),
    "quality metrics": lambda s, c: QualityMetrics(s).list_page(customer_id=c, **EVER),
    "baselines": lambda s, c: QualityBaselines(s).list_page(customer_id=c),
    "regressions": lambda s, c: QualityRegressions(s).list_open(customer_id=c),
    "approvals": lambda s, c: Approvals(s).list_page(
        recommendation_id=Recommendations(s).list_page(customer_id=c).items[0].id
    ),
    "artifacts": lambda s, c: Artifacts(s).list_page(
        execution_id=Executions(s).list_page(customer_id=c).items[0].id
    ),
}


@pytest.mark.parametrize("name", OWN_LISTS)
def test_a_tenant_reads_its_own_and_asks_for_others_in_vain(session: Session, name: str) -> None:
    own, other = fill(session), fill(session)
    session.expunge_all()
    set_role(session, role=Role.APP, customer_id=own)
    found = OWN_LISTS[name](session, own).items
    assert len(found) == 1
    assert {row.customer_id for row in found} == {own}
    if name not in {"recommendations of all", "approvals", "artifacts"}:
        assert OWN_LISTS[name](session, other).items == ()


def test_the_bare_limit_leaves_partitions_out(filled: Filled) -> None:
    """Row comparison alone would not: that is why the limit of time stands beside it."""
    session = filled.session
    after = Cursor(at=datetime(2027, 1, 15, tzinfo=UTC), id=UUID(int=0))
    _, plan = explain(session, lambda: LISTS["events"](filled, after))
    names = {node["Relation Name"] for node in list_nodes(plan) if "Relation Name" in node}
    assert names <= {"events_p_first", "events_p_2026_12", "events_p_2027_01", "events_p_2027_02"}
    assert "events_p_2027_05" not in names


def test_all_rows_are_read_once_in_order(filled: Filled) -> None:
    read, cursor = LISTS["events of a type"], None
    seen: list[Any] = []
    for _ in range(4):
        page = read(filled, cursor)
        seen += page.items
        cursor = page.next_cursor
        assert cursor is not None
    keys = [(row.created_at, row.id) for row in seen]
    assert len(set(keys)) == 80
    assert keys == sorted(keys, reverse=True)


def test_a_cursor_that_says_no_time_is_refused(session: Session) -> None:
    naive = Cursor(at=NOW.replace(tzinfo=None), id=UUID(int=0))
    with pytest.raises(ConstraintError) as caught:
        Events(session).list_page(customer_id=UUID(int=0), after=naive)
    assert (caught.value.table, caught.value.column) == ("events", "created_at")


def test_a_page_is_bounded_whatever_is_asked_for(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, events = make_customer(session), Events(session)
    for _ in range(3):
        events.record("e", customer_id=customer.id, agent_id=None, data={}, now=NOW)
    monkeypatch.setattr("optiinfra.database.repositories.pages.MAX_PAGE", 2)
    for limit, size in ((10**9, 2), (0, 1), (-5, 1)):
        page = events.list_page(customer_id=customer.id, limit=limit)
        assert len(page.items) == size
        assert page.next_cursor is not None
