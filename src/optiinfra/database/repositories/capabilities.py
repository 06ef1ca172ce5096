"""What agents can do, by name and range of versions, and which version serves whom."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import require_utc
from optiinfra.database.models import AgentCapability, CapabilitySplit
from optiinfra.database.repositories.turns import take_turn
from optiinfra.domain.errors import InputError, NotFoundError
from optiinfra.kit import versions
from optiinfra.kit.versions import Version

MAX_FOUND = 1000
TOLERANCE = 1e-9  # of a sum of shares, as in the database


def parse_version(text: str) -> Version:
    """The version; InputError where the text is not semver."""
    try:
        return versions.parse_version(text)
    except ValueError as error:
        raise InputError(f"{error}.", remedy="Write it like 1.2.0.", field="version") from error


@dataclass(frozen=True, slots=True)
class Share:
    """What a version of a capability had of its traffic from then on, and who said so."""

    version: str
    traffic_ratio: float  # 0 where it was not enabled
    changed_by: str
    at: datetime


class Capabilities:
    """Every query on agent_capabilities and on the history of their shares."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list_enabled(
        self,
        name: str,
        *,
        agent_id: UUID | None = None,
        at_least: str = "0.0.0-0",
        below: str | None = None,
    ) -> list[AgentCapability]:
        """Enabled capabilities of that name with a version in the range, newest first."""
        lowest, limit = parse_version(at_least), None if below is None else parse_version(below)
        query = select(AgentCapability).where(
            AgentCapability.capability_name == name, AgentCapability.enabled
        )
        if agent_id is not None:
            query = query.where(AgentCapability.agent_id == agent_id)
        query = query.order_by(AgentCapability.id).limit(MAX_FOUND).options(raiseload("*"))
        found = [(parse_version(c.capability_version), c) for c in self._session.scalars(query)]
        fitting = [
            (version, capability)
            for version, capability in found
            if version >= lowest and (limit is None or version < limit)
        ]
        return [c for _, c in sorted(fitting, key=lambda pair: pair[0], reverse=True)]

    def choose(
        self,
        name: str,
        *,
        agent_id: UUID,
        subject: str,
        at_least: str = "0.0.0-0",
        below: str | None = None,
    ) -> AgentCapability:
        """The version that serves `subject` (a customer, a request) under the present split.

        The same subject gets the same version for as long as the split stays, and many subjects are
        spread as it says. NotFoundError where no version in the range has any traffic.
        """
        found = self.list_enabled(name, agent_id=agent_id, at_least=at_least, below=below)
        serving = [capability for capability in found if capability.traffic_ratio > 0]
        if not serving:
            raise NotFoundError(
                f"Agent {agent_id} has no enabled version of {name!r} in that range with traffic.",
                remedy="Enable one, or give it a share of the traffic.",
            )
        digest = hashlib.sha256(f"{agent_id}\x1f{name}\x1f{subject}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        place *= sum(capability.traffic_ratio for capability in serving)
        for capability in serving[:-1]:
            place -= capability.traffic_ratio
            if place < 0:
                return capability
        return serving[-1]

    def set_split(
        self, agent_id: UUID, name: str, shares: Mapping[str, float], *, now: datetime
    ) -> None:
        """Divide the traffic of a capability among its versions: those named, in shares that sum 1.

        Versions that are not named are disabled. All or nothing; a trigger records each change.
        Raises InputError for shares that are none, NotFoundError for a version that is not there.
        """
        changed_at = require_utc(AgentCapability.updated_at, now)
        _check_shares(name, shares)
        take_turn(self._session, "capability_split", agent_id, name)
        query = select(AgentCapability).where(
            AgentCapability.agent_id == agent_id, AgentCapability.capability_name == name
        )
        rows = {
            row.capability_version: row
            for row in self._session.scalars(
                query.limit(MAX_FOUND).with_for_update().options(raiseload("*")),
                execution_options={"populate_existing": True},
            )
        }
        if missing := sorted(shares.keys() - rows.keys()):
            raise NotFoundError(
                f"Agent {agent_id} has no version {', '.join(missing)} of {name!r}.",
                remedy="Nothing was changed; register it first.",
            )
        for version, row in rows.items():
            ratio = shares.get(version, 0.0)
            if (row.enabled, row.traffic_ratio) != (version in shares, ratio):
                row.enabled, row.traffic_ratio = version in shares, ratio
                row.updated_at = changed_at
        self._session.flush()

    def list_history(self, agent_id: UUID, name: str, *, limit: int = MAX_FOUND) -> list[Share]:
        """How its versions shared its traffic, the latest change first."""
        query = (
            select(CapabilitySplit)
            .where(CapabilitySplit.agent_id == agent_id, CapabilitySplit.capability_name == name)
            .order_by(CapabilitySplit.occurred_at.desc(), CapabilitySplit.id.desc())
            .limit(max(1, min(limit, MAX_FOUND)))
        )
        return [
            Share(
                version=row.capability_version,
                traffic_ratio=row.traffic_ratio if row.is_enabled else 0.0,
                changed_by=row.changed_by,
                at=row.occurred_at,
            )
            for row in self._session.scalars(query)
        ]


def _check_shares(name: str, shares: Mapping[str, float]) -> None:
    for version in shares:
        parse_version(version)
    is_share = all(math.isfinite(share) and 0 <= share <= 1 for share in shares.values())
    if not is_share or abs(math.fsum(shares.values()) - 1) > TOLERANCE:
        shown = ", ".join(f"{version} {share:g}" for version, share in shares.items())
        raise InputError(
            f"the shares of {name!r} do not divide its traffic: {shown or 'none'}.",
            remedy="Give shares of 0 to 1 that sum to 1.",
            field="traffic_ratio",
        )
