"""A loopback HTTP server that answers the queries we make as Prometheus does."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_HISTOGRAM = re.compile(r"(sum by \(le\) |sum)\(increase\((.+?)_(bucket|sum|count)\{(.*?)\}\[")
_COUNTED = re.compile(r"max\(count_over_time\(([a-z_:]+)\{")
_GAUGE = re.compile(r"sum\(sum_over_time\(([a-z_:]+)\{")


@dataclass
class Histogram:
    """Counts per bucket in each minute (None: not scraped), and the sum of the values."""

    edges: list[str]
    minutes: list[list[float] | None]
    value_sum: float

    def answer(self, kind: str, first: int, end: int) -> dict[str, float] | None:
        """The increase over some minutes, by edge for buckets; None without samples."""
        known = [m for m in self.minutes[first:end] if m is not None]
        if not known:
            return None
        columns = [sum(column) for column in zip(*known, strict=True)]
        if kind == "bucket":
            return {e: sum(columns[: i + 1]) for i, e in enumerate(self.edges)}
        every = sum(sum(m) for m in self.minutes if m is not None)
        total = sum(columns)
        return {"": total if kind == "count" else self.value_sum * total / max(every, 1)}


@dataclass
class FakePrometheus:
    """What the server knows; `requests` records the paths and parameters asked."""

    histograms: dict[str, Histogram] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    models: list[str] = field(default_factory=lambda: ["m/x"])
    start_s: float = 1_767_225_600.0
    answer_raw: Callable[[BaseHTTPRequestHandler], None] | None = None
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    headers: list[str | None] = field(default_factory=list)

    def answer(self, path: str, parameters: dict[str, str]) -> Any:
        """The `data` of the answer."""
        if path.endswith("/label/__name__/values"):
            suffixes = ("_bucket", "_sum", "_count")
            names = [name + suffix for name in self.histograms for suffix in suffixes]
            return [*names, *self.gauges]
        if path.endswith("/label/model_name/values"):
            return self.models
        query = parameters["query"]
        if path.endswith("/query"):
            span_s = int(re.findall(r"\[(\d+)ms", query)[0]) / 1000
            stamp = float(parameters["time"])
            found = self._evaluate(query, stamp - span_s, stamp)
            result = [{"metric": m, "value": [stamp, str(v)]} for m, v in found]
            return {"resultType": "vector", "result": result}
        step = float(parameters["step"])
        series: dict[str, tuple[dict[str, str], list[Any]]] = {}
        stamp = float(parameters["start"])
        while stamp <= float(parameters["end"]) + 1e-6:
            for metric, value in self._evaluate(query, stamp - step, stamp):
                key = json.dumps(metric)
                series.setdefault(key, (metric, []))[1].append([stamp, str(value)])
            stamp += step
        result = [{"metric": m, "values": values} for m, values in series.values()]
        return {"resultType": "matrix", "result": result}

    def _evaluate(self, query: str, a_s: float, b_s: float) -> list[tuple[dict[str, str], float]]:
        first, end = (round((s - self.start_s) / 60) for s in (a_s, b_s))
        first = max(first, 0)
        if match := _HISTOGRAM.match(query):
            histogram = self.histograms[match[2]]
            found = histogram.answer(match[3], first, end)
            if found is None:
                return []
            return [({"le": key} if key else {}, value) for key, value in found.items()]
        if match := _COUNTED.match(query):
            histogram = self.histograms[match[1].removesuffix("_count")]
            known = sum(m is not None for m in histogram.minutes[first:end])
            return [({}, known * 4.0)] if known else []
        match = _GAUGE.match(query)
        assert match is not None, query
        return [({}, self.gauges[match[1]])]


@contextmanager
def serve(fake: FakePrometheus) -> Iterator[str]:
    """The address at which the fake answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            parameters = {key: values[0] for key, values in parse_qs(url.query).items()}
            fake.requests.append((url.path, parameters))
            fake.headers.append(self.headers.get("Authorization"))
            if fake.answer_raw is not None:
                fake.answer_raw(self)
                return
            data = fake.answer(url.path, parameters)
            body = json.dumps({"status": "success", "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
