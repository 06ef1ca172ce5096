"""Bad input: one typed error that names table, column and value, whatever way it comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from tests.database.bad_values import Bad, list_bad, make_deep
from tests.factories.core import NOW, add, make_customer
from tests.fixtures_database import make_checked_session

from optiinfra.database.checked_rows import check_values, get_rules, require_utc
from optiinfra.database.column_rules import find_instant_fault
from optiinfra.database.json_limits import MAX_DEPTH, MAX_JSON_BYTES, find_json_fault
from optiinfra.database.models import (
    AgentConfig,
    Base,
    Customer,
    Event,
    QualityMetric,
    Recommendation,
)
from optiinfra.database.refusals import REDACTED, show
from optiinfra.database.seeds import seed
from optiinfra.domain.errors import ConstraintError

KEPT_TABLES = (
    "customers", "agents", "events", "recommendations", "approvals", "optimizations",
    "agent_configs", "agent_states", "agent_capabilities", "agent_metrics", "workflow_executions",
    "workflow_steps", "workflow_artifacts", "resource_metrics", "scaling_events",
    "quality_metrics", "quality_baselines", "quality_regressions",
)  # fmt: skip
MODELS = sorted((m.class_ for m in Base.registry.mappers), key=lambda model: model.__tablename__)
# Tables that seeds fill and that rows are changed in.
FILLED = [model for model in MODELS if model.__tablename__ in KEPT_TABLES]
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - to be refused
SENSITIVE = {("customers", "api_key"), ("agent_configs", "config_value")}


def list_cases(model: type[Base]) -> Iterator[tuple[str, Any, Bad]]:
    """Attribute, column and bad value, for all columns of a model."""
    for key, column in model.__mapper__.columns.items():
        for bad in list_bad(column):
            yield key, column, bad


def assert_named(error: ConstraintError, column: Any, bad: Bad) -> None:
    where = f"{column.table.name}.{column.name} {bad.kind}"
    assert (error.table, error.column) == (column.table.name, column.name), where
    assert error.value is not None, where
    assert len(error.value) < 120, where
    assert error.exit_code == 2
    assert len(str(error)) < 700, where
    if (column.table.name, column.name) in SENSITIVE:
        assert error.value == REDACTED, where
        assert bad.value if not isinstance(bad.value, str) else bad.value[:9] not in str(error)


def change(session: Session, row: Base, key: str, value: object) -> None:
    setattr(row, key, value)
    session.flush()


@pytest.fixture(scope="module")
def seeded(migrated_url: str) -> Iterator[Session]:
    """Rows in every table, for all tests of this module; all is rolled back."""
    with make_checked_session(migrated_url) as session:
        seed(session)
        yield session


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__tablename__)
def test_every_column_has_a_rule(model: type[Base]) -> None:
    for key, column in model.__mapper__.columns.items():
        assert (key in get_rules(model)) == bool(list_bad(column)), column


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__tablename__)
def test_a_repository_refuses_it_before_anything_is_sent(model: type[Base]) -> None:
    for key, column, bad in list_cases(model):
        with pytest.raises(ConstraintError) as caught:
            check_values(model, {key: bad.value})
        assert_named(caught.value, column, bad)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__tablename__)
def test_a_flush_refuses_it_and_the_session_goes_on(seeded: Session, model: type[Base]) -> None:
    count = select(func.count()).select_from(model)
    num_before = seeded.scalar(count)
    old = seeded.scalars(select(model).limit(1)).first()
    for key, column, bad in list_cases(model):
        with pytest.raises(ConstraintError) as caught, seeded.begin_nested():
            add(seeded, model(**{key: bad.value}))
        assert_named(caught.value, column, bad)
        assert not seeded.new
        if old is not None:
            with pytest.raises(ConstraintError) as caught, seeded.begin_nested():
                change(seeded, old, key, bad.value)
            assert_named(caught.value, column, bad)
    assert seeded.scalar(count) == num_before


@pytest.mark.parametrize("model", FILLED, ids=lambda model: model.__tablename__)
def test_what_goes_past_the_checks_is_refused_by_the_same_error(
    seeded: Session, model: type[Base]
) -> None:
    table = Base.metadata.tables[model.__tablename__]
    old = seeded.execute(select(table.c.id).limit(1)).scalar_one()
    for _, column, bad in list_cases(model):
        if not bad.is_refused_by_all or column.identity is not None:
            continue
        with pytest.raises(ConstraintError) as caught, seeded.begin_nested():
            seeded.execute(update(table).where(table.c.id == old).values({column: bad.value}))
        assert_named(caught.value, column, bad)
    assert seeded.execute(select(table.c.id).where(table.c.id == old)).scalar_one() == old


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__tablename__)
def test_no_repository_takes_a_naive_instant(model: type[Base]) -> None:
    instants = {k: r for k, r in get_rules(model).items() if r.find is find_instant_fault}
    for key, rule in instants.items():
        with pytest.raises(ConstraintError, match="no time zone") as caught:
            require_utc(getattr(model, key), NAIVE)
        assert (caught.value.table, caught.value.column) == (
            rule.column.table.name,
            rule.column.name,
        )
        assert caught.value.value == NAIVE.isoformat()
        with pytest.raises(ConstraintError, match="no time zone"):
            check_values(model, {key: NAIVE})


def test_a_naive_instant_of_a_row_is_read_as_utc(checked_session: Session) -> None:
    customer = make_customer(checked_session, created_at=NAIVE)
    checked_session.expire(customer)
    assert customer.created_at.replace(tzinfo=None) == NAIVE


def test_what_fits_exactly_is_taken(checked_session: Session) -> None:
    largest = {"k": "x" * (MAX_JSON_BYTES - len('{"k": ""}'))}
    assert len(json.dumps(largest)) == MAX_JSON_BYTES
    customer = make_customer(checked_session, name="é" * 255, customer_metadata=largest)
    checked_session.expire(customer)
    assert customer.customer_metadata == largest
    deepest = make_deep(MAX_DEPTH)
    customer.customer_metadata = deepest
    checked_session.flush()
    check_values(Recommendation, {"estimated_savings": Decimal("99999999.994"), "type": "x" * 100})
    check_values(QualityMetric, {"prompt_tokens": 2**31 - 1, "overall_quality_score": 1})


def test_nothing_and_expressions_are_left_to_postgresql() -> None:
    check_values(Event, {"data": None, "created_at": func.now(), "no_column": object()})


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXT,
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\0")), inner)
        ),
    )
)
def test_the_size_of_json_is_counted_exactly(document: Any) -> None:
    size = len(json.dumps(document))
    filler = MAX_JSON_BYTES - size - len('["", ]') - 1
    assert find_json_fault(["x" * (filler + 1), document]) is None
    assert find_json_fault(["x" * (filler + 2), document]) is not None


def test_a_document_is_refused_before_it_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []

    def encode(text: str) -> str:
        encoded.append(len(text))
        return json.dumps(text)

    monkeypatch.setattr("optiinfra.database.json_limits.encode_basestring_ascii", encode)
    check = pytest.raises(ConstraintError, match="larger than 1048576 bytes of JSON")
    with check:
        check_values(Event, {"data": {"k": "x" * 50_000_000}})
    with check:
        check_values(Event, {"data": {"k": [["x" * 1000] * 1000] * 1000}})
    with check:
        check_values(Event, {"data": {"k": [[]] * 10_000_000}})
    loop: dict[str, Any] = {}
    loop["k"] = loop
    with pytest.raises(ConstraintError, match="nested more than 100 deep"):
        check_values(Event, {"data": loop})
    assert sum(encoded) <= 2 * MAX_JSON_BYTES


def test_a_refusal_says_where_in_a_document(checked_session: Session) -> None:
    with pytest.raises(ConstraintError) as caught:
        make_customer(checked_session, customer_metadata={"a": [1, {"b": "x\0y"}]})
    assert str(caught.value) == (
        "customers.metadata: 'x\\x00y' at $.a[1].b holds a NUL byte."
        " Nothing was written; correct the value."
    )
    checked_session.rollback()
    make_customer(checked_session)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        (NOW, "2026-03-04T05:06:07.890000+00:00"),
        (True, "True"),
        (Decimal("1.50"), "1.50"),
        (2**300, "an integer of 301 bits"),
        (b"secret", "6 bytes"),
        ({"secret": 1}, "an object of 1 keys"),
        ([1, 2], "a list of 2"),
        ("x" * 61, "x" * 60 + "… (61 characters)"),
        (object(), "a object"),
    ],
)
def test_a_value_is_shown_short(value: object, shown: str) -> None:
    plain, sensitive = (get_rules(Customer)["name"], get_rules(AgentConfig)["config_value"])
    assert show(plain.column, value) == shown
    assert show(sensitive.column, value) == REDACTED
