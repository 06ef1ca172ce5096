"""Settings, states, capabilities and metrics of agents: typed, sealed, compared and found."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from tests.factories.core import NOW, add, make_agent

from optiinfra.database.engine import Database
from optiinfra.database.models import (
    AgentCapability,
    AgentConfig,
    AgentMetric,
    AgentState,
    AgentStatusDetail,
    ConfigType,
)
from optiinfra.database.refusals import REDACTED
from optiinfra.database.repositories.agent_metrics import AgentMetrics, Bucket
from optiinfra.database.repositories.agent_states import AgentStates
from optiinfra.database.repositories.capabilities import Capabilities, parse_version
from optiinfra.database.repositories.config_values import MAX_BYTES, format_value, parse_value
from optiinfra.database.repositories.configs import Configs
from optiinfra.database.sealing import Sealer
from optiinfra.domain.errors import (
    ConflictError,
    ConstraintError,
    InputError,
    KeyMissingError,
    NotFoundError,
)

SECRET = "sk-very-secret-value"  # noqa: S105 - an example
OLD = Sealer(keys={"k1": b"1" * 32}, active="k1")
BOTH = Sealer(keys={"k1": b"1" * 32, "k2": b"2" * 32}, active="k2")
NEW = Sealer(keys={"k2": b"2" * 32}, active="k2")


@pytest.mark.parametrize(
    ("value", "type_name", "stored"),
    [
        ("text", "string", ConfigType.STRING),
        (3, "integer", ConfigType.INTEGER),
        (3, "float", ConfigType.FLOAT),
        (0.85, "float", ConfigType.FLOAT),
        (True, "boolean", ConfigType.BOOLEAN),
        ({"a": [1, None]}, "json", ConfigType.JSON),
        (60, "number", ConfigType.INTEGER),
        (0.05, "number", ConfigType.FLOAT),
    ],
)
def test_a_setting_comes_back_in_its_type(
    session: Session, value: Any, type_name: str, stored: ConfigType
) -> None:
    agent, configs = make_agent(session), Configs(session)
    configs.set(agent.id, "k", value, type_name=type_name, now=NOW)
    found = configs.get(agent.id, "k")
    assert found == value
    assert isinstance(found, float if stored is ConfigType.FLOAT else type(value))
    assert session.scalars(select(AgentConfig.config_type)).one() is stored


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        ("3", "integer"), (3.5, "integer"), (True, "integer"), (True, "number"), ("x", "float"),
        (float("nan"), "float"), (float("inf"), "number"), ("true", "boolean"), (1, "boolean"),
        (1, "string"), ("a\0b", "string"), ({1, 2}, "json"), (float("nan"), "json"),
        ("x" * (MAX_BYTES + 1), "string"), ({"a": "x" * MAX_BYTES}, "json"), ("x", "decimal"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_without_being_shown(
    session: Session, value: Any, type_name: str
) -> None:
    agent = make_agent(session)
    with pytest.raises(ConstraintError) as caught:
        Configs(session).set(agent.id, "k", value, type_name=type_name, now=NOW)
    assert caught.value.table == "agent_configs"
    expected = "config_type" if type_name == "decimal" else "config_value"
    assert caught.value.column == expected
    assert len(str(caught.value)) < 300
    assert session.scalars(select(AgentConfig)).all() == []


WORDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@given(st.recursive(st.none() | st.booleans() | WORDS | st.integers(), st.lists))
def test_json_round_trips(value: Any) -> None:
    text_, type_ = format_value(value, ConfigType.JSON, key="k")
    assert parse_value(text_, type_, key="k") == value


def test_a_sensitive_setting_is_sealed_and_shown_to_nobody(session: Session) -> None:
    agent, configs = make_agent(session), Configs(session, sealer=OLD)
    configs.set(agent.id, "api", SECRET, type_name="string", now=NOW, is_sensitive=True)
    configs.set(agent.id, "plain", 5, type_name="integer", now=NOW)
    assert configs.get(agent.id, "api") == SECRET
    assert configs.list_shown(agent.id) == {"api": REDACTED, "plain": 5}
    rows = session.scalars(text("SELECT t::text FROM agent_configs t")).all()
    assert not any(SECRET in row for row in rows)
    configs.set(agent.id, "api", SECRET + "2", type_name="string", now=NOW)  # stays sensitive
    assert configs.list_shown(agent.id)["api"] == REDACTED
    assert "1111" not in repr(OLD)
    with pytest.raises(InputError, match="no key to encrypt"):
        Configs(session).get(agent.id, "api")


def test_a_sealed_value_is_bound_to_its_row(session: Session) -> None:
    agent, configs = make_agent(session), Configs(session, sealer=OLD)
    for key in ("one", "two"):
        configs.set(agent.id, key, key, type_name="string", now=NOW, is_sensitive=True)
    session.execute(
        text("""UPDATE agent_configs SET config_value = (
            SELECT config_value FROM agent_configs WHERE config_key = 'two')
            WHERE config_key = 'one'""")
    )
    with pytest.raises(KeyMissingError, match="changed or moved"):
        configs.get(agent.id, "one")


def test_keys_are_rotated_in_batches_while_values_are_read(session: Session) -> None:
    agent = make_agent(session)
    for number in range(3):
        Configs(session, sealer=OLD).set(
            agent.id, f"k{number}", SECRET, type_name="string", now=NOW, is_sensitive=True
        )
    with pytest.raises(KeyMissingError, match="'k1'"):
        Configs(session, sealer=NEW).get(agent.id, "k0")
    rotating = Configs(session, sealer=BOTH)
    first = rotating.rotate(limit=2)
    assert (first.num_sealed, rotating.count_outdated()) == (2, 1)
    assert first.last is not None
    second = rotating.rotate(after=first.last, limit=2)
    assert second.last is not None
    assert rotating.rotate(after=second.last).last is None
    assert (second.num_sealed, rotating.count_outdated()) == (1, 0)
    assert [Configs(session, sealer=NEW).get(agent.id, f"k{n}") for n in range(3)] == [SECRET] * 3


def test_a_key_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(keys={"k": b"short"}, active="k")
    with pytest.raises(ValueError, match="no key"):
        Sealer(keys={}, active="k")


def test_a_setting_whose_text_was_changed_is_refused_without_being_shown(session: Session) -> None:
    agent, configs = make_agent(session), Configs(session)
    configs.set(agent.id, "k", 3, type_name="integer", description="why", now=NOW)
    for type_, stored in (
        ("integer", "s3cret"),
        ("float", "inf"),
        ("boolean", "s3"),
        ("json", "{"),
    ):
        session.execute(
            text(
                "UPDATE agent_configs SET config_value = :v, config_type = CAST(:t AS configtype)"
            ),
            {"v": stored, "t": type_},
        )
        with pytest.raises(ConstraintError) as caught:
            configs.get(agent.id, "k")
        assert caught.value.column == "config_value"
        assert caught.value.__context__ is None
        assert stored not in str(caught.value)
    assert session.scalars(select(AgentConfig.description)).one() == "why"


def test_a_setting_that_is_not_there(session: Session) -> None:
    with pytest.raises(NotFoundError, match="no setting 'k'"):
        Configs(session).get(make_agent(session).id, "k")


def test_a_state_is_changed_by_who_saw_it_last(session: Session) -> None:
    agent, states = make_agent(session), AgentStates(session)
    add(session, AgentState(agent_id=agent.id))
    assert states.set_status(agent.id, AgentStatusDetail.BUSY, version=0, now=NOW) == 1
    with pytest.raises(ConflictError, match="version 1"):
        states.set_status(agent.id, AgentStatusDetail.IDLE, version=0, now=NOW)
    assert states.get(agent.id).current_status is AgentStatusDetail.BUSY


def test_what_is_not_given_stays_as_it_is(session: Session) -> None:
    agent, states = make_agent(session), AgentStates(session)
    add(session, AgentState(agent_id=agent.id, workflow_data={"a": 1}))
    states.set_status(agent.id, AgentStatusDetail.BUSY, version=0, now=NOW)
    assert states.get(agent.id).workflow_data == {"a": 1}
    states.set_status(agent.id, AgentStatusDetail.BUSY, version=1, now=NOW, workflow_data={})
    states.record_error(agent.id, {"error": "e"}, version=2, now=NOW)
    state = states.get(agent.id)
    assert (state.workflow_data, state.error_count, state.last_error) == ({}, 1, {"error": "e"})
    assert state.current_status is AgentStatusDetail.ERROR
    assert states.clear_errors(agent.id, version=3, now=NOW) == 4
    state = states.get(agent.id)
    assert (state.error_count, state.current_status) == (0, AgentStatusDetail.IDLE)


def test_of_two_who_change_a_state_at_once_one_wins(database: Database) -> None:
    with database.transaction() as session:
        agent_id = make_agent(session).id
        add(session, AgentState(agent_id=agent_id))
    start, outcomes = threading.Barrier(2), []

    def change(agent_id: UUID) -> None:
        try:
            with database.transaction() as session:
                states = AgentStates(session)
                version = states.get(agent_id).version
                start.wait(timeout=30)
                states.set_status(agent_id, AgentStatusDetail.BUSY, version=version, now=NOW)
            outcomes.append("won")
        except ConflictError:
            outcomes.append("lost")

    threads = [threading.Thread(target=change, args=(agent_id,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(outcomes) == ["lost", "won"]


def test_enabled_capabilities_are_found_by_range(session: Session) -> None:
    agent = make_agent(session)
    for version, ratio in (("1.9.0", 0.25), ("1.10.0", 0.75), ("2.0.0-rc.1", 0), ("0.9.0", 0)):
        capability = AgentCapability(
            agent_id=agent.id,
            capability_name="c",
            capability_version=version,
            traffic_ratio=ratio,
            enabled=version != "0.9.0",
        )
        add(session, capability)
    capabilities = Capabilities(session)
    found = capabilities.list_enabled("c", at_least="1.0.0", below="2.0.0-0")
    assert [c.capability_version for c in found] == ["1.10.0", "1.9.0"]
    assert capabilities.list_enabled("c")[0].capability_version == "2.0.0-rc.1"
    with pytest.raises(InputError, match="semantic version"):
        capabilities.list_enabled("c", at_least="1.0")


def test_versions_have_the_order_of_semver() -> None:
    order = ["1.0.0-2", "1.0.0-11", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0", "1.0.1"]
    shuffled = sorted(order, key=str.__len__)
    assert sorted(shuffled, key=parse_version) == order


def test_metrics_are_aggregated_and_searched(session: Session) -> None:
    agent, metrics = make_agent(session), AgentMetrics(session)
    for number in range(6):
        row = AgentMetric(
            agent_id=agent.id,
            metric_name="m",
            metric_value=number,
            recorded_at=NOW + timedelta(minutes=20 * number),
            tags={"zone": {"name": "a" if number < 4 else "b"}},
        )
        add(session, row)
    span: Any = {"start": NOW, "end": NOW + timedelta(hours=2)}
    buckets = metrics.compute_buckets(agent.id, "m", width=timedelta(hours=1), **span)
    assert [replace(bucket, p95=round(bucket.p95, 6)) for bucket in buckets] == [
        Bucket(NOW, 3, 1.0, 0.0, 2.0, 1.9),
        Bucket(NOW + timedelta(hours=1), 3, 4.0, 3.0, 5.0, 4.9),
    ]
    found = metrics.list_page(agent.id, "m", tags={"zone": {"name": "b"}}, **span)
    assert [sample.metric_value for sample in found.items] == [4, 5]
    with pytest.raises(ConstraintError) as caught:
        metrics.list_page(agent.id, "m", tags={"zone": "a\0"}, **span)
    assert (caught.value.table, caught.value.column) == ("agent_metrics", "tags")
    with pytest.raises(InputError, match="interval"):
        metrics.compute_buckets(agent.id, "m", width=timedelta(0), **span)


def add_versions(session: Session, *versions: str) -> UUID:
    agent = make_agent(session)
    for number, version in enumerate(versions):
        add(
            session,
            AgentCapability(
                agent_id=agent.id,
                capability_name="kv_cache_tuning",
                capability_version=version,
                enabled=number == 0,
                traffic_ratio=float(number == 0),
            ),
        )
    return agent.id


def test_a_split_is_kept_for_each_subject_and_recorded(session: Session) -> None:
    agent = add_versions(session, "1.0.0", "2.0.0", "3.0.0-rc.1")
    capabilities = Capabilities(session)
    name = "kv_cache_tuning"
    capabilities.set_split(agent, name, {"1.0.0": 0.9, "2.0.0": 0.1}, now=NOW)
    session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # the sum is looked at now
    session.execute(text("SET CONSTRAINTS ALL DEFERRED"))
    chosen = [
        capabilities.choose(name, agent_id=agent, subject=f"s{n}").capability_version
        for n in range(2_000)
    ]
    assert set(chosen) == {"1.0.0", "2.0.0"}
    assert chosen.count("2.0.0") / len(chosen) == pytest.approx(0.1, abs=0.02)
    again = capabilities.choose(name, agent_id=agent, subject="s7").capability_version
    assert again == chosen[7]
    # More traffic takes nobody away from the version that grows.
    capabilities.set_split(agent, name, {"1.0.0": 0.5, "2.0.0": 0.5}, now=NOW)
    later = [
        capabilities.choose(name, agent_id=agent, subject=f"s{n}").capability_version
        for n in range(200)
    ]
    assert all(new == "2.0.0" for old, new in zip(chosen, later, strict=False) if old == "2.0.0")
    only = capabilities.choose(name, agent_id=agent, subject="s", at_least="2.0.0")
    assert only.capability_version == "2.0.0"
    history = capabilities.list_history(agent, name)
    assert {(h.version, h.traffic_ratio) for h in history[:2]} == {("1.0.0", 0.5), ("2.0.0", 0.5)}
    assert len(history) == 3 + 2 + 2
    for change in (
        "UPDATE capability_splits SET traffic_ratio = 1",
        "DELETE FROM capability_splits",
    ):
        with pytest.raises(IntegrityError, match="never changed"), session.begin_nested():
            session.execute(text(change))


@pytest.mark.parametrize(
    "shares",
    [{}, {"1.0.0": 0.5}, {"1.0.0": 1.5, "2.0.0": -0.5}, {"1.0.0": math.nan}, {"latest": 1.0}],
)
def test_shares_that_divide_nothing_are_refused(session: Session, shares: dict[str, float]) -> None:
    agent = add_versions(session, "1.0.0", "2.0.0")
    with pytest.raises(InputError):
        Capabilities(session).set_split(agent, "kv_cache_tuning", shares, now=NOW)


def test_a_split_names_versions_that_are_there(session: Session) -> None:
    agent = add_versions(session, "1.0.0")
    capabilities = Capabilities(session)
    with pytest.raises(NotFoundError, match=r"no version 9\.0\.0"):
        capabilities.set_split(agent, "kv_cache_tuning", {"9.0.0": 1.0}, now=NOW)
    with pytest.raises(NotFoundError, match="no enabled version"):
        capabilities.choose("kv_cache_tuning", agent_id=agent, subject="s", at_least="2.0.0")
