"""What the owner serves on loopback, with a password: ClickHouse at `/`, Qdrant under `/qdrant`."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from optiinfra.embedded.owner.clickhouse_api import ClickHouseAPI
from optiinfra.embedded.owner.own_metrics import CountingMiddleware, OwnerMetrics
from optiinfra.embedded.owner_state import USER

OPEN_PATHS = ("/ping",)
AUTHENTICATION_FAILED = 516  # ClickHouse's code


class PasswordMiddleware:
    """Lets in who has the password, in any of the ways in which the clients send one."""

    def __init__(self, app: ASGIApp, *, password: str) -> None:
        self._app = app
        self._password = password.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        response = PlainTextResponse(
            f"Code: {AUTHENTICATION_FAILED}. DB::Exception: Authentication failed: password is"
            " incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)\n",
            status_code=403,
            headers={"X-ClickHouse-Exception-Code": str(AUTHENTICATION_FAILED)},
        )
        await response(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        connection = HTTPConnection(scope)
        headers, query = connection.headers, connection.query_params
        given = [
            (headers.get("x-clickhouse-user", USER), headers.get("x-clickhouse-key")),
            (query.get("user", USER), query.get("password")),
            (USER, headers.get("api-key")),
            _read_authorization(headers.get("authorization", "")),
        ]
        return any(
            user == USER
            and password is not None
            and hmac.compare_digest(password.encode(), self._password)
            for user, password in given
        )


def make_app(
    *,
    password: str,
    clickhouse: ClickHouseAPI | None,
    metrics: OwnerMetrics,
    routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application; `routes` come from the other stores."""

    async def ping(_request: object) -> PlainTextResponse:
        return PlainTextResponse("Ok.\n")

    served: list[BaseRoute] = [Route("/ping", ping), metrics.make_route(), *routes]
    if clickhouse is not None:
        served.append(Route("/", clickhouse.answer, methods=["GET", "POST"]))
    middleware = [
        Middleware(CountingMiddleware, metrics=metrics),
        Middleware(PasswordMiddleware, password=password),
    ]
    return Starlette(routes=served, middleware=middleware)


def _read_authorization(value: str) -> tuple[str, str | None]:
    kind, _space, rest = value.partition(" ")
    if kind.lower() == "bearer":
        return USER, rest
    if kind.lower() != "basic":
        return "", None
    try:
        user, _colon, password = base64.b64decode(rest).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", None
    return user, password
