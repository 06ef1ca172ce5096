"""CPU-seconds and memory of scraping 500 targets of 2,000 series each, for an hour at 15 s.

    python -m benchmarks.scrape_load [--targets 500] [--series 2000] [--rounds 240] [--kept]

The targets are answered by another process on loopback addresses of their own, so that each has
its own connection; every page has other values than the one before. Time is simulated: a round
follows the other at once, but its clock says 15 s later. Counted are the CPU-seconds of the
scraping process alone: reading, unpacking, parsing, rates, means and quantiles of all targets, to
columns of samples; with `--kept` also, as `optiinfra collect` does, to rows in the buffer on disk
and out of it again, to a store that takes them without work. The bar is 15 CPU-seconds a round, one
core. Memory is flat if the last tenth of
the rounds needs no more than 5 % above what the second tenth needed.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from benchmarks.vllm_page import make_vllm_page
from optiinfra.adapters.collectors.addresses import AddressRules, read_networks
from optiinfra.adapters.collectors.fetching import Fetcher, FetchLimits
from optiinfra.adapters.collectors.scraper import Scraper, TargetStatus
from optiinfra.adapters.collectors.target import Target
from optiinfra.adapters.ingestion import BufferedWriter
from optiinfra.adapters.ingestion.sample_sink import SampleSink
from optiinfra.domain.metric_tables import MetricTable
from optiinfra.domain.samples import SampleBatch

INTERVAL_S = 15.0
NUM_VARIANTS = 8
MAX_GROWTH_RATIO = 0.05
DEADLINE_S = 3_600.0  # the servers share the cores with what is measured
_PAGE_BYTES = 4096


def make_host(number: int) -> str:
    """A loopback address for each target."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


def serve(num_targets: int, num_series: int, ready: Connection) -> None:
    """Answer as every target, until terminated."""
    pages = [make_vllm_page(num_series, seed) for seed in range(NUM_VARIANTS)]
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(page), page)
        for page in pages
    ]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answers[number % NUM_VARIANTS])
                await writer.drain()
                number += 1
        writer.close()

    async def run() -> None:
        first = await asyncio.start_server(handle, make_host(0), 0)
        port = first.sockets[0].getsockname()[1]
        others = [
            await asyncio.start_server(handle, make_host(number), port)
            for number in range(1, num_targets)
        ]
        ready.send(port)
        await asyncio.gather(*(server.serve_forever() for server in [first, *others]))

    asyncio.run(run())


def measure_resident_bytes() -> int:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * _PAGE_BYTES


class Discarding:
    """A metric store that takes everything and keeps nothing."""

    def insert_table(self, table: MetricTable, rows: Any, *, token: str) -> None:
        """Take rows."""


async def scrape(
    num_targets: int, port: int, num_rounds: int, directory: Path | None
) -> tuple[list[float], list[int], int]:
    """CPU-seconds and resident bytes of each round, and samples of the last one.

    With a directory the samples go through the buffer there.
    """
    now_ns = 1_700_000_000 * 10**9
    num_samples = 0
    writer = None
    if directory is not None:
        now = lambda: datetime.fromtimestamp(now_ns / 1e9, UTC)  # noqa: E731
        writer = BufferedWriter(Discarding(), directory, now=now)
    sink = None if writer is None else SampleSink(writer)

    async def count(batch: SampleBatch) -> None:
        nonlocal num_samples
        num_samples += len(batch)
        if sink is not None:
            await sink.take(batch)

    rules = AddressRules(read_networks(["127.0.0.0/8"]))
    scraper = Scraper(Fetcher(rules, FetchLimits(deadline_s=DEADLINE_S)), count, lambda: now_ns)
    scraper.set_targets(
        [
            Target(UUID(int=1), f"target-{number}", f"http://{make_host(number)}:{port}/metrics")
            for number in range(num_targets)
        ]
    )
    cpu_s, resident = [], []
    for _ in range(num_rounds):
        num_samples = 0
        begun_s = time.process_time()
        await scraper.scrape_once()
        if sink is not None and writer is not None:
            await sink.write()
            writer.flush(timeout_s=DEADLINE_S)
        cpu_s.append(time.process_time() - begun_s)
        resident.append(measure_resident_bytes())
        now_ns += int(INTERVAL_S * 1e9)
        failed = [s.message for s in scraper.states if s.status != TargetStatus.HEALTHY]
        if failed:
            raise RuntimeError(f"{len(failed)} targets were not read: {failed[0]}")
    await scraper.close()
    if writer is not None:
        writer.close()
    return cpu_s, resident, num_samples


def main() -> int:
    """Print the figures; 1 where a bar is not met."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--targets", type=int, default=500)
    arguments.add_argument("--series", type=int, default=2_000)
    arguments.add_argument("--rounds", type=int, default=240)
    arguments.add_argument("--kept", action="store_true", help="through the buffer on disk")
    given = arguments.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    arguments_of_server = (given.targets, given.series, there)
    server = context.Process(target=serve, args=arguments_of_server, daemon=True)
    server.start()
    try:
        with TemporaryDirectory() as directory:
            kept = Path(directory) if given.kept else None
            cpu_s, resident, num_samples = asyncio.run(
                scrape(given.targets, here.recv(), given.rounds, kept)
            )
    finally:
        server.terminate()
        server.join()
    warm_s = statistics.median(cpu_s[2:] or cpu_s)
    tenth = max(1, given.rounds // 10)
    early = statistics.median(resident[tenth : 2 * tenth] or resident)
    late = statistics.median(resident[-tenth:])
    growth = late / early - 1
    end = "kept on disk and sent" if given.kept else "to columns"
    print(f"{given.targets} targets x {given.series:,} series, {given.rounds} rounds, {end}")
    print(
        f"CPU of a round: {warm_s:.2f} s warm, {cpu_s[0]:.2f} s cold, {max(cpu_s[2:]):.2f} s worst"
    )
    print(f"share of one core at {INTERVAL_S:g} s: {warm_s / INTERVAL_S:.1%}; bar 100 %")
    print(f"samples handed on: {num_samples:,} a round")
    print(f"memory: {early / 2**20:,.0f} MiB early, {late / 2**20:,.0f} MiB late ({growth:+.1%})")
    is_met = warm_s <= INTERVAL_S and growth <= MAX_GROWTH_RATIO
    print("bars:", "met" if is_met else "NOT met")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
