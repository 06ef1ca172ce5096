"""Our own metrics as a route."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from optiinfra.adapters.own_metrics import write_page


def make_route(registry: CollectorRegistry) -> Route:
    """`/metrics`, in the form that `Accept` asks for."""

    def answer(request: Request) -> Response:  # in a thread: collecting may take a lock
        body, content_type = write_page(registry, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    return Route("/metrics", answer, methods=["GET"])
