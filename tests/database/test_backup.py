"""A backup is one snapshot, whole or absent; a restore is checked before and after, or undone."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url, select
from tests.database.same_schema import list_differences
from tests.factories.core import make_agent, make_customer, make_event
from tests.fixtures_database import run_admin

from optiinfra.database import backup as backup_module
from optiinfra.database.archive import Archive, Manifest, read_archive, writing_archive
from optiinfra.database.backup import backup, restore
from optiinfra.database.engine import Database, make_engine
from optiinfra.database.models import Customer, Event
from optiinfra.database.verification import verify
from optiinfra.domain.errors import ConflictError, DatabaseError, InputError
from optiinfra.embedded.binaries import find_binaries

BIN_DIR = find_binaries().bin_dir
ODD = {"text": "tab\tnewline\nbackslash\\ ∞ 'quote\"", "n": [0.1, -1e-300, 2**53, None, True]}


def fill(url: str, *, num_customers: int = 2) -> None:
    with Database(url) as database, database.transaction() as session:
        agent = make_agent(session)
        for number in range(num_customers):
            customer = make_customer(session, name=f"Ünï {number}", customer_metadata=ODD)
            at = datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
            make_event(session, customer, agent_id=agent.id, data=ODD, created_at=at)
            make_event(session, customer)


def list_names(url: str) -> list[str]:
    with Database(url) as database, database.reading() as session:
        return sorted(session.scalars(select(Customer.name)))


def run(url: str, script: str) -> None:
    with make_engine(url, is_pooled=False).begin() as connection:
        connection.exec_driver_sql(script)


def is_empty(url: str) -> bool:
    with make_engine(url, is_pooled=False).connect() as connection:
        query = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        return bool(connection.exec_driver_sql(query).scalar_one() == 0)


def remake(archive: Archive, path: Path, **changes: object) -> Path:
    """A well-sealed archive with the same dump and another manifest."""
    with writing_archive(path) as new:
        for chunk in archive.read_dump():
            new.dump.write(chunk)
        new.manifest = archive.manifest.model_copy(update=changes)
    return path


@pytest.fixture
def saved(fresh_url: str, tmp_path: Path) -> Path:
    fill(fresh_url)
    backup(fresh_url, tmp_path / "saved.tar", bin_dir=BIN_DIR)
    return tmp_path / "saved.tar"


def test_what_comes_back_is_what_was_there(
    fresh_url: str, empty_url: str, saved: Path, tmp_path: Path
) -> None:
    manifest = restore(saved, empty_url, bin_dir=BIN_DIR)
    assert manifest.tables["public.events"].num_rows == 4
    assert list_names(empty_url) == list_names(fresh_url)
    with Database(empty_url) as database, database.reading() as session:
        assert all(c.customer_metadata == ODD for c in session.scalars(select(Customer)))
        assert min(session.scalars(select(Event.created_at))).microsecond == 999_999
    assert verify(empty_url) == []
    again = backup(empty_url, tmp_path / "again.tar", bin_dir=BIN_DIR)
    assert again.tables == manifest.tables
    assert again.revision == manifest.revision


def test_rows_that_others_write_meanwhile_are_in_neither_dump_nor_counts(
    fresh_url: str, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(fresh_url, num_customers=1)
    dump = backup_module._dump

    def write_then_dump(*arguments: object, **options: object) -> None:
        fill(fresh_url, num_customers=3)
        run(fresh_url, "DELETE FROM customers WHERE name = 'Ünï 0' AND id IN (TABLE first)")
        dump(*arguments, **options)  # type: ignore[arg-type]

    run(fresh_url, "CREATE TABLE first AS SELECT id FROM customers")
    monkeypatch.setattr(backup_module, "_dump", write_then_dump)
    backup(fresh_url, tmp_path / "saved.tar", bin_dir=BIN_DIR)
    assert list_names(fresh_url) == ["Ünï 0", "Ünï 1", "Ünï 2"]
    restore(tmp_path / "saved.tar", empty_url, bin_dir=BIN_DIR)
    assert list_names(empty_url) == ["Ünï 0"]


def test_any_altered_byte_is_refused_before_anything_is_touched(
    empty_url: str, saved: Path
) -> None:
    content = saved.read_bytes()
    places = [*range(0, len(content), len(content) // 40), *range(len(content) - 80, len(content))]
    for place in places:
        altered = bytearray(content)
        altered[place] ^= 0x20
        saved.write_bytes(altered)
        with pytest.raises(InputError) as caught:
            restore(saved, empty_url, bin_dir=BIN_DIR)
        assert str(saved) in str(caught.value)
    assert is_empty(empty_url)


def test_a_file_cut_off_or_longer_is_refused(empty_url: str, saved: Path) -> None:
    content = saved.read_bytes()
    for size in (0, 1, 511, 512, 70_000, len(content) - 80, len(content) - 1):
        saved.write_bytes(content[:size])
        with pytest.raises(InputError):
            restore(saved, empty_url, bin_dir=BIN_DIR)
    saved.write_bytes(content + b"\n")
    with pytest.raises(InputError):
        restore(saved, empty_url, bin_dir=BIN_DIR)
    assert is_empty(empty_url)


def test_a_file_that_changes_after_its_check_is_not_kept(
    empty_url: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_then_alter(path: Path) -> Archive:
        archive = read_archive(path)
        content = bytearray(path.read_bytes())
        content[2_000] ^= 1
        path.write_bytes(content)
        return archive

    monkeypatch.setattr(backup_module, "read_archive", read_then_alter)
    with pytest.raises((InputError, DatabaseError)):
        restore(saved, empty_url, bin_dir=BIN_DIR)
    assert is_empty(empty_url)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "format version 2"),
        ({"format": "something else"}, "format version 1"),
        ({"revision": "999_from_tomorrow"}, "999_from_tomorrow"),
        ({"server_version_num": 990_000}, "from PostgreSQL 99"),
        ({"tables": {}}, "is not what was backed up: public.agent_"),
        ({"dump_sha256": "0" * 64}, "was changed while it was read"),
    ],
)
def test_another_version_or_content_is_refused_and_leaves_nothing(
    empty_url: str, saved: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    other = remake(read_archive(saved), tmp_path / "other.tar", **changes)
    with pytest.raises((InputError, DatabaseError), match=words):
        restore(other, empty_url, bin_dir=BIN_DIR)
    assert is_empty(empty_url)


def test_a_target_that_holds_something_is_kept_unless_asked(
    saved: Path, tmp_path: Path, make_database: Callable[..., str], migrated_url: str
) -> None:
    target = make_database("migrated")
    fill(target, num_customers=5)
    with pytest.raises(ConflictError, match="not empty"):
        restore(saved, target, bin_dir=BIN_DIR)
    wrong = remake(read_archive(saved), tmp_path / "wrong.tar", tables={})
    with pytest.raises(DatabaseError, match="Nothing was changed"):
        restore(wrong, target, bin_dir=BIN_DIR, is_replacing=True)
    assert len(list_names(target)) == 5  # the drop was undone with the rest
    run(target, "CREATE SCHEMA old; CREATE TABLE old.things (id int)")
    restore(saved, target, bin_dir=BIN_DIR, is_replacing=True)
    assert len(list_names(target)) == 2
    assert list_differences(target, migrated_url) == []


def test_what_psql_refuses_is_said_and_undone(
    empty_url: str, saved: Path, tmp_path: Path, postgres_url: str
) -> None:
    run_admin(postgres_url, "CREATE ROLE newcomer LOGIN PASSWORD 'secret'")
    try:
        url = make_url(empty_url).set(username="newcomer", password="secret")  # noqa: S106
        with pytest.raises(DatabaseError, match=r"psql failed: ERROR: +permission denied"):
            restore(saved, url.render_as_string(hide_password=False), bin_dir=BIN_DIR)
    finally:
        run_admin(postgres_url, "DROP ROLE newcomer")
    assert is_empty(empty_url)
    del tmp_path


def test_a_role_that_would_not_see_every_row_is_refused(
    fresh_url: str, postgres_url: str, tmp_path: Path
) -> None:
    fill(fresh_url)
    run_admin(postgres_url, "CREATE ROLE keeper LOGIN PASSWORD 'secret' IN ROLE pg_read_all_data")
    try:
        run(fresh_url, "ALTER TABLE events ENABLE ROW LEVEL SECURITY")
        url = make_url(fresh_url).set(username="keeper", password="secret")  # noqa: S106
        plain = url.render_as_string(hide_password=False)
        with pytest.raises(DatabaseError, match=r"hides rows of .*events"):
            backup(plain, tmp_path / "saved.tar", bin_dir=BIN_DIR)
        assert list(tmp_path.iterdir()) == []
        run_admin(postgres_url, "ALTER ROLE keeper BYPASSRLS")
        manifest = backup(plain, tmp_path / "saved.tar", bin_dir=BIN_DIR)
        assert manifest.tables["public.events"].num_rows == 4
    finally:
        run_admin(postgres_url, "DROP ROLE keeper")


def test_a_member_of_the_backup_role_acts_as_it(
    fresh_url: str, postgres_url: str, tmp_path: Path
) -> None:
    fill(fresh_url)
    run_admin(postgres_url, "CREATE ROLE keeper LOGIN PASSWORD 'secret' IN ROLE optiinfra_backup")
    try:
        url = make_url(fresh_url).set(username="keeper", password="secret")  # noqa: S106
        plain = url.render_as_string(hide_password=False)
        manifest = backup(plain, tmp_path / "saved.tar", bin_dir=BIN_DIR)
        assert manifest.tables["public.events"].num_rows == 4
    finally:
        run_admin(postgres_url, "DROP ROLE keeper")


def test_roles_that_the_server_lacks_are_made_without_login(
    fresh_url: str, empty_url: str, postgres_url: str, tmp_path: Path
) -> None:
    run_admin(postgres_url, "CREATE ROLE former BYPASSRLS LOGIN")
    try:
        run(fresh_url, "GRANT SELECT ON agents TO former")
        manifest = backup(fresh_url, tmp_path / "saved.tar", bin_dir=BIN_DIR)
        assert not manifest.roles["former"].is_owner
        run(fresh_url, "DROP OWNED BY former")
        run_admin(postgres_url, "DROP ROLE former")
        restore(tmp_path / "saved.tar", empty_url, bin_dir=BIN_DIR)
        with make_engine(empty_url, is_pooled=False).connect() as connection:
            row = connection.exec_driver_sql(
                "SELECT rolcanlogin, rolbypassrls,"
                " has_table_privilege('former', 'agents', 'SELECT')"
                " FROM pg_roles WHERE rolname = 'former'"
            ).one()
        assert tuple(row) == (False, True, True)
    finally:
        run(empty_url, "DROP OWNED BY former")
        run_admin(postgres_url, "DROP ROLE former")


def test_nothing_is_left_of_a_backup_that_fails(
    fresh_url: str, empty_url: str, tmp_path: Path
) -> None:
    place = tmp_path / "backups"
    place.mkdir()
    with pytest.raises(DatabaseError, match="pg_dump cannot be run"):
        backup(fresh_url, place / "saved.tar", bin_dir=tmp_path)
    with pytest.raises(DatabaseError, match="no schema of OptiInfra"):
        backup(empty_url, place / "saved.tar", bin_dir=BIN_DIR)
    with pytest.raises(InputError, match="cannot be written"):
        backup(fresh_url, place / "missing" / "saved.tar", bin_dir=BIN_DIR)
    assert list(place.iterdir()) == []
    with pytest.raises(InputError, match="cannot be read"):
        restore(place / "saved.tar", empty_url, bin_dir=BIN_DIR)


def test_the_file_is_its_owners_a_tar_and_never_overwritten(fresh_url: str, saved: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    with tarfile.open(saved) as archive:
        assert archive.getnames() == ["database.dump", "manifest.json"]
    before = saved.read_bytes()
    with pytest.raises(InputError, match="already a file"):
        backup(fresh_url, saved, bin_dir=BIN_DIR)
    assert saved.read_bytes() == before
    assert isinstance(read_archive(saved).manifest, Manifest)
