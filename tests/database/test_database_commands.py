"""`optiinfra db` through the front door, on a real database."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from tests.database.same_schema import list_differences
from tests.database.test_transfer import add_customer, count
from tests.factories.core import NOW, make_agent
from tests.fixtures_database import change_database, run_admin

from optiinfra.cli import main as cli
from optiinfra.database import migrate, verification
from optiinfra.database.engine import Database
from optiinfra.database.key_file import read_keys
from optiinfra.database.repositories.configs import Configs
from optiinfra.database.seeds import seed


class Shell:
    """Runs commands against one database."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.error = ""

    def run(self, url: str, *arguments: str | Path, code: int = 0) -> str:
        self._monkeypatch.setenv("OPTIINFRA_DATABASE_URL", url)
        self._monkeypatch.setattr(sys, "argv", ["optiinfra", "db", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        out = self._capsys.readouterr()
        assert (exit_info.value.code or 0) == code, out.err
        self.error = out.err
        password = make_url(url).password or ""
        assert password not in out.out + out.err
        return out.out


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


def test_up_and_down(shell: Shell, empty_url: str) -> None:
    newest = migrate.list_revisions()[-1]
    assert shell.run(empty_url, "current") == f"no revision (the newest is {newest})\n"
    assert shell.run(empty_url, "upgrade", "002") == "From empty to 002_agent_state_tables.\n"
    assert shell.run(empty_url, "upgrade", "002") == "Nothing to do: 002_agent_state_tables.\n"
    shell.run(empty_url, "upgrade", "9", code=2)
    assert "names 0 revisions" in shell.error
    shell.run(empty_url, "downgrade", "001", code=1)  # asked, and nobody answered
    assert "Undo every revision after 001_core_schema" in shell.error
    assert migrate.current(empty_url) == "002_agent_state_tables"
    shell.run(empty_url, "upgrade")
    add_customer(empty_url)
    shell.run(empty_url, "downgrade", "005", "--yes", code=2)
    assert "Going back to 005_application_schema would lose" in shell.error
    assert migrate.current(empty_url) == migrate.list_revisions()[-1]
    shell.run(empty_url, "downgrade", "002", "--yes", "--accept-loss")
    shell.run(empty_url, "downgrade", "base", "--yes", code=2)
    assert "would lose" in shell.error
    said = shell.run(empty_url, "downgrade", "base", "--yes", "--accept-loss")
    assert said == "From 002_agent_state_tables to empty.\n"


def test_verify_prints_each_difference_and_exits_5(
    shell: Shell, fresh_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_url(fresh_url).database
    run_admin(fresh_url, f"ALTER DATABASE {name} SET jit = off")  # a setting is no schema
    from tests.database.test_verification import run

    run(fresh_url, "DROP TABLE approvals; CREATE TABLE theirs (id int)")
    assert shell.run(fresh_url, "verify", code=5).splitlines() == [
        "table approvals is missing",
        "table theirs should not be there",
    ]
    difference = verification.Difference("table", "theirs", "existence", "missing", "present")
    for differences, code in (([difference], 5), ([], 0)):
        monkeypatch.setattr(verification, "verify", lambda *_, found=differences, **__: found)
        found = json.loads(shell.run(fresh_url, "verify", "--json", code=code))
        assert [entry["name"] for entry in found] == ["theirs"][: len(differences)]
    assert shell.run(fresh_url, "verify").startswith("The schema is what")


def test_backup_and_restore(shell: Shell, fresh_url: str, empty_url: str, tmp_path: Path) -> None:
    add_customer(fresh_url)
    assert "not encrypted" in shell.run(fresh_url, "backup", tmp_path / "b.tar")
    shell.run(fresh_url, "backup", tmp_path / "b.tar", code=2)
    assert shell.error.count("\n") == 1
    assert "counts and hashes agree" in shell.run(empty_url, "restore", tmp_path / "b.tar")
    assert count(empty_url) == count(fresh_url)
    shell.run(empty_url, "restore", tmp_path / "b.tar", code=2)
    assert "not empty" in shell.error
    shell.run(empty_url, "restore", tmp_path / "b.tar", "--replace", code=1)
    shell.run(empty_url, "restore", tmp_path / "b.tar", "--replace", "--yes")


def test_one_customer_out_in_gone_and_unknown(
    shell: Shell, fresh_url: str, tmp_path: Path, empty_url: str
) -> None:
    customer = str(add_customer(fresh_url))
    file = tmp_path / "customer.jsonl"
    shell.run(empty_url, "export", file, "--customer", customer, code=2)
    assert "Run `optiinfra db upgrade` first" in shell.error
    assert customer in shell.run(fresh_url, "export", file, "--customer", customer)
    shell.run(fresh_url, "import", file, code=2)
    shell.run(fresh_url, "purge", "--customer", customer, code=1)
    assert "Removed" in shell.run(fresh_url, "purge", "--customer", customer, "--yes")
    shell.run(fresh_url, "purge", "--customer", customer, "--yes", code=2)
    assert "No customers have" in shell.error
    migrate.upgrade(empty_url)
    assert "Brought in" in shell.run(empty_url, "import", file)
    key = tmp_path / "key"
    shell.run(empty_url, "anonymize", "--yes", "--key-file", key, code=2)
    key.write_bytes(b"short")
    shell.run(empty_url, "anonymize", "--yes", "--key-file", key, code=2)
    assert "Replaced texts" in shell.run(empty_url, "anonymize", "--yes")


def test_months_are_made_ahead_and_dropped_behind(
    shell: Shell, fresh_url: str, migrated_url: str
) -> None:
    made = shell.run(fresh_url, "prune")
    assert made.startswith("Made ")
    assert made.endswith("dropped none.\n")
    assert shell.run(fresh_url, "prune") == "Made none; dropped none.\n"
    shell.run(fresh_url, "prune", "--keep-days", "9", code=1)
    assert shell.run(fresh_url, "prune", "--keep-days", "9", "--yes").startswith("Made none")
    assert list_differences(fresh_url, migrated_url) == []


def test_a_database_that_is_not_there_is_one_paragraph(shell: Shell, postgres_url: str) -> None:
    for command in ("current", "upgrade", "verify"):
        shell.run(change_database(postgres_url, "nowhere"), command, code=2)
        assert shell.error.startswith("error: The database ")
        assert shell.error.count("\n") == 1


def test_rollup_says_what_it_did(shell: Shell, fresh_url: str) -> None:
    with Database(fresh_url) as database, database.transaction() as session:
        seed(session)
    said = "Rolled up 4 days of series; 120 samples were given a series.\n"
    assert shell.run(fresh_url, "rollup") == said
    said = "Rolled up 0 days of series; 0 samples were given a series.\n"
    assert shell.run(fresh_url, "rollup") == said


def test_seeds_are_written_once_and_not_beside_others(shell: Shell, fresh_url: str) -> None:
    said = shell.run(fresh_url, "seed")
    assert said == "Wrote 240 rows of 18 tables, all of them simulated.\n"
    assert shell.run(fresh_url, "seed") == "Nothing to do: the examples are there.\n"
    add_customer(fresh_url)
    shell.run(fresh_url, "seed", code=2)
    assert "1 customers that are not examples" in shell.error
    assert shell.run(fresh_url, "seed", "--beside-others").startswith("Nothing to do")


def test_keys_are_made_prepared_and_rotated(
    shell: Shell, fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secrets" / "keys.json"
    monkeypatch.setenv("OPTIINFRA_KEY_FILE", str(path))
    assert "New key" in shell.run(fresh_url, "rotate-key")
    assert path.stat().st_mode & 0o777 == 0o600
    first = read_keys(path)
    assert first is not None
    with Database(fresh_url) as database:
        with database.transaction() as session:
            agent = make_agent(session)
            for number in range(3):
                Configs(session, sealer=first).set(
                    agent.id,
                    f"k{number}",
                    "hunter2",
                    type_name="string",
                    now=NOW,
                    is_sensitive=True,
                )
            agent_id = agent.id
        shell.run(fresh_url, "rotate-key", "--prepare")
        prepared = read_keys(path)
        assert prepared is not None
        assert (prepared.active, len(prepared.keys)) == (first.active, 2)
        said = shell.run(fresh_url, "rotate-key")
        assert "sealed 3 values again, 0 are left" in said
        assert f"Only old backups need {first.active}" in said
        second = read_keys(path)
        assert second is not None
        assert second.active == list(prepared.keys)[-1]
        with database.transaction() as session:  # a value that nothing opens stops no other
            session.execute(
                text("UPDATE agent_configs SET config_value = 'eA==' WHERE config_key = 'k1'")
            )
        said = shell.run(fresh_url, "rotate-key", code=6)
        assert "cannot be decrypted" in said
        assert "sealed 2 values again, 1 are left" in said
        third = read_keys(path)
        assert third is not None
        said = shell.run(fresh_url, "rotate-key", code=6)  # goes on, and makes no further key
        assert f"Active key {third.active}" in said
        with database.reading() as session:
            assert Configs(session, sealer=third).get(agent_id, "k2") == "hunter2"
    path.unlink()
    shell.run(fresh_url, "rotate-key", code=2)
    assert "Bring the file of keys" in shell.error


def test_a_file_of_keys_that_cannot_be_used(
    shell: Shell, fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    monkeypatch.setenv("OPTIINFRA_KEY_FILE", str(path))
    for content, words in {
        "": "no file of keys",
        '{"active": "a", "keys": {}}': "there is no key 'a'",
        '{"active": "a", "keys": {"a": "eA=="}}': "a key has 32 bytes",
        '{"active": "a", "keys": {"a": "?"}}': "keys cannot be used",
        "[]": "no file of keys",
    }.items():
        path.write_text(content)
        shell.run(fresh_url, "rotate-key", code=2)
        assert words in shell.error
        assert path.read_text() == content


def test_an_altered_history_is_a_difference(shell: Shell, fresh_url: str) -> None:
    shell.run(fresh_url, "seed")
    said = shell.run(fresh_url, "verify", "--histories")
    assert said.endswith("the models expect, and no history was altered.\n")
    with Database(fresh_url) as database, database.transaction() as session:
        for statement in (
            "ALTER TABLE workflow_state_transitions DISABLE TRIGGER USER",
            "DELETE FROM workflow_state_transitions WHERE seq = 2",
            "ALTER TABLE workflow_state_transitions ENABLE TRIGGER USER",
        ):
            session.execute(text(statement))
    said = shell.run(fresh_url, "verify", "--histories", code=5)
    assert "transition 2 is missing or was altered" in said
