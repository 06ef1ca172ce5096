"""The revisions make the schema of the contract, whole or not at all, and can be undone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url, text
from tests.fixtures_database import change_database, run_admin

from optiinfra.database import migrate
from optiinfra.database.engine import make_engine
from optiinfra.database.migrations.drift import is_modelled
from optiinfra.database.models import Base
from optiinfra.domain.errors import DatabaseError
from optiinfra.embedded.binaries import find_binaries

# They change databases made elsewhere, or rows; the schema of our own is the same before and after.
NO_CHANGE = {
    "006_adopted_databases", "009_evidence_digests", "026_trusted_schema", "032_histories_begin",
}  # fmt: skip
CONTRACT = Path(__file__).parent / "contract_005.txt"
COLUMNS = text("""
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
      AND NOT a.attisdropped AND c.relname <> 'alembic_version'
    ORDER BY c.relname, a.attnum""")
INDEXES = text("""
    SELECT tablename, indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND indexname NOT LIKE '%\\_pkey' ORDER BY indexname""")
KEYS = text("""
    SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
      AND contype IN ('p', 'f', 'u', 'c') AND conrelid::regclass::text <> 'alembic_version'""")
ENUMS = text("""
    SELECT t.typname, string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
    FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY 1""")
# Enum types of revisions 001 to 005, in the contract's own words.
CONTRACT_ENUMS = (
    "customerplan: free, startup, enterprise · customerstatus: active, suspended, churned ·"
    " agenttype: orchestrator, cost, performance, resource, application · agentstatus: starting,"
    " healthy, degraded, failed, stopped · eventseverity: info, warning, error, critical ·"
    " recommendationpriority: low, medium, high, critical · recommendationstatus: pending,"
    " approved, rejected, executing, completed, failed, rolled_back · approvalstatus: pending,"
    " approved, rejected · optimizationstatus: queued, executing, completed, failed, rolled_back ·"
    " configtype: string, integer, float, boolean, json · agentstatusdetail: idle, busy,"
    " processing, waiting, error · metrictype: counter, gauge, histogram · workflow_type:"
    " cost_analysis, performance_tuning, resource_optimization, quality_check, scaling_decision,"
    " configuration_update, health_check, anomaly_detection · workflow_status: pending, running,"
    " completed, failed, cancelled, timeout · step_status: pending, running, completed, failed,"
    " skipped, retrying · artifact_type: report, config, log, recommendation, chart, metrics,"
    " alert, diagnostic · resource_type: gpu, cpu, memory, disk, network · scaling_event_type:"
    " scale_up, scale_down, auto_scale_triggered, manual_scale, scale_cancelled · baseline_type:"
    " initial, updated, rollback · regression_type: quality_drop, latency_increase,"
    " hallucination_spike, toxicity_increase · regression_severity: low, medium, high, critical ·"
    " regression_action: alert_only, rollback_triggered, manual_review, auto_fixed"
)


def dump(url: str) -> str:
    """The schema as pg_dump writes it, without the lines that differ from dump to dump."""
    program = find_binaries().bin_dir / "pg_dump"
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    done = subprocess.run(
        [program, "--schema-only", "--no-owner", plain], capture_output=True, text=True, check=True
    )
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.MULTILINE)


def describe(connection: Connection) -> str:
    """The tables in the words of the contract."""
    keys = connection.execute(KEYS).all()
    primary = {row[0]: row[3] for row in keys if row[2] == "p"}
    foreign = {
        (row[0], found[1]): f"FK {found[2]}, on delete {found[3].lower()}"
        for row in keys
        if (
            found := re.match(
                r"FOREIGN KEY \((\w+)\) REFERENCES (\w+)\(id\) ON DELETE (.*)", row[3]
            )
        )
    }
    tables: dict[str, list[str]] = {}
    for table, column, type_, is_required, default in connection.execute(COLUMNS):
        kind = type_.replace("character varying", "varchar")
        kind = kind.replace("timestamp with time zone", "timestamptz")
        notes = [] if is_required else ["null"]
        notes += [foreign[table, column]] if (table, column) in foreign else []
        if primary[table] == f"PRIMARY KEY ({column})":
            assert default == "gen_random_uuid()"
            notes += ["PK"]
        elif default is not None:
            notes += ["default " + re.sub(r"::[\w ]+$", "", default)]
        lines = tables.setdefault(table, [])
        lines.append(" | ".join(part for part in (column, kind, "; ".join(notes)) if part))
    for table, name, definition in connection.execute(INDEXES):
        if table in tables:
            columns = definition[definition.index("USING btree ") + len("USING btree ") :]
            is_unique = definition.startswith("CREATE UNIQUE")
            tables[table].append(f"{name} {columns}{' unique' if is_unique else ''}")
    return "\n".join(f"[{table}]\n" + "\n".join(tables[table]) for table in sorted(tables))


def sort_tables(contract: str) -> str:
    return "\n".join(sorted(part.strip() for part in contract.strip().split("\n\n")))


@pytest.fixture(scope="module")
def contract_url(postgres_url: str) -> str:
    """A database at the last revision that the specification fixes."""
    run_admin(postgres_url, "CREATE DATABASE at_contract")
    url = change_database(postgres_url, "at_contract")
    migrate.upgrade(url, "005_application_schema")
    return url


def test_tables_columns_and_indexes_are_those_of_the_contract(contract_url: str) -> None:
    with make_engine(contract_url, is_pooled=False).connect() as connection:
        found = describe(connection)
    expected = sort_tables(CONTRACT.read_text(encoding="utf-8"))
    assert found.splitlines() == expected.splitlines()


def test_enum_types_are_those_of_the_contract(contract_url: str) -> None:
    with make_engine(contract_url, is_pooled=False).connect() as connection:
        found = {row[0]: row[1] for row in connection.execute(ENUMS)}
    assert found == dict(entry.split(": ", 1) for entry in CONTRACT_ENUMS.split(" · "))


def test_constraints_have_postgresqls_own_names(contract_url: str) -> None:
    with make_engine(contract_url, is_pooled=False).connect() as connection:
        rows = connection.execute(KEYS).all()
    names = {row[1] for row in rows}
    spelled_out = {name for name in names if not re.search(r"_(pkey|fkey|key)$", name)}
    assert spelled_out == {
        "check_progress_range",
        "check_confidence_range",
        "uq_agent_type_name",
        "uq_agent_config",
        "uq_agent_capability",
    }
    for table, name, kind, definition in rows:
        if kind == "f":
            column = definition.split("(")[1].split(")")[0]
            assert name == f"{table}_{column}_fkey"


def test_there_is_one_line_of_revisions_named_like_their_files() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    in_order = [revision.revision for revision in script.walk_revisions()][::-1]
    assert script.get_heads() == [in_order[-1]]
    assert tuple(in_order) == migrate.list_revisions()
    assert in_order[:5] == [
        "001_core_schema",
        "002_agent_state_tables",
        "003_workflow_history",
        "004_resource_schema",
        "005_application_schema",
    ]


def test_models_do_not_drift_from_migrations(migrated_url: str) -> None:
    with make_engine(migrated_url, is_pooled=False).connect() as connection:
        options: dict[str, Any] = {
            "compare_type": True,
            "compare_server_default": True,
            "include_name": is_modelled,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.timeout(600)  # a busy machine
def test_up_down_up_of_every_revision_leaves_the_same(empty_url: str) -> None:
    """Up one by one, down one by one to what was there before each, and up again at once."""
    revisions = migrate.list_revisions()
    migrate.upgrade(empty_url, revisions[0])
    migrate.downgrade(empty_url, "base")
    dumps = {"base": dump(empty_url)}
    for below, revision in pairwise(("base", *revisions)):
        migrate.upgrade(empty_url, revision)
        assert migrate.current(empty_url) == revision
        dumps[revision] = dump(empty_url)
        assert (dumps[revision] == dumps[below]) is (revision in NO_CHANGE), revision
        assert "CREATE TABLE public.customers" in dumps[revision]
    for revision, below in pairwise((*revisions[::-1], "base")):
        migrate.downgrade(empty_url, below)
        assert dump(empty_url) == dumps[below], revision
    assert "CREATE TYPE" not in dumps["base"]
    assert migrate.current(empty_url) is None
    migrate.upgrade(empty_url)
    assert dump(empty_url) == dumps[revisions[-1]]


def test_require_schema_makes_an_empty_or_older_database_current(empty_url: str) -> None:
    assert migrate.current(empty_url) is None
    migrate.upgrade(empty_url, "001_core_schema")
    migrate.require_schema(empty_url)
    assert migrate.current(empty_url) == migrate.list_revisions()[-1]
    migrate.require_schema(empty_url)


@pytest.mark.timeout(300)  # a busy machine
def test_an_upgrade_waits_for_another_process(empty_url: str) -> None:
    with (
        make_engine(empty_url, is_pooled=False).connect() as other,
        ThreadPoolExecutor(max_workers=1) as threads,
    ):
        other.exec_driver_sql("SELECT pg_advisory_xact_lock(7263018244115901)")
        upgrade = threads.submit(migrate.require_schema, empty_url)
        with pytest.raises(TimeoutError):
            upgrade.result(timeout=0.4)
        assert migrate.current(empty_url) is None
        other.rollback()
        upgrade.result(timeout=240)
    assert migrate.current(empty_url) == migrate.list_revisions()[-1]


@pytest.mark.timeout(300)  # a busy machine
def test_several_first_starts_at_once_all_succeed(empty_url: str) -> None:
    code = "import sys; from optiinfra.database import migrate; migrate.require_schema(sys.argv[1])"
    starts = [
        subprocess.Popen([sys.executable, "-c", code, empty_url], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [start.communicate(timeout=240)[1] for start in starts] == ["", "", ""]
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert migrate.current(empty_url) == migrate.list_revisions()[-1]


def test_a_newer_schema_is_refused_and_left_alone(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    engine = make_engine(empty_url, is_pooled=False)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '999_from_tomorrow'")
    before = dump(empty_url)
    with pytest.raises(DatabaseError, match="999_from_tomorrow") as caught:
        migrate.require_schema(empty_url)
    assert caught.value.exit_code == 2
    assert "newer OptiInfra" in caught.value.remedy
    assert dump(empty_url) == before


def test_tables_in_the_way_are_named_and_nothing_is_left_behind(empty_url: str) -> None:
    with make_engine(empty_url, is_pooled=False).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE optimizations (mine int)")
    with pytest.raises(DatabaseError, match='"optimizations" already exists') as caught:
        migrate.require_schema(empty_url)
    assert "empty database" in caught.value.remedy
    assert migrate.current(empty_url) is None
    assert "customers" not in dump(empty_url)


@pytest.mark.parametrize("call", [migrate.require_schema, migrate.upgrade, migrate.current])
def test_a_database_that_is_not_there(postgres_url: str, call: Callable[[str], object]) -> None:
    with pytest.raises(DatabaseError, match="no_such_database") as caught:
        call(change_database(postgres_url, "no_such_database"))
    password = make_url(postgres_url).password
    assert password is not None
    assert password not in str(caught.value)
