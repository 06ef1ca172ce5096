"""What the owner says of itself at `/metrics`: its process, its stores, what was asked of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STORES = ("PostgreSQL", "ClickHouse", "Qdrant", "Valkey")
_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)


class OwnerMetrics:
    """A registry of its own; `reasons` says which stores are not there."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        # Or every counter has a gauge beside it that nobody asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="optiinfra", registry=self.registry)
        build = Info("optiinfra_build", "What runs here.", registry=self.registry)
        build.info({"version": version("optiinfra")})
        stores = Gauge(
            "optiinfra_owner_stores",
            "1 where the owner has the store, 0 where it was left out.",
            ["store"],
            registry=self.registry,
        )
        for store in STORES:
            stores.labels(store.lower()).set(store not in reasons)
        self._requests = Counter(
            "optiinfra_owner_requests",
            "Requests by store and first digit of their status.",
            ["store", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "optiinfra_owner_request_seconds",
            "From the head of a request to the end of its answer.",
            ["store"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._restarts = Counter(
            "optiinfra_owner_restarts",
            "Times that a server had ended and was started again.",
            ["store"],
            registry=self.registry,
        )
        self._restarts.labels("valkey")  # a series from the beginning, so that its rate is known

    def count_restart(self, store: str) -> None:
        """That a server was started again."""
        self._restarts.labels(store.lower()).inc()

    def count_request(self, path: str, status: int, elapsed_s: float) -> None:
        """That a request was answered."""
        store = "clickhouse" if path == "/" else path.split("/")[1]
        if store not in {"clickhouse", "qdrant", "metrics", "ping"}:
            store = "none"
        self._requests.labels(store, f"{status // 100}xx").inc()
        self._seconds.labels(store).observe(elapsed_s)

    def make_route(self) -> Route:
        """`/metrics`, in the form that `Accept` asks for."""

        def answer(request: Request) -> Response:
            write, content_type = choose_encoder(request.headers.get("accept", ""))
            return Response(write(self.registry), headers={"Content-Type": content_type})

        return Route("/metrics", answer, methods=["GET"])


class CountingMiddleware:
    """Counts every request with its status and how long it took."""

    def __init__(self, app: ASGIApp, *, metrics: OwnerMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500  # of a request that ends without an answer

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            self._metrics.count_request(scope["path"], status, time.perf_counter() - started)
