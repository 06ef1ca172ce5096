"""Pages over HTTP, and everything that a target can do instead of giving one."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable

import pytest
from tests.unit.adapters.collectors.target_server import PAGE, Pieces, answer, serving, wait_until

from optiinfra.adapters.collectors.addresses import AddressRules, read_networks
from optiinfra.adapters.collectors.fetching import Fetched, Fetcher, FetchLimits
from optiinfra.adapters.collectors.page import PageForm
from optiinfra.adapters.collectors.problems import TargetError, TargetProblem

LOOPBACK = AddressRules(read_networks(["127.0.0.0/8", "::1"]))
LIMITS = FetchLimits(deadline_s=60.0, max_bytes=100_000, free_bytes=1_000, num_large=1)
CUT: Pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\na 1\n"]
BOMB = gzip.compress(bytes(50_000_000))


async def fetch(url: str, rules: AddressRules = LOOPBACK, limits: FetchLimits = LIMITS) -> Fetched:
    fetcher = Fetcher(rules, limits)
    try:
        return await fetcher.fetch(url)
    finally:
        await fetcher.close()


def fetch_answer(pieces: Pieces, limits: FetchLimits = LIMITS) -> Fetched:
    async def run() -> Fetched:
        async with serving({"/metrics": pieces}) as server:
            return await fetch(server.url(), limits=limits)

    return asyncio.run(run())


def test_a_page() -> None:
    fetched = fetch_answer(answer(PAGE, kind="text/plain; version=0.0.4"))
    assert fetched == Fetched(PAGE, PageForm.TEXT)


def test_an_openmetrics_page() -> None:
    fetched = fetch_answer(answer(b"# EOF\n", kind="application/openmetrics-text; version=1.0.0"))
    assert fetched.form == PageForm.OPENMETRICS


def test_a_compressed_page() -> None:
    body = PAGE * 800
    assert fetch_answer(answer(gzip.compress(body), Content_Encoding="gzip")).body == body


@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        (answer(bytes(100_001)), TargetProblem.TOO_LARGE),
        (answer(BOMB, Content_Encoding="gzip"), TargetProblem.TOO_LARGE),
        (answer(gzip.compress(PAGE)[:-9], Content_Encoding="gzip"), TargetProblem.BROKEN_OFF),
        (answer(b"no gzip", Content_Encoding="gzip"), TargetProblem.CONTENT_CODING),
        (answer(PAGE, Content_Encoding="br"), TargetProblem.CONTENT_CODING),
        (answer(PAGE, kind="text/html"), TargetProblem.CONTENT_TYPE),
        (answer(b"", status="503 Busy"), TargetProblem.STATUS),
        (CUT, TargetProblem.BROKEN_OFF),
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], TargetProblem.BROKEN_OFF),
        ([], TargetProblem.BROKEN_OFF),
    ],
)
def test_what_is_no_page(pieces: Pieces, problem: TargetProblem) -> None:
    with pytest.raises(TargetError) as caught:
        fetch_answer(pieces)
    assert caught.value.problem == problem


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_target_that_drips_meets_the_deadline(begun: bytes) -> None:
    drips: Pieces = [begun]
    for _ in range(600):
        drips += [b"X: 1\r\n", 0.1]
    with pytest.raises(TargetError) as caught:
        fetch_answer(drips if begun else [60.0], FetchLimits(deadline_s=0.3))
    assert caught.value.problem == TargetProblem.DEADLINE


def test_nobody_listens() -> None:
    async def run() -> Fetched:
        async with serving({}) as server:
            url = server.url()
        return await fetch(url)

    with pytest.raises(TargetError) as caught:
        asyncio.run(run())
    assert caught.value.problem == TargetProblem.UNREACHABLE


@pytest.mark.parametrize("url", ["ftp://h/", "metrics", "http://", "http://[::1", "file:///etc"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(TargetError) as caught:
        asyncio.run(fetch(url))
    assert caught.value.problem == TargetProblem.URL


def test_a_redirect_on_the_same_host_is_followed_with_its_credentials() -> None:
    async def run() -> list[str]:
        moved = answer(b"", status="307 Temporary Redirect", Location="/metrics/")
        async with serving({"/metrics": moved, "/metrics/": answer(PAGE)}) as server:
            url = server.url().replace("//", "//user:p%40ss@")
            assert (await fetch(url)).body == PAGE
            return server.requests

    first, second = asyncio.run(run())
    assert "Authorization: Basic dXNlcjpwQHNz" in first
    assert "Authorization: Basic dXNlcjpwQHNz" in second


def test_a_redirect_elsewhere_needs_permission_and_loses_its_credentials() -> None:
    async def run(hosts: frozenset[str]) -> list[str]:
        async with serving({"/metrics": answer(PAGE)}) as other:
            location = f"http://localhost:{other.port}/metrics"
            moved = answer(b"", status="302 Found", Location=location)
            async with serving({"/metrics": moved}) as server:
                rules = AddressRules(LOOPBACK.networks, redirect_hosts=hosts)
                url = server.url().replace("//", "//user:secret@")
                assert (await fetch(url, rules)).body == PAGE
                return other.requests

    (request,) = asyncio.run(run(frozenset({"localhost"})))
    assert "Authorization" not in request
    with pytest.raises(TargetError) as caught:
        asyncio.run(run(frozenset()))
    assert caught.value.problem == TargetProblem.REDIRECT
    assert "secret" not in str(caught.value)


def test_redirects_have_an_end() -> None:
    moved = answer(b"", status="302 Found", Location="/metrics")
    with pytest.raises(TargetError) as caught:
        fetch_answer(moved)
    assert caught.value.problem == TargetProblem.REDIRECT


def test_a_redirect_to_an_inner_address_is_refused() -> None:
    async def run() -> None:
        location = "http://169.254.169.254/latest/meta-data/"
        moved = answer(b"", status="302 Found", Location=location)
        async with serving({"/metrics": moved}) as server:
            rules = AddressRules(LOOPBACK.networks, frozenset({"169.254.169.254"}))
            await fetch(server.url(), rules)

    with pytest.raises(TargetError) as caught:
        asyncio.run(run())
    assert caught.value.problem == TargetProblem.ADDRESS


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]",
     "[fd00::1]", "[fe80::1]", "[64:ff9b::a00:1]", "[2002:a00:1::]", "224.0.0.1",
     "100.64.0.1"],
)  # fmt: skip
def test_addresses_that_are_not_public_need_permission(host: str) -> None:
    with pytest.raises(TargetError) as caught:
        asyncio.run(fetch(f"http://{host}/metrics", AddressRules()))
    assert caught.value.problem == TargetProblem.ADDRESS


def test_the_address_that_was_checked_is_connected_to() -> None:
    """A name that answers with another address the second time gains nothing by it."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        del port
        asked.append(host)
        return next(answers)

    async def run() -> list[str]:
        async with serving({"/metrics": answer(PAGE)}) as server:
            rules = AddressRules(LOOPBACK.networks, resolver=resolve)
            assert (await fetch(server.url(host="engine.example"), rules)).body == PAGE
            with pytest.raises(TargetError) as caught:
                await fetch(server.url(host="engine.example"), rules)
            assert caught.value.problem == TargetProblem.ADDRESS
            assert f"Host: engine.example:{server.port}" in server.requests[0]
            return server.requests

    assert len(asyncio.run(run())) == 1
    assert asked == ["engine.example"] * 2


def test_a_name_of_which_one_address_is_not_allowed_is_refused() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        del host, port
        return ["127.0.0.1", "10.0.0.1"]

    rules = AddressRules(LOOPBACK.networks, resolver=resolve)
    with pytest.raises(TargetError) as caught:
        asyncio.run(fetch("http://engine.example/metrics", rules))
    assert caught.value.problem == TargetProblem.ADDRESS


def test_a_name_without_an_address() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError(f"{host}:{port} is not known")

    with pytest.raises(TargetError) as caught:
        asyncio.run(fetch("http://engine.example/metrics", AddressRules(resolver=resolve)))
    assert caught.value.problem == TargetProblem.NOT_RESOLVED


def test_large_pages_wait_for_each_other_and_small_ones_do_not() -> None:
    async def run() -> None:
        go_on = asyncio.Event()
        head = b"HTTP/1.1 200 OK\r\n\r\n" + b"#" * 2_000
        answers: dict[str, Pieces | Callable[[], Pieces]] = {
            "/slow": [head, go_on],
            "/large": answer(b"#" * 2_000),
            "/metrics": answer(PAGE),
        }
        async with serving(answers) as server:
            fetcher = Fetcher(LOOPBACK, LIMITS)
            slow = asyncio.create_task(fetcher.fetch(server.url("/slow")))
            await wait_until(fetcher._large.locked)
            large = asyncio.create_task(fetcher.fetch(server.url("/large")))
            assert (await fetcher.fetch(server.url())).body == PAGE
            assert not large.done()
            go_on.set()
            assert len((await slow).body) == len((await large).body) == 2_000
            await fetcher.close()

    asyncio.run(run())


def test_a_bomb_is_never_unpacked_whole() -> None:
    assert len(zlib.decompress(BOMB, 31)) > 400 * LIMITS.max_bytes  # what the test above was given
