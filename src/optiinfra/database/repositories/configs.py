"""The settings of agents: typed, and encrypted where they are sensitive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import check_values, require_text, require_utc
from optiinfra.database.models import AgentConfig
from optiinfra.database.refusals import REDACTED
from optiinfra.database.repositories.config_values import (
    ConfigValue,
    format_value,
    parse_type,
    parse_value,
)
from optiinfra.database.repositories.turns import take_turn
from optiinfra.database.sealing import Sealer
from optiinfra.domain.errors import InputError, KeyMissingError, NotFoundError

MAX_BATCH = 1000
FIRST_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class RotatedBatch:
    """How many values were sealed again, what could not be read, and the last id looked at."""

    num_sealed: int
    unreadable: tuple[str, ...]
    last: UUID | None


class Configs:
    """Every query on agent_configs; sensitive values can be set and got with a sealer alone."""

    def __init__(self, session: Session, *, sealer: Sealer | None = None) -> None:
        self._session = session
        self._sealer = sealer

    def get(self, agent_id: UUID, key: str) -> ConfigValue:
        """The value in its type: a float key returns a float. NotFoundError where it is not set."""
        row = self._find(agent_id, key)
        if row is None:
            raise NotFoundError(f"Agent {agent_id} has no setting {key!r}.", remedy="Set it first.")
        text = row.config_value
        if row.is_sensitive:
            place = _get_place(row.id, row.agent_id, key)
            text = self._require_sealer(key).open(text, place=place, key_id=row.key_id)
        return parse_value(text, row.config_type, key=key)

    def list_shown(self, agent_id: UUID) -> dict[str, ConfigValue]:
        """All settings of an agent as they may be shown: sensitive values are not."""
        query = select(AgentConfig).where(AgentConfig.agent_id == agent_id)
        rows = self._session.scalars(
            query.order_by(AgentConfig.config_key).limit(MAX_BATCH).options(raiseload("*"))
        )
        return {
            row.config_key: REDACTED
            if row.is_sensitive
            else parse_value(row.config_value, row.config_type, key=row.config_key)
            for row in rows
        }

    def set(
        self,
        agent_id: UUID,
        key: str,
        value: ConfigValue,
        *,
        type_name: str,
        now: datetime,
        is_sensitive: bool = False,
        description: str | None = None,
    ) -> None:
        """Write a setting; InputError where the value is not of its type.

        `type_name` is one of the five types, or `number`. What was sensitive once stays so.
        """
        changed_at = require_utc(AgentConfig.updated_at, now)
        check_values(AgentConfig, {"config_key": key, "description": description})
        require_text(AgentConfig.config_key, key)
        text, type_ = format_value(value, parse_type(type_name), key=key)
        take_turn(self._session, "agent_config", agent_id, key)
        old = self._find(agent_id, key)
        is_secret = is_sensitive or (old is not None and old.is_sensitive)
        id_ = uuid4() if old is None else old.id
        key_id = None
        if is_secret:
            sealer = self._require_sealer(key)
            text, key_id = sealer.seal(text, place=_get_place(id_, agent_id, key)), sealer.active
        values = {
            "config_value": text,
            "config_type": type_,
            "is_sensitive": is_secret,
            "key_id": key_id,
            "updated_at": changed_at,
        }
        if description is not None:
            values["description"] = description
        statement = insert(AgentConfig).values(
            id=id_, agent_id=agent_id, config_key=key, created_at=changed_at, **values
        )
        self._session.execute(
            statement.on_conflict_do_update(
                constraint="uq_agent_config", set_=values | {"version": AgentConfig.version + 1}
            )
        )

    def rotate(self, *, after: UUID = FIRST_ID, limit: int = MAX_BATCH) -> RotatedBatch:
        """Seal again, with the active key, values behind `after` that another key sealed.

        Call it, a transaction a batch, with the last id of the batch before, until there is none.
        Rows that others are changing are left out; readers and writers go on meanwhile.
        """
        sealer = self._require_sealer("any")
        query = (
            select(AgentConfig)
            .where(self._is_outdated(sealer), AgentConfig.id > after)
            .order_by(AgentConfig.id)
            .limit(max(1, min(limit, MAX_BATCH)))
            .with_for_update(skip_locked=True)
            .options(raiseload("*"))
            .execution_options(populate_existing=True)
        )
        rows = self._session.scalars(query).all()
        unreadable = []
        for row in rows:
            place = _get_place(row.id, row.agent_id, row.config_key)
            try:
                value = sealer.open(row.config_value, place=place, key_id=row.key_id)
            except KeyMissingError as error:
                unreadable.append(error.problem)
                continue
            row.config_value = sealer.seal(value, place=place)
            row.key_id = sealer.active
        self._session.flush()
        last = rows[-1].id if rows else None
        return RotatedBatch(len(rows) - len(unreadable), tuple(unreadable), last)

    def count_outdated(self) -> int:
        """How many values are sealed with another key than the active one."""
        query = select(func.count()).where(self._is_outdated(self._require_sealer("any")))
        return self._session.scalars(query).one()

    def list_used_keys(self) -> list[str]:
        """Ids of the keys that values are sealed with."""
        query = select(AgentConfig.key_id).where(AgentConfig.is_sensitive).distinct()
        return sorted(id_ for id_ in self._session.scalars(query) if id_ is not None)

    @staticmethod
    def _is_outdated(sealer: Sealer) -> ColumnElement[bool]:
        return AgentConfig.is_sensitive & AgentConfig.key_id.is_distinct_from(sealer.active)

    def _find(self, agent_id: UUID, key: str) -> AgentConfig | None:
        query = select(AgentConfig).where(
            AgentConfig.agent_id == agent_id, AgentConfig.config_key == key
        )
        return self._session.scalars(
            query.options(raiseload("*")), execution_options={"populate_existing": True}
        ).one_or_none()

    def _require_sealer(self, key: str) -> Sealer:
        if self._sealer is None:
            raise InputError(
                f"The setting {key!r} is sensitive, and there is no key to encrypt it with.",
                remedy="Make one with `optiinfra db rotate-key`.",
                field=key,
            )
        return self._sealer


def _get_place(id_: UUID, agent_id: UUID, key: str) -> str:
    return f"agent_configs/{id_}/{agent_id}/{key}"
