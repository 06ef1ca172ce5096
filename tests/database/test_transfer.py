"""A customer moves whole or not at all, goes whole, and cannot be known again in a copy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from tests.database.same_schema import list_differences
from tests.factories.core import (
    make_agent,
    make_approval,
    make_customer,
    make_event,
    make_optimization,
    make_recommendation,
)
from tests.factories.workflow_history import make_artifact, make_execution, make_step

from optiinfra.database.engine import Database, make_engine
from optiinfra.database.models import AgentType, Base, Customer, Event, Recommendation
from optiinfra.database.ownership import find_ownership
from optiinfra.database.transfer import export_customer, import_customer, purge_customer
from optiinfra.domain.errors import ConflictError, InputError, NotFoundError

SECRETS = ("Wilhelmina", "wilhelmina@corp.example", "top secret", "notes of hers")
HISTORY = {"audit_log", "migration_findings"}  # outlive what they tell of
KEY = b"0123456789abcdef"


def add_customer(url: str, email: str = "wilhelmina@corp.example") -> UUID:
    with Database(url) as database, database.transaction() as session:
        agent = session.scalars(
            select(Base.registry._class_registry["Agent"])  # type: ignore[arg-type]
        ).first() or make_agent(session, type=AgentType.COST, name="Cost Optimizer")
        customer = make_customer(session, email=email, name="Wilhelmina's")
        data = {"by": "Wilhelmina", "id": str(customer.id), "list": ["top secret", 7, None]}
        make_event(session, customer, agent_id=agent.id, data=data)
        make_event(session, customer)
        recommendation = make_recommendation(session, customer, agent, title="top secret")
        make_approval(session, recommendation, approved_by=email, comment="notes of hers")
        make_optimization(session, recommendation)
        execution = make_execution(session, customer, agent, input_data=data)
        step = make_step(session, execution)
        make_artifact(session, execution, workflow_step_id=step.id, artifact_path="Wilhelmina.txt")
        found: UUID = customer.id
    return found


def count(url: str) -> dict[str, int]:
    """Rows of each table, without those that have none."""
    with make_engine(url, is_pooled=False).connect() as connection:
        counts = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }
    return {name: number for name, number in counts.items() if number}


def read_all(url: str) -> Iterator[str]:
    with make_engine(url, is_pooled=False).connect() as connection:
        for table in Base.metadata.sorted_tables:
            yield from connection.execute(text(f"SELECT t::text FROM {table.name} t")).scalars()  # noqa: S608


@pytest.fixture
def other_url(make_database: Callable[..., str], migrated_url: str) -> str:
    del migrated_url
    return make_database("migrated")


def test_the_customers_tables_are_found_by_their_keys() -> None:
    ownership = find_ownership()
    owned = [table.name for table in ownership.owned]
    assert owned[0] == "customers"
    assert {"events", "approvals", "workflow_artifacts", "quality_regressions"} <= set(owned)
    assert not {"agents", "agent_configs", "agent_states", "agent_metrics"} & set(owned)
    assert [table.name for table in ownership.shared] == ["agents"]


def test_a_customer_moves_with_all_rows_and_ids_to_the_agents_of_the_other_database(
    fresh_url: str, other_url: str, migrated_url: str, tmp_path: Path
) -> None:
    customer_id = add_customer(fresh_url)
    add_customer(fresh_url, "somebody@else.example")
    other = add_customer(other_url, "third@party.example")
    before = count(other_url)
    out = export_customer(fresh_url, "Wilhelmina@Corp.example", tmp_path / "customer.jsonl")
    assert (tmp_path / "customer.jsonl").stat().st_mode & 0o777 == 0o600
    moved = import_customer(other_url, tmp_path / "customer.jsonl")
    assert moved.customer_id == out.customer_id == customer_id
    assert moved.num_rows | {"agents": 1} == out.num_rows
    kept = {k: v for k, v in out.num_rows.items() if v and k not in HISTORY}
    assert kept == {k: v for k, v in before.items() if k in kept}  # as many as the third party has
    assert count(other_url)["agents"] == before["agents"]
    with Database(other_url) as database, database.reading() as session:
        agents = set(session.scalars(select(Recommendation.agent_id)))
        assert len(agents) == 1
        assert set(session.scalars(select(Customer.id))) == {customer_id, other}
        assert session.scalars(select(Event).where(Event.customer_id == customer_id)).first()
    again = export_customer(other_url, str(customer_id), tmp_path / "again.jsonl")
    # The audit log says that the customer came.
    assert again.num_rows == out.num_rows | {"audit_log": out.num_rows["audit_log"] + 1}
    assert list_differences(other_url, migrated_url) == []  # triggers are on again


def test_rows_that_are_there_already_are_refused_and_nothing_is_half_written(
    fresh_url: str, other_url: str, tmp_path: Path
) -> None:
    add_customer(fresh_url)
    path = tmp_path / "customer.jsonl"
    export_customer(fresh_url, "wilhelmina@corp.example", path)
    with pytest.raises(ConflictError, match="customers"):
        import_customer(fresh_url, path)
    add_customer(other_url)  # another customer of the same address
    before = sorted(read_all(other_url))
    with pytest.raises(ConflictError, match=r"\(customers, by email\)"):
        import_customer(other_url, path)
    assert sorted(read_all(other_url)) == before


def test_a_changed_or_cut_file_is_refused(fresh_url: str, other_url: str, tmp_path: Path) -> None:
    add_customer(fresh_url)
    path = tmp_path / "customer.jsonl"
    export_customer(fresh_url, "wilhelmina@corp.example", path)
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    header = json.loads(lines[0])
    newer = [json.dumps(header | {"version": 2}).encode() + b"\n", *lines[1:-1]]
    seal = json.dumps({"sha256": sha256(b"".join(newer)).hexdigest()}).encode()
    for broken in (
        b"", content[:-1_00], b"".join(lines[:-1]), b"".join(lines[:3] + lines[4:]),
        content.replace(b"top secret", b"top Secret", 1), b"not json\n" * 3, content + lines[-1],
        b"".join([*newer, seal]),
    ):  # fmt: skip
        path.write_bytes(broken)
        with pytest.raises(InputError):
            import_customer(other_url, path)
    assert "customers" not in count(other_url)
    with pytest.raises(InputError, match="cannot be read"):
        import_customer(other_url, tmp_path / "nowhere.jsonl")
    with pytest.raises(NotFoundError):
        export_customer(fresh_url, "nobody@corp.example", tmp_path / "other.jsonl")
    assert not (tmp_path / "other.jsonl").exists()


def test_a_purged_customer_leaves_nothing_and_the_others_everything(fresh_url: str) -> None:
    add_customer(fresh_url, "somebody@else.example")
    before = {k: v for k, v in count(fresh_url).items() if k not in HISTORY}
    gone = add_customer(fresh_url)
    report = purge_customer(fresh_url, str(gone))
    assert report.num_rows["customers"] == 1
    assert report.num_rows["workflow_artifacts"] == 1
    assert {k: v for k, v in count(fresh_url).items() if k not in HISTORY} == before
    with pytest.raises(NotFoundError):
        purge_customer(fresh_url, str(gone))
