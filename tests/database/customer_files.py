"""Files of a customer: a good one, and what may be done to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

Rows = list[Any]  # of lists, where they are right
NOBODY = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Sample:
    """A good file and a database that it could be brought into, where somebody else lives."""

    header: dict[str, Any]
    rows: Rows
    target: str
    victim: dict[str, str]  # by table, the id of a row of theirs

    def place(self, table: str, column: str) -> int:
        columns: list[str] = self.header["tables"][table]
        return 1 + columns.index(column)

    def find(self, table: str) -> list[Any]:
        found: list[Any] = next(row for row in self.rows if row[0] == table)
        return found

    def change(self, table: str, **values: object) -> Rows:
        """The rows, with some values of the first one of a table replaced."""
        found = self.find(table)
        row = list(found)
        for column, value in values.items():
            row[self.place(table, column)] = value
        return [row if other is found else other for other in self.rows]

    def add(self, row: list[Any], *, behind: str) -> Rows:
        last = max(n for n, other in enumerate(self.rows) if other[0] == behind)
        return [*self.rows[: last + 1], row, *self.rows[last + 1 :]]


def write(path: Path, header: object, rows: list[Any]) -> Path:
    """A file with a right hash, whoever wrote it."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in [header, *rows]]
    body = b"".join(line + b"\n" for line in lines)
    path.write_bytes(body + json.dumps({"sha256": sha256(body).hexdigest()}).encode() + b"\n")
    return path


def rename(sample: Sample) -> tuple[dict[str, Any], Rows]:
    """The same customer with other ids, address and key."""
    content = json.dumps([sample.header, sample.rows])
    for row in sample.rows:
        place = sample.place(row[0], "id") if "id" in sample.header["tables"][row[0]] else 0
        if len(row[place]) == len(NOBODY):  # a UUID; a series has another kind of number
            content = content.replace(row[place], str(uuid4()))
    header, rows = json.loads(content)
    other = replace(sample, header=header, rows=rows)
    return header, other.change("customers", email="o@example.com", api_key="o")


# What is done to a good file, and what is said about it.
BAD: dict[str, tuple[Callable[[Sample], Rows], str]] = {
    "another customer's row": (
        lambda s: s.change("events", customer_id=s.victim["customers"]),
        "the row of events is another customer's",
    ),
    "a child of another customer's row": (
        lambda s: s.change("optimizations", recommendation_id=s.victim["recommendations"]),
        "refers to recommendations that the file has not",
    ),
    "an agent of here": (
        lambda s: s.change("recommendations", agent_id=s.victim["agents"]),
        "refers to agents that the file has not",
    ),
    "an agent that nobody needs": (
        lambda s: s.add(
            [
                "agents",
                *(
                    {"id": NOBODY, "name": "mine"}.get(column, value)
                    for column, value in zip(
                        s.header["tables"]["agents"], s.find("agents")[1:], strict=True
                    )
                ),
            ],
            behind="agents",
        ),
        "no row of the customer needs the agents",
    ),
    "a history of another customer's row": (
        lambda s: s.change(
            "audit_log", table_name="recommendations", row_id=s.victim["recommendations"]
        ),
        "audit_log tells of a row of recommendations that somebody else has here",
    ),
    "a history of an agent": (
        lambda s: s.change("audit_log", table_name="agents"),
        "audit_log tells of a table that holds nothing of customers",
    ),
    "a transition of another customer's step": (
        lambda s: s.change("workflow_state_transitions", step_id=s.victim["workflow_steps"]),
        "names a row of workflow_steps that somebody else has here",
    ),
    "no customer": (
        lambda s: [row for row in s.rows if row[0] != "customers"],
        "has not exactly one customer",
    ),
    "two customers": (
        lambda s: s.add(["customers", str(uuid4()), *s.find("customers")[2:]], behind="customers"),
        "has not exactly one customer",
    ),
    "the same row twice": (
        lambda s: s.add(s.find("events"), behind="events"),
        "a second row of events has the same id, created_at",
    ),
    "no id": (lambda s: s.change("events", id="x"), 'invalid input syntax for type uuid: "x"'),
    "no time": (
        lambda s: s.change("events", created_at="soon"),
        "invalid input syntax for type ti",
    ),
    "no number": (
        lambda s: s.change("optimizations", progress="1.5"),
        "invalid input syntax for t",
    ),
    "a number too large": (lambda s: s.change("optimizations", progress="9" * 20), "out of range"),
    "no member of an enum": (
        lambda s: s.change("customers", plan="gold"),
        'invalid input value for enum customerplan: "gold"',
    ),
    "no document": (lambda s: s.change("events", data="{"), "invalid input syntax for type json"),
    "a document too deep": (lambda s: s.change("events", data="[" * 100_000), "stack depth limit"),
    "a text too long": (lambda s: s.change("events", event_type="x" * 101), "value too long"),
    "a null": (lambda s: s.change("events", event_type=None), "null value in column"),
    "a value that a check refuses": (
        lambda s: s.change("optimizations", progress="101"),
        'relation "optimizations" violates check constraint "check_progress_range"',
    ),
}


# What needs no database to be seen.
BAD_LINES: dict[str, tuple[Callable[[Sample], Rows], str]] = {
    "an unknown table": (lambda s: [*s.rows, ["pg_authid", "x"]], "'pg_authid' is no table of a"),
    "a table that is nobody's": (
        lambda s: [*s.rows, ["agent_configs", NOBODY]],
        "'agent_configs' is no table of a customer",
    ),
    "no table": (lambda s: [*s.rows, [["events"]]], "is no table of a customer"),
    "a value too few": (
        lambda s: s.add(s.find("events")[:-1], behind="events"),
        "events has 7 columns, and the line 6 values",
    ),
    "a value too many": (
        lambda s: s.add([*s.find("events"), "x"], behind="events"),
        "events has 7 columns, and the line 8 values",
    ),
    "a number": (lambda s: s.change("events", data=1), "neither null nor a text"),
    "a list": (lambda s: s.change("events", data=["x"]), "neither null nor a text"),
    "a NUL": (lambda s: s.change("events", event_type="a\0b"), "neither null nor a text"),
    "half a character": (lambda s: s.change("events", event_type="\ud800"), "neither null nor a"),
    "an empty list": (lambda s: [*s.rows, []], "the line is no row"),
    "an object": (lambda s: [*s.rows, {"events": 1}], "the line is no row"),
    "no JSON": (lambda s: [*s.rows, b"events"], "the line is no row"),
    "no text": (lambda s: [*s.rows, b"\xff\xfe"], "the line is no row"),
    "a thousand lists in one another": (lambda s: [*s.rows, b"[" * 100_000], "the line is no row"),
    "tables in another order": (
        lambda s: [*s.rows, s.find("events")],
        "events stands behind a later table",
    ),
}
