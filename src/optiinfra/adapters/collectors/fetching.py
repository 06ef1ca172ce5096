"""One page over HTTP: within a deadline, a size, and the rules of addresses."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

import httpx

from optiinfra.adapters.collectors.addresses import AddressError, AddressRules
from optiinfra.adapters.collectors.page import PageForm
from optiinfra.adapters.collectors.problems import TargetError, TargetProblem

ACCEPT = "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1"
_MAX_REDIRECTS = 3
_KEEP_ALIVE_S = 120.0  # longer than the interval, or every page would need a new connection
_MAX_CLIENTS = 10_500  # more than a process has targets
_PIECE = 2**20  # decompressed at once
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """`max_bytes` of a page after decompression; pages above `free_bytes` wait for a permit."""

    deadline_s: float = 10.0
    max_bytes: int = 32 * 2**20
    free_bytes: int = 2 * 2**20
    num_large: int = 4


@dataclass(frozen=True, slots=True)
class Fetched:
    """The body of a page, decompressed, and the form it says it has."""

    body: bytes
    form: PageForm


class _Body:
    """A body as it comes in: decompressed bit by bit, never beyond the limit."""

    def __init__(self, coding: str, max_bytes: int) -> None:
        if coding not in {"", "identity", "gzip"}:
            raise TargetError(TargetProblem.CONTENT_CODING, f"the page is coded as {coding[:40]}")
        self._unzip = zlib.decompressobj(16 + zlib.MAX_WBITS) if coding == "gzip" else None
        self._max_bytes = max_bytes
        self._chunks: list[bytes] = []
        self.num_bytes = 0

    def add(self, received: bytes) -> Iterator[int]:
        """Take in what was received; yields the size so far after every piece of it.

        TargetError beyond the limit or if it is not gzip.
        """
        if self._unzip is None:
            self._keep(received)
            yield self.num_bytes
            return
        while received:
            try:
                piece = self._unzip.decompress(received, _PIECE)
            except zlib.error as error:
                raise TargetError(TargetProblem.CONTENT_CODING, "the page is not gzip") from error
            self._keep(piece)
            yield self.num_bytes
            received = self._unzip.unconsumed_tail

    def _keep(self, chunk: bytes) -> None:
        self.num_bytes += len(chunk)
        if self.num_bytes > self._max_bytes:
            raise TargetError(
                TargetProblem.TOO_LARGE, f"the page is larger than {self._max_bytes:,} bytes"
            )
        self._chunks.append(chunk)

    def join(self) -> bytes:
        """The whole; TargetError if gzip ended early."""
        if self._unzip is not None and not self._unzip.eof:
            raise TargetError(TargetProblem.BROKEN_OFF, "the page ends within its gzip stream")
        return b"".join(self._chunks)


@dataclass(slots=True)
class Fetcher:
    """Fetches pages of many targets at once.

    Each host and port has a client of its own: a pool looks through all of its connections at
    every request, and a connection made in one name never serves another.
    """

    rules: AddressRules
    limits: FetchLimits = field(default_factory=FetchLimits)
    accept: str = ACCEPT
    _clients: OrderedDict[tuple[str, str, int], httpx.AsyncClient] = field(init=False)
    _large: asyncio.Semaphore = field(init=False)
    _tls: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self._clients = OrderedDict()
        self._large = asyncio.Semaphore(self.limits.num_large)
        self._tls = ssl.create_default_context()

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def fetch(self, url: str) -> Fetched:
        """The page at an address.

        Raises:
            TargetError: it cannot be had, with the reason.
        """
        try:
            async with asyncio.timeout(self.limits.deadline_s):
                return await self._follow(_read_url(url))
        except TimeoutError as error:
            raise TargetError(
                TargetProblem.DEADLINE, f"no whole page within {self.limits.deadline_s:g} s"
            ) from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
            raise _translate(error) from error

    async def _follow(self, url: httpx.URL) -> Fetched:
        for _ in range(_MAX_REDIRECTS + 1):
            client = await self._find_client(url)
            response = await _send(client, await self._make_request(client, url))
            try:
                if not response.has_redirect_location:
                    return await self._read(response)
                target = url.join(response.headers["location"])
                self._check_redirect(url, target)
                is_same = (url.host, url.port, url.scheme) == (
                    target.host,
                    target.port,
                    target.scheme,
                )
                userinfo = url.userinfo if is_same else b""
                url = target.copy_with(userinfo=userinfo)
            finally:
                await response.aclose()
        raise TargetError(TargetProblem.REDIRECT, f"more than {_MAX_REDIRECTS} redirects")

    async def _find_client(self, url: httpx.URL) -> httpx.AsyncClient:
        key = (url.scheme, url.host, url.port or _PORTS[url.scheme])
        client = self._clients.get(key)
        if client is None:
            client = httpx.AsyncClient(
                timeout=None,  # noqa: S113  one deadline holds for the whole
                limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE_S),
                verify=self._tls,
                trust_env=False,
            )
            self._clients[key] = client
        self._clients.move_to_end(key)
        if len(self._clients) > _MAX_CLIENTS:
            _, oldest = self._clients.popitem(last=False)
            await oldest.aclose()
        return client

    async def _make_request(self, client: httpx.AsyncClient, url: httpx.URL) -> httpx.Request:
        """A request to the address that was checked, in the name that was asked for."""
        port = url.port or _PORTS[url.scheme]
        try:
            address = await self.rules.find_address(url.host, port)
        except AddressError as error:
            problem = TargetProblem.ADDRESS if error.is_refused else TargetProblem.NOT_RESOLVED
            raise TargetError(problem, str(error)) from error
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Accept": self.accept,
            "Accept-Encoding": "gzip",
            "User-Agent": "optiinfra",
        }
        if url.userinfo:
            credentials = unquote(url.userinfo.decode("ascii")).encode()
            headers["Authorization"] = f"Basic {b64encode(credentials).decode('ascii')}"
        extensions = {"sni_hostname": url.host} if url.scheme == "https" else {}
        return client.build_request(
            "GET",
            url.copy_with(host=address, userinfo=b""),
            headers=headers,
            extensions=extensions,
        )

    def _check_redirect(self, url: httpx.URL, target: httpx.URL) -> None:
        if target.scheme not in _PORTS or (url.scheme == "https" and target.scheme == "http"):
            raise TargetError(TargetProblem.REDIRECT, f"redirected to {target.scheme}")
        if target.host != url.host and target.host not in self.rules.redirect_hosts:
            raise TargetError(
                TargetProblem.REDIRECT,
                f"redirected to {target.host}, which `redirect_hosts` does not hold",
            )

    async def _read(self, response: httpx.Response) -> Fetched:
        if response.status_code != httpx.codes.OK:
            raise TargetError(TargetProblem.STATUS, f"HTTP {response.status_code}")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/html":
            raise TargetError(TargetProblem.CONTENT_TYPE, "a web page and not a page of metrics")
        body = _Body(response.headers.get("content-encoding", "").lower(), self.limits.max_bytes)
        has_permit = False
        try:
            async for chunk in response.aiter_raw():
                for num_bytes in body.add(chunk):
                    if not has_permit and num_bytes > self.limits.free_bytes:
                        await self._large.acquire()
                        has_permit = True
            is_open = kind == "application/openmetrics-text"
            return Fetched(body.join(), PageForm.OPENMETRICS if is_open else PageForm.TEXT)
        finally:
            if has_permit:
                self._large.release()


async def _send(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The answer's head. A connection that the target closed meanwhile is replaced, once."""
    try:
        return await client.send(request, stream=True)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        return await client.send(request, stream=True)


def _read_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise TargetError(TargetProblem.URL, "the address cannot be read") from error
    if url.scheme not in _PORTS or not url.host:
        raise TargetError(TargetProblem.URL, "the address is not http or https with a host")
    return url


def _translate(error: Exception) -> TargetError:
    if isinstance(error, httpx.ConnectError):
        return TargetError(TargetProblem.UNREACHABLE, "the connection is refused or fails")
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return TargetError(TargetProblem.BROKEN_OFF, "the answer breaks off or is not HTTP")
    return TargetError(TargetProblem.UNREACHABLE, f"{type(error).__name__}")
