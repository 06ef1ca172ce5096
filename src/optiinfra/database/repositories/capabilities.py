"""What agents can do, by name and range of versions."""

from __future__ import annotations

import re
from typing import TypeAlias

from sqlalchemy import select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.models import AgentCapability
from optiinfra.domain.errors import InputError

MAX_FOUND = 1000
# https://semver.org, without build metadata, which has no order.
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)


# Its parts in an order in which a pre-release comes before its release.
Version: TypeAlias = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def parse_version(text: str) -> Version:
    """The version; InputError where the text is not semver."""
    found = _SEMVER.fullmatch(text)
    if found is None:
        raise InputError(
            f"{text!r} is not a semantic version.", remedy="Write it like 1.2.0.", field="version"
        )
    pre_release = found[4].split(".") if found[4] else []
    parts = tuple(
        (False, int(part), "") if part.isdigit() else (True, 0, part) for part in pre_release
    )
    return int(found[1]), int(found[2]), int(found[3]), not pre_release, parts


class Capabilities:
    """Every query on agent_capabilities."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list_enabled(
        self, name: str, *, at_least: str = "0.0.0-0", below: str | None = None
    ) -> list[AgentCapability]:
        """Enabled capabilities of that name with a version in the range, newest first."""
        lowest, limit = parse_version(at_least), None if below is None else parse_version(below)
        query = (
            select(AgentCapability)
            .where(AgentCapability.capability_name == name, AgentCapability.enabled)
            .order_by(AgentCapability.id)
            .limit(MAX_FOUND)
            .options(raiseload("*"))
        )
        found = [(parse_version(c.capability_version), c) for c in self._session.scalars(query)]
        fitting = [
            (version, capability)
            for version, capability in found
            if version >= lowest and (limit is None or version < limit)
        ]
        return [c for _, c in sorted(fitting, key=lambda pair: pair[0], reverse=True)]
