"""A file of targets, read round by round, for a person who wants to see what they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from optiinfra.adapters.collectors.addresses import AddressRules, read_networks
from optiinfra.adapters.collectors.discovery import fetch_groups, make_name, read_target_file
from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.problems import TargetError
from optiinfra.adapters.collectors.scraper import Clock, ScrapePolicy, Scraper, TargetState
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.errors import InputError
from optiinfra.domain.samples import SampleBatch


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """Which targets to read, how often (None: until cancelled), and which networks to allow."""

    path: Path
    num_rounds: int | None = 1
    interval_s: float = 15.0
    allow_networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """All targets at one instant: the state of each and its samples."""

    at_ns: int
    targets: tuple[tuple[TargetState, SampleBatch], ...]
    stale: frozenset[str]  # names of targets without a recent value


async def watch(request: WatchRequest, clock: Clock) -> AsyncGenerator[Round, None]:
    """One round after the other, `interval_s` apart.

    Raises:
        InputError: the file cannot be used, or an http_sd address gives nothing.
    """
    read = read_target_file(request.path)
    networks = read.networks + read_networks(request.allow_networks)
    fetcher = Fetcher(AddressRules(networks, read.redirect_hosts))
    batches: dict[str, SampleBatch] = {}

    async def keep(batch: SampleBatch) -> None:
        batches[batch.series[0].target] = batch

    policy = ScrapePolicy(interval_s=request.interval_s, stale_after_s=4 * request.interval_s)
    scraper = Scraper(fetcher, keep, clock, policy)
    try:
        targets = list(read.targets)
        for url in read.http_sd:
            targets += await _discover(fetcher, url, targets, read.customer_id)
        if not targets:
            raise InputError(
                "There is no target.", remedy="Name some in it.", file=str(request.path)
            )
        scraper.set_targets(targets)
        number = 0
        while request.num_rounds is None or number < request.num_rounds:
            if number:
                await asyncio.sleep(request.interval_s)
            number += 1
            await scraper.scrape_once()
            now_ns = clock()
            states = scraper.states
            yield Round(
                now_ns,
                tuple((state, batches[state.target.name]) for state in states),
                frozenset(s.target.name for s in states if s.is_stale(now_ns, policy)),
            )
    finally:
        await scraper.close()


async def _discover(
    fetcher: Fetcher, url: str, known: Sequence[Target], customer_id: UUID
) -> list[Target]:
    names = {target.name for target in known}
    try:
        found = await fetch_groups(fetcher, url, customer_id)
    except TargetError as error:
        raise InputError(
            f"the targets of {make_name(url)} cannot be had: {error}.",
            remedy="Check the http_sd address.",
            field="http_sd",
        ) from error
    return [target for target in found if target.name not in names]


def watch_in_turn(request: WatchRequest, clock: Clock) -> Iterator[Round]:
    """The same for callers without an event loop."""
    loop = asyncio.new_event_loop()
    rounds = watch(request, clock)
    try:
        while True:
            try:
                yield loop.run_until_complete(anext(rounds))
            except StopAsyncIteration:
                return
    finally:
        loop.run_until_complete(rounds.aclose())
        loop.close()
