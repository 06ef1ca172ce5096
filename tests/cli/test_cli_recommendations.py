from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from tests.cli.conftest import STORED_ID, make_row
from typer.testing import CliRunner

from optiinfra.cli.main import app
from optiinfra.domain.errors import ConflictError, InputError

OTHER_ID = UUID("0198c1f2-7a4e-7c1d-9b60-000000000000")
DECISION = SimpleNamespace(
    by="ann@example.com",
    status="approved",
    comment="after\x1b[2J the freeze",
    created_at=datetime(2025, 3, 13, 9, 0, tzinfo=UTC),
)
runner = CliRunner()


@pytest.fixture
def stored(bootstrap: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Answers every call with made-up rows; returns what was asked."""
    calls: list[dict[str, Any]] = []

    def list_recommendations(**asked: Any) -> list[Any]:
        calls.append(asked)
        return [make_row(), make_row(id=OTHER_ID, saving_usd_per_h=None)]

    def get_recommendation(**asked: Any) -> Any:
        calls.append(asked)
        return make_row(status="approved", approvals=(DECISION,))

    def decide_recommendation(**asked: Any) -> Any:
        calls.append(asked)
        return make_row(status="approved" if asked["is_approved"] else "rejected")

    for function in (list_recommendations, get_recommendation, decide_recommendation):
        monkeypatch.setattr(bootstrap, function.__name__, function, raising=False)
    return calls


def test_list_shows_ids_that_differ(stored: list[dict[str, Any]]) -> None:
    result = runner.invoke(app, ["recommendations", "list", "--status", "pending", "--limit", "5"])
    assert result.exit_code == 0
    assert str(STORED_ID)[:25] in result.stdout
    assert "unknown" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert (stored[0]["status"], stored[0]["limit"]) == ("pending", 5)


def test_empty_list_says_what_to_do(bootstrap: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "list_recommendations", lambda **_: [], raising=False)
    result = runner.invoke(app, ["recommendations", "list"])
    assert "No recommendation is stored" in result.stdout
    assert runner.invoke(app, ["recommendations", "list", "--json"]).stdout == "[]\n"


def test_an_empty_status_is_not_an_empty_store(
    bootstrap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "list_recommendations", lambda **_: [], raising=False)
    result = runner.invoke(app, ["recommendations", "list", "--status", "ROLLED_BACK"])
    assert result.stdout == "No recommendation is rolled back.\n"


def test_only_what_is_pending_can_be_approved(
    bootstrap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(status: str) -> str:
        row = make_row(status=status)
        monkeypatch.setattr(bootstrap, "get_recommendation", lambda **_: row, raising=False)
        return runner.invoke(app, ["recommendations", "show", "0198"]).stdout

    assert "To approve exactly this" in show("pending")
    assert "To approve" not in show("approved")
    assert "status rejected" in show("rejected")


def test_a_comment_has_a_limit(stored: list[dict[str, Any]]) -> None:
    arguments = ["recommendations", "reject", "0198", "--by", "a@example.com", "--comment"]
    result = runner.invoke(app, [*arguments, "x" * 2_001])
    assert isinstance(result.exception, InputError)
    assert result.exception.field == "--comment"
    assert not stored
    assert runner.invoke(app, [*arguments, "x" * 2_000]).exit_code == 0


@pytest.mark.usefixtures("stored")
def test_json_of_list_and_show() -> None:
    rows = json.loads(runner.invoke(app, ["recommendations", "list", "--json"]).stdout)
    assert [row["id"] for row in rows] == [str(STORED_ID), str(OTHER_ID)]
    assert [row["saving_usd_per_h"] for row in rows] == ["2.49", None]
    row = json.loads(runner.invoke(app, ["recommendations", "show", "0198", "--json"]).stdout)
    assert row["approvals"][0]["by"] == "ann@example.com"
    assert row["data"]["saving_usd_per_h"] == "2.49"


@pytest.mark.usefixtures("stored")
def test_show_prints_change_evidence_and_decisions() -> None:
    result = runner.invoke(app, ["recommendations", "show", "0198"])
    assert result.exit_code == 0
    assert "+ replicas        3" in result.stdout
    assert "approved by ann@example.com" in result.stdout
    assert "\x1b" not in result.stdout


def test_show_takes_the_recommendation_within_a_context(
    bootstrap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = make_row().data
    row = make_row(data={"recommendation": inner, "customer": "Example Corp"})
    monkeypatch.setattr(bootstrap, "get_recommendation", lambda **_: row, raising=False)
    assert "+ replicas        3" in runner.invoke(app, ["recommendations", "show", "0"]).stdout


def test_show_of_other_data_prints_it(bootstrap: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = make_row(data={"unlike": "ours"}, saving_usd_per_h=None)
    monkeypatch.setattr(bootstrap, "get_recommendation", lambda **_: row, raising=False)
    result = runner.invoke(app, ["recommendations", "show", "0198"])
    assert result.exit_code == 0
    assert "Saving unknown" in result.stdout
    assert '"unlike": "ours"' in result.stdout


@pytest.mark.parametrize(("command", "is_approved"), [("approve", True), ("reject", False)])
def test_decisions(stored: list[dict[str, Any]], *, command: str, is_approved: bool) -> None:
    arguments = ["recommendations", command, "0198", "--by", "ann@example.com", "--comment", "ok"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0
    assert f"{'approved' if is_approved else 'rejected'} by ann@example.com" in result.stdout
    asked = {key: value for key, value in stored[0].items() if key != "settings"}
    assert asked == {
        "recommendation_id": "0198",
        "by": "ann@example.com",
        "is_approved": is_approved,
        "comment": "ok",
    }


def test_a_decision_needs_a_name() -> None:
    assert runner.invoke(app, ["recommendations", "approve", "0198"]).exit_code == 2


def test_a_refused_decision_is_an_error(bootstrap: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise ConflictError("It was rejected before.", remedy="Analyse again.")

    monkeypatch.setattr(bootstrap, "decide_recommendation", refuse, raising=False)
    result = runner.invoke(app, ["recommendations", "approve", "0198", "--by", "a@example.com"])
    assert isinstance(result.exception, ConflictError)
