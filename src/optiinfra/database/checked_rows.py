"""Rows checked against the models before anything is sent: by repositories, and by every flush."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple, NoReturn, TypeVar

from sqlalchemy import Column, Table, inspect
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql import ClauseElement

from optiinfra.database.column_bounds import read_bounds
from optiinfra.database.column_rules import Find, find_instant_fault, find_zone_fault, make_rule
from optiinfra.database.models.base import Base
from optiinfra.database.refusals import Fault, make_refusal

M = TypeVar("M", bound=Base)


class Rule(NamedTuple):
    """A column, and what finds fault with a value for it."""

    column: Column[Any]
    find: Find


def check_values(
    model: type[Base], values: Mapping[str, object], *, takes_naive: bool = False
) -> None:
    """Raise ConstraintError for the first value, by attribute, that its column does not take.

    NULL is left to PostgreSQL, which knows what fills a column, and so are expressions.
    `takes_naive` lets naive instants pass, which their type reads as UTC.
    """
    rules = get_rules(model)
    for key, value in values.items():
        if value is None or key not in rules or isinstance(value, ClauseElement):
            continue
        is_naive = isinstance(value, datetime) and value.tzinfo is None
        if not (takes_naive and is_naive and rules[key].find is find_instant_fault):
            check_value(rules[key], value)


def check_value(rule: Rule, value: object) -> None:
    """Raise ConstraintError where the column does not take the value."""
    fault = rule.find(value)
    if fault is not None:
        raise make_refusal(rule.column, fault)


def require_utc(attribute: InstrumentedAttribute[Any], instant: datetime) -> datetime:
    """The instant in UTC; ConstraintError names the column where it does not say when it was."""
    check_value(Rule(attribute.property.columns[0], find_zone_fault), instant)
    return instant.astimezone(UTC)


def require_text(attribute: InstrumentedAttribute[Any], text: str) -> None:
    """Raise ConstraintError for a text with nothing in it, where it is to name something."""
    if not text:
        refuse(attribute, "is empty", text)


def refuse(attribute: InstrumentedAttribute[Any], why: str, value: object) -> NoReturn:
    """Raise the ConstraintError for a value of that column; `why` ends the sentence."""
    raise make_refusal(attribute.property.columns[0], Fault(why, value))


def add_row(session: Session, model: type[M], **values: Any) -> M:
    """A new row, checked and then sent; what is refused leaves the session as it was."""
    check_values(model, values)
    row = model(**values)
    session.add(row)
    session.flush()
    return row


def check_flush(session: Session, *_: object) -> None:
    """Check what a session is about to write: all of a new row, and what was set of another."""
    for row in session.new:
        check_values(type(row), inspect(row).dict, takes_naive=True)
    for row in session.dirty:
        state = inspect(row)
        changed = {key: state.dict[key] for key in state.committed_state if key in state.dict}
        check_values(type(row), changed, takes_naive=True)


@cache
def get_rules(model: type[Base]) -> Mapping[str, Rule]:
    """The rules of a model's columns, by attribute."""
    mapper = inspect(model)
    found = {}
    for key, column in mapper.columns.items():
        rule = make_rules(column.table).get(column.name)
        if rule is not None:
            found[key] = rule
    return found


@cache
def make_rules(table: Table) -> Mapping[str, Rule]:
    """The rules of a table's columns, by name."""
    bounds = read_bounds(table)
    finds = {column: make_rule(column, bounds.get(column.name, [])) for column in table.columns}
    return {c.name: Rule(c, find) for c, find in finds.items() if find is not None}
