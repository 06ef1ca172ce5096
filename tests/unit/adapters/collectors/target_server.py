"""A loopback server whose answers are bytes, one list of pieces a path, well-behaved or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Pieces = list[bytes | float | asyncio.Event]  # a number is a pause in seconds
PAGE = b'vllm:num_requests_running{model_name="m"} 3\nvllm:generation_tokens_total 50\n'


def answer(
    body: bytes, *, status: str = "200 OK", kind: str = "text/plain", **headers: str
) -> Pieces:
    """A whole answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    return ["\r\n".join([*lines, "Connection: close", "", ""]).encode() + body]


@dataclass
class TargetServer:
    """Answers by path; a callable answer is asked each time. Notes what was asked."""

    answers: dict[str, Pieces | Callable[[], Pieces]]
    port: int = 0
    requests: list[str] = field(default_factory=list)

    def url(self, path: str = "/metrics", host: str = "127.0.0.1") -> str:
        """Address of a path."""
        return f"http://{host}:{self.port}{path}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer."""
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(request)
            path = request.split(" ", 2)[1].partition("?")[0]
            found = self.answers.get(path, answer(b"", status="404 Not Found"))
            for piece in found() if callable(found) else found:
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                elif isinstance(piece, asyncio.Event):
                    await piece.wait()
                else:
                    writer.write(piece)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    answers: dict[str, Pieces | Callable[[], Pieces]],
) -> AsyncIterator[TargetServer]:
    """The server, on a free port of the loopback interface."""
    served = TargetServer(answers)
    server = await asyncio.start_server(served.handle, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


async def wait_until(is_so: Callable[[], bool]) -> None:
    """Return as soon as it is so; TimeoutError after a minute."""
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110  it comes about in other tasks
            await asyncio.sleep(0.01)
