"""The routes of a collecting process: remote write, OTLP, our own metrics; with a token."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from optiinfra.adapters.collectors.refusals import RefusedError
from optiinfra.adapters.receiving.intake import Intake, Outcome, find_outcome
from optiinfra.domain.errors import InputError, StoreFullError

_LOG = logging.getLogger(__name__)
REMOTE_WRITE_PATH, OTLP_PATH = "/api/v1/write", "/v1/metrics"
USER = "optiinfra"
_OPEN_PATHS = ("/ping",)
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class ReceivingLimits:
    """Of all requests together; a body is held as a whole while it is read."""

    max_body_bytes: int = 32 * 2**20  # as it comes; the decoders bound what it unpacks to
    body_s: float = 30.0  # from the head of a request to the end of its body
    num_at_once: int = 8
    permit_s: float = 5.0  # how long a request waits to be one of them
    retry_s: int = 5  # what a sender is told when it should come again


class _NotTakenError(Exception):
    """How a request is to be answered that is not taken; `retry_s` where it should come again."""

    def __init__(
        self, outcome: Outcome, status: int, text: str, *, retry_s: int | None = None
    ) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.status = status
        self.retry_s = retry_s

    def respond(self) -> Response:
        """The answer; the connection is closed where the body may not have been read."""
        headers = {} if self.outcome is Outcome.BAD_CONTENT else {"Connection": "close"}
        if self.retry_s is not None:
            headers["Retry-After"] = str(self.retry_s)
        return PlainTextResponse(f"{self}\n", status_code=self.status, headers=headers)


class TokenMiddleware:
    """Lets in who has the token: as a bearer's, or as the password of Basic."""

    def __init__(self, app: ASGIApp, *, token: str, outcomes: Counter[Outcome]) -> None:
        self._app = app
        self._token = token.encode()
        self._outcomes = outcomes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        self._outcomes[Outcome.UNAUTHORIZED] += 1
        response = PlainTextResponse(
            "A token is needed: Authorization: Bearer TOKEN.\n",
            status_code=401,
            headers={"WWW-Authenticate": "Bearer"},
        )
        await response(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        value = HTTPConnection(scope).headers.get("authorization", "")
        kind, _space, given = value.partition(" ")
        if kind.lower() == "basic":
            try:
                user, _colon, given = base64.b64decode(given).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return False
            if user != USER:
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), self._token)


class IntakeRoute:
    """Hands the bodies of one path to its intake and answers as its senders expect."""

    def __init__(
        self, intake: Intake, limits: ReceivingLimits, permits: asyncio.Semaphore, *, busy: int
    ) -> None:
        self.intake = intake
        self._limits = limits
        self._permits = permits
        self._busy = busy  # the status that makes its senders come again

    async def answer(self, request: Request) -> Response:
        """Take a request in, or say why not; counted by outcome."""
        try:
            await self._wait_for_permit()
            try:
                body = await self._read_in_time(request)
                outcome = await self._hand_on(body, dict(request.headers))
            finally:
                self._permits.release()
        except _NotTakenError as error:
            self.intake.outcomes[error.outcome] += 1
            return error.respond()
        self.intake.outcomes[outcome] += 1
        return self._acknowledge(request)

    async def _wait_for_permit(self) -> None:
        try:
            async with asyncio.timeout(self._limits.permit_s):
                await self._permits.acquire()
        except TimeoutError as error:
            raise _NotTakenError(
                Outcome.BUSY, self._busy, "Too many at once.", retry_s=self._limits.retry_s
            ) from error

    async def _read_in_time(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(self._limits.body_s):
                return await self._read(request)
        except TimeoutError as error:
            raise _NotTakenError(Outcome.DEADLINE, 408, "The body did not come in time.") from error
        except ClientDisconnect as error:
            raise _NotTakenError(Outcome.BROKEN_OFF, 400, "The body breaks off.") from error

    async def _read(self, request: Request) -> bytes:
        limit = self._limits.max_body_bytes
        too_large = _NotTakenError(Outcome.TOO_LARGE, 413, f"A body may have {limit:,} bytes.")
        announced = request.headers.get("content-length", "0")
        if not announced.isdigit() or int(announced) > limit:
            raise too_large
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise too_large
        return bytes(body)

    async def _hand_on(self, body: bytes, headers: dict[str, str]) -> Outcome:
        try:
            return await run_in_threadpool(self.intake.take, body, headers)
        except RefusedError as error:
            outcome, status = find_outcome(error), int(error.refusal)
            raise _NotTakenError(outcome, status, str(error)) from error
        except InputError as error:
            raise _NotTakenError(Outcome.BAD_CONTENT, 400, str(error)) from error
        except StoreFullError as error:
            raise _NotTakenError(
                Outcome.BUFFER_FULL, 503, str(error), retry_s=self._limits.retry_s
            ) from error
        except Exception as error:  # sent again for ever it would hold up all behind it
            _LOG.exception("request_failed_unexpectedly", extra={"kind": self.intake.kind})
            text = "This is a fault of OptiInfra; its log has more."
            raise _NotTakenError(Outcome.UNEXPECTED, 400, text) from error

    @staticmethod
    def _acknowledge(request: Request) -> Response:
        """204 for remote write; OTLP's empty answer in the form of the request."""
        if request.url.path != OTLP_PATH:
            return Response(status_code=204)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == _JSON:
            return Response(b"{}", media_type=_JSON)
        return Response(b"", media_type="application/x-protobuf")


def make_app(
    remote_write: Intake,
    otlp: Intake,
    *,
    token: str,
    refused: Counter[Outcome],
    limits: ReceivingLimits | None = None,
    routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application. `refused` counts who came without the token.

    Prometheus takes 429 for an answer that ends its tries, so it is told 503 where OTLP is told
    429.
    """
    chosen = limits or ReceivingLimits()
    permits = asyncio.Semaphore(chosen.num_at_once)

    async def ping(_request: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    served: list[BaseRoute] = [Route("/ping", ping), *routes]
    for path, intake, busy in ((REMOTE_WRITE_PATH, remote_write, 503), (OTLP_PATH, otlp, 429)):
        route = IntakeRoute(intake, chosen, permits, busy=busy)
        served.append(Route(path, route.answer, methods=["POST"]))
    middleware = Middleware(TokenMiddleware, token=token, outcomes=refused)
    return Starlette(routes=served, middleware=[middleware])
