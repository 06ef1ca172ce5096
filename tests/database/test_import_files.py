"""What a file of a customer may hold: rows of that customer, and nothing that is not one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from tests.database.customer_files import BAD, BAD_LINES, NOBODY, Rows, Sample, rename, write
from tests.database.test_tenants import fill
from tests.factories.core import make_recommendation
from tests.fixtures_database import change_database, run_admin

from optiinfra.database.driver import connecting
from optiinfra.database.engine import Database, make_engine
from optiinfra.database.models import Agent, AuditEntry, Base, Customer
from optiinfra.database.ownership import find_ownership
from optiinfra.database.series import Series, compute_series_id
from optiinfra.database.transfer import export_customer, file, import_customer, importing
from optiinfra.domain.enums import ResourceType
from optiinfra.domain.errors import ConflictError, DatabaseError, InputError, OptiInfraError


@pytest.fixture(scope="module")
def sample(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    urls = []
    for name in ("import_source", "import_target"):
        run_admin(migrated_url, f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY file_copy")
        urls.append(change_database(migrated_url, name))
    source, target = urls
    ids = []
    for url in urls:
        with Database(url) as database, database.transaction() as session:
            ids.append(fill(session))
    path = tmp_path_factory.mktemp("customer") / "customer.jsonl"
    export_customer(source, str(ids[0]), path)
    header, *rows, _ = map(json.loads, path.read_bytes().splitlines())
    with make_engine(target, is_pooled=False).connect() as connection:
        victim = {
            table.name: str(connection.execute(select(table.columns["id"])).scalar())
            for table in Base.metadata.sorted_tables
            if "id" in table.columns
        }
    yield Sample(header, rows, target, victim | {"customers": str(ids[1])})
    for url in urls:
        run_admin(migrated_url, f"DROP DATABASE {url.split('/')[-1].split('?')[0]} WITH (FORCE)")


def count_rows(url: str) -> dict[str, int]:
    with make_engine(url, is_pooled=False).connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_line_that_is_no_row_is_refused(sample: Sample, tmp_path: Path, name: str) -> None:
    make, words = BAD_LINES[name]
    rows = make(sample)
    path = write(tmp_path / "customer.jsonl", sample.header, rows)
    with pytest.raises(InputError) as caught:
        list(file.read_lines(path, file.read_header(path)))
    assert words in caught.value.problem
    assert caught.value.line == find_change(sample, rows)


def find_change(sample: Sample, rows: Rows) -> int:
    """The first line that is not as it was; the header is line 1."""
    pairs = enumerate(rows, start=2)
    return next(n for n, row in pairs if n - 2 >= len(sample.rows) or row != sample.rows[n - 2])


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_the_customers_is_refused_by_line_before_anything_is_written(
    sample: Sample, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(*_: object) -> dict[str, int]:
        message = "it was placed"
        raise AssertionError(message)

    monkeypatch.setattr(importing, "_place_shared", place)
    make, words = BAD[name]
    rows = make(sample)
    path = write(tmp_path / "customer.jsonl", sample.header, rows)
    with pytest.raises(InputError) as caught:
        import_customer(sample.target, path)
    assert words in caught.value.problem
    assert caught.value.file == str(path)
    if name == "no customer":
        assert caught.value.line is None
    elif name != "the same row twice":
        assert caught.value.line == find_change(sample, rows)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"customer_id": "zz"}, "field `customer_id`: the header cannot be used"),
        ({"customer_id": None}, "field `customer_id`"),
        ({"more": 1}, "field `more`"),
        ({"tables": ["events"]}, "field `tables`"),
        ({"version": 2}, "format version 2"),
        ({"version": None}, "format version None"),
        ({"format": "another"}, "is no customer's export"),
        ({"revision": "001_core_schema"}, "exported at schema revision '001_core_schema'"),
        ({"tables": {"events": ["id"]}}, "Bring both databases to the same revision"),
        ({"customer_id": NOBODY}, "has not exactly one customer, that of its header"),
    ],
)
def test_a_header_that_says_something_else_is_refused(
    sample: Sample, tmp_path: Path, header: dict[str, Any], words: str
) -> None:
    path = write(tmp_path / "customer.jsonl", sample.header | header, sample.rows)
    with pytest.raises(InputError) as caught:
        import_customer(sample.target, path)
    assert words in str(caught.value)


def test_a_line_that_is_too_long_or_a_file_that_changes_is_refused(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "customer.jsonl", sample.header, sample.rows)
    header = file.read_header(path)
    assert len(list(file.read_lines(path, header))) == len(sample.rows)
    write(path, sample.header, sample.change("events", event_type="x"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"x"', b'"y"'))
    with pytest.raises(InputError, match="was changed while it was read"):
        list(file.read_lines(path, header))
    path.write_bytes(content[:-100])
    with pytest.raises(InputError, match="is longer than"):
        list(file.read_lines(path, header))
    write(path, sample.header, sample.rows)
    monkeypatch.setattr(file, "MAX_LINE_BYTES", len(json.dumps(sample.header)) + 1)
    long = write(path, sample.header, sample.change("events", event_type="x" * 10_000))
    with pytest.raises(InputError, match="is longer than"):
        list(file.read_lines(long, header))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=st.lists(JSON | st.binary().map(lambda raw: raw.replace(b"\n", b"")), max_size=3))
def test_whatever_a_file_holds_it_is_read_or_refused(
    sample: Sample, tmp_path: Path, lines: list[Any]
) -> None:
    """A file with a right hash, the header and arbitrary lines; and arbitrary lines alone."""
    path = write(tmp_path / "any.jsonl", sample.header, lines)
    header = file.read_header(path)
    with suppress(InputError):
        list(file.read_lines(path, header))
    if lines:
        write(path, lines[0], lines[1:])
        with pytest.raises(InputError):
            file.read_header(path)


class UndoError(Exception):
    """Raised to roll an import back that worked."""


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_a_value_is_it_is_brought_in_or_refused(
    sample: Sample, tmp_path: Path, data: st.DataObject
) -> None:
    """Values of any text, and values of other columns of the file, which are of other types."""
    rows = [list(row) for row in sample.rows]
    values = sorted({value for row in rows for value in row[1:] if value is not None})
    for _ in range(data.draw(st.integers(1, 2))):
        row = data.draw(st.sampled_from(rows))
        place = data.draw(st.integers(1, len(row) - 1))
        row[place] = data.draw(st.text() | st.sampled_from(values) | st.none())
    path = write(tmp_path / "any.jsonl", sample.header, rows)
    with suppress(OptiInfraError, UndoError), connecting(sample.target) as connection:
        importing.bring_in(connection, find_ownership(), file.read_header(path), path)
        raise UndoError


def test_nothing_of_all_that_was_written(sample: Sample, tmp_path: Path) -> None:
    """The target is as it was, and takes the good file."""
    before = count_rows(sample.target)
    assert before["customers"] == 1
    path = write(tmp_path / "customer.jsonl", sample.header, sample.rows)
    with suppress(UndoError), connecting(sample.target) as connection:
        counts = importing.bring_in(connection, find_ownership(), file.read_header(path), path)
        assert sum(counts.values()) == len(sample.rows)
        raise UndoError
    assert count_rows(sample.target) == before


def test_the_customer_may_be_here_under_another_name(sample: Sample, tmp_path: Path) -> None:
    with make_engine(sample.target, is_pooled=False).connect() as connection:
        query = select(Customer.email, Customer.api_key_digest)
        email, digest = connection.execute(query).one()
    for change in ({"email": email}, {"api_key": digest}):
        path = write(tmp_path / "c.jsonl", sample.header, sample.change("customers", **change))
        with pytest.raises(ConflictError, match=f"customers, by {next(iter(change))}"):
            import_customer(sample.target, path)
    own = sample.find("agents")[sample.place("agents", "id")]
    rows = json.loads(json.dumps(sample.rows).replace(own, sample.victim["agents"]))
    path = write(tmp_path / "c.jsonl", sample.header, rows)
    with pytest.raises(ConflictError, match="agents_pkey"):  # the agent of that id is another
        import_customer(sample.target, path)


def test_writers_wait_for_an_import_only_at_its_end(
    sample: Sample, fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it locks, others write decisions; it gives up a table that stays in use."""
    path = write(tmp_path / "customer.jsonl", sample.header, sample.rows)
    lock = importing._lock
    seen = []

    with Database(fresh_url) as database:
        with database.transaction() as session:
            customer = session.get_one(Customer, fill(session))
            agent = session.scalars(select(Agent)).one()

        def write_then_lock(connection: Any, names: list[str]) -> None:
            with database.transaction() as session:
                session.execute(text("SET LOCAL lock_timeout = '100ms'"))
                make_recommendation(session, customer, agent)
            lock(connection, names)
            with make_engine(fresh_url, is_pooled=False).connect() as other:
                other.execute(text("SET LOCAL lock_timeout = '50ms'"))
                with pytest.raises(OperationalError):
                    other.execute(text("UPDATE recommendations SET title = 'x'"))
            seen.append(names)

        monkeypatch.setattr(importing, "_lock", write_then_lock)
        import_customer(fresh_url, path)
        assert seen == [
            ["approvals", "optimizations", "recommendations", "workflow_executions",
             "workflow_steps"]
        ]  # fmt: skip
        with database.transaction() as session:
            came = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).all()
            own = [row for row in came if str(row.customer_id) == sample.header["customer_id"]]
            assert [row.table_name for row in own].count("customers") == 2  # made there, came here
        with make_engine(fresh_url, is_pooled=False).begin() as other:
            other.execute(text("LOCK TABLE workflow_steps IN ROW EXCLUSIVE MODE"))
            monkeypatch.setattr(importing, "_lock", lock)
            for name, value in {"LOCK_TIMEOUT": "20ms", "MAX_TRIES": 2, "PAUSE_S": 0.0}.items():
                monkeypatch.setattr(importing, name, value)
            second = write(tmp_path / "second.jsonl", *rename(sample))
            before = count_rows(fresh_url)
            with pytest.raises(DatabaseError, match="lock timeout"):
                import_customer(fresh_url, second)
            assert count_rows(fresh_url) == before


def test_series_of_an_agent_that_has_another_id_here_go_on_under_their_number(
    sample: Sample, fresh_url: str, tmp_path: Path
) -> None:
    header, rows = sample.header, sample.rows
    type_, name = (sample.find("agents")[sample.place("agents", key)] for key in ("type", "name"))
    with make_engine(fresh_url, is_pooled=False).begin() as connection:
        here = connection.execute(
            text("INSERT INTO agents (type, name) VALUES (:type, :name) RETURNING id"),
            {"type": type_, "name": name},
        ).scalar_one()
    import_customer(fresh_url, write(tmp_path / "customer.jsonl", header, rows))
    customer = UUID(header["customer_id"])
    series = Series(here, customer, "i-0abc", ResourceType.GPU, "utilization", "percent")
    with make_engine(fresh_url, is_pooled=False).connect() as connection:
        for query in (
            "SELECT id FROM resource_series",
            "SELECT series_id FROM resource_metric_days",
        ):
            assert connection.execute(text(query)).scalars().all() == [compute_series_id(series)]
