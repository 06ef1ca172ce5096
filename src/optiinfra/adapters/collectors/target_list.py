"""The targets of a collecting process, asked for again and again: a list, a file, http_sd."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from optiinfra.adapters.collectors.addresses import AddressRules, Network
from optiinfra.adapters.collectors.discovery import (
    MAX_TARGETS,
    NOBODY,
    TargetFile,
    fetch_groups,
    make_name,
    read_groups,
    read_target_file,
)
from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.problems import TargetError
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.errors import InputError

_LOG = logging.getLogger(__name__)
_NO_FILE = TargetFile(NOBODY, (), (), (), frozenset())


class DiscoveryProblem(StrEnum):
    """Why targets of before are kept, or some are left out."""

    FILE = "file"  # it cannot be used any more: what it said before holds
    HTTP_SD = "http_sd"  # an address gives no list: what it listed before holds
    SAME_NAME = "same_name"  # of a target that was named before; the first one counts
    TOO_MANY = "too_many_targets"  # those above the limit are left out


@dataclass(frozen=True, slots=True)
class TargetSources:
    """Where targets come from. `customer_id` overrides that of the file."""

    path: Path | None = None
    addresses: tuple[str, ...] = ()  # HOST:PORT, or whole addresses
    networks: tuple[Network, ...] = ()  # allowed beside those of the file
    customer_id: UUID | None = None


class TargetList:
    """What the sources list now; a source that fails is remembered as it was, and counted."""

    def __init__(self, sources: TargetSources) -> None:
        self.problems: Counter[DiscoveryProblem] = Counter()
        self._sources = sources
        self._file = _NO_FILE if sources.path is None else read_target_file(sources.path)
        self.customer_id = sources.customer_id or self._file.customer_id
        if self.customer_id == NOBODY:
            raise InputError(
                "It is not said whose targets these are.",
                remedy="Give --customer, or `customer_id` in the file of targets.",
                field="--customer",
            )
        groups = [{"targets": list(sources.addresses)}]
        self._given = read_groups(groups, self.customer_id, source="--target")
        self._found: dict[str, tuple[Target, ...]] = {}

    @property
    def rules(self) -> AddressRules:
        """Which addresses may be read, as the file says now."""
        return AddressRules(self._sources.networks + self._file.networks, self._file.redirect_hosts)

    async def refresh(self, fetcher: Fetcher) -> list[Target]:
        """Ask every source again; all targets that are known then."""
        if self._sources.path is not None:
            try:
                self._file = await asyncio.to_thread(read_target_file, self._sources.path)
            except InputError as error:
                self._count(DiscoveryProblem.FILE, str(self._sources.path), error)
        fetcher.rules = self.rules
        listed = self._file.http_sd
        self._found = {url: self._found[url] for url in listed if url in self._found}
        await asyncio.gather(*(self._ask(fetcher, url) for url in listed))
        from_file = [replace(each, customer_id=self.customer_id) for each in self._file.targets]
        found = [target for url in listed for target in self._found.get(url, ())]
        return self._merge([*self._given, *from_file, *found])

    async def _ask(self, fetcher: Fetcher, url: str) -> None:
        try:
            self._found[url] = await fetch_groups(fetcher, url, self.customer_id)
        except (TargetError, InputError) as error:
            self._count(DiscoveryProblem.HTTP_SD, make_name(url), error)

    def _merge(self, targets: Sequence[Target]) -> list[Target]:
        by_name: dict[str, Target] = {}
        for target in targets:
            by_name.setdefault(target.name, target)
        merged = list(by_name.values())
        if len(merged) < len(targets):
            self.problems[DiscoveryProblem.SAME_NAME] += len(targets) - len(merged)
        if len(merged) > MAX_TARGETS:
            num_left_out = len(merged) - MAX_TARGETS
            self.problems[DiscoveryProblem.TOO_MANY] += num_left_out
            _LOG.warning("targets_left_out", extra={"num_targets": num_left_out})
        return merged[:MAX_TARGETS]

    def _count(self, problem: DiscoveryProblem, source: str, error: Exception) -> None:
        self.problems[problem] += 1
        about = {"reason": problem.value, "source": source, "detail": str(error)}
        _LOG.warning("targets_not_refreshed", extra=about)
