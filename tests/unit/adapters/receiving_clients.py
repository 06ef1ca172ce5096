"""Senders of remote write and OTLP, and a server for them on loopback."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from optiinfra.adapters.collectors.receivers import make_otlp_receiver, make_remote_write_receiver
from optiinfra.adapters.receiving.http_routes import ReceivingLimits, make_app
from optiinfra.adapters.receiving.http_server import HTTPServer, listen
from optiinfra.adapters.receiving.intake import Intake, Outcome
from optiinfra.domain.errors import OptiInfraError
from optiinfra.domain.metric_tables import MetricRows, MetricTable

CUSTOMER = UUID(int=9)
NOW_NS = 1_700_000_060 * 10**9
TOKEN = "a-token-of-the-test"  # noqa: S105 - no secret
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class FakeWriter:
    """Keeps rows once a token; raises `errors` by table."""

    rows: list[MetricRows] = field(default_factory=list)
    tokens: set[tuple[MetricTable, str]] = field(default_factory=set)
    errors: dict[MetricTable, OptiInfraError] = field(default_factory=dict)
    is_asked: threading.Event = field(default_factory=threading.Event)
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_go_on.set()

    def append(self, rows: MetricRows, *, token: str | None = None) -> bool:
        """As the buffered writer."""
        assert token is not None
        self.is_asked.set()
        assert self.may_go_on.wait(60)
        if error := self.errors.get(rows.table):
            raise error
        if (rows.table, token) in self.tokens:
            return False
        self.tokens.add((rows.table, token))
        self.rows.append(rows)
        return True

    def list_values(self, metric: str) -> list[float]:
        """The samples of a metric, in the order in which they came."""
        found = []
        for rows in self.rows:
            if rows.table is MetricTable.SAMPLES:
                names, places = rows.texts["metric"]
                pairs = zip(places, rows.numbers["value"], strict=True)
                found += [float(value) for place, value in pairs if names[place] == metric]
        return found


@dataclass
class Receiving:
    """A server with what is behind it."""

    url: str
    writer: FakeWriter
    remote_write: Intake
    otlp: Intake
    refused: Counter[Outcome]

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Send with the token."""
        return httpx.post(f"{self.url}{path}", content=body, headers=BEARER | headers, timeout=60)


@contextmanager
def receiving(limits: ReceivingLimits | None = None) -> Iterator[Receiving]:
    """The server, on a free port of the loopback interface."""
    writer = FakeWriter()
    remote_write = Intake(
        "remote_write", make_remote_write_receiver(CUSTOMER), writer, lambda: NOW_NS
    )
    otlp = Intake("otlp", make_otlp_receiver(CUSTOMER), writer, lambda: NOW_NS)
    refused: Counter[Outcome] = Counter()
    app = make_app(remote_write, otlp, token=TOKEN, refused=refused, limits=limits)
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with HTTPServer(app, listener):
        yield Receiving(url, writer, remote_write, otlp, refused)
