"""OTLP metrics over HTTP: bytes and headers in, series out. Pure; HTTP belongs elsewhere.

Names and units follow Prometheus: dots become underscores, histograms become cumulative buckets.
Deltas are added up, since all that follows reads cumulative series.
"""

from __future__ import annotations

import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import numpy as np

from optiinfra.adapters.collectors.page import Labels
from optiinfra.adapters.collectors.received import ReceivedSeries
from optiinfra.adapters.collectors.refusals import Refusal, RefusedError

MAX_BYTES = 32 * 2**20  # after decompression
MAX_DELTA_SERIES = 200_000
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_DELTA = 1
_SCALES = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9, "%": 0.01, "KiBy": 2.0**10, "MiBy": 2.0**20}


class OtlpProblem(StrEnum):
    """What of a request was left out."""

    KIND = "kind"  # exponential histograms and summaries
    BUCKETS = "buckets"  # counts that do not fit their bounds
    NO_VALUE = "no_value"  # the point says itself that nothing was recorded


class OtlpDecoder:
    """Decodes requests of one sender; remembers sums of what comes as deltas."""

    def __init__(self) -> None:
        self.problems: Counter[OtlpProblem] = Counter()
        self._sums: OrderedDict[tuple[str, Labels], float] = OrderedDict()

    def decode(self, body: bytes, headers: Mapping[str, str]) -> list[ReceivedSeries]:
        """The series of a request, those of a resource with its attributes as labels.

        Raises:
            RefusedError: of another type or coding, larger than 32 MiB, or not what its type says.
        """
        request = _read_request(body, {name.lower(): text for name, text in headers.items()})
        found: list[ReceivedSeries] = []
        for resource in request.resource_metrics:
            shared = _read_attributes(resource.resource.attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found.extend(self._read_metric(metric, shared))
        return found

    def _read_metric(self, metric: Any, shared: dict[str, str]) -> Iterator[ReceivedSeries]:
        kind = metric.WhichOneof("data")
        name = metric.name.replace(".", "_")
        scale = _SCALES.get(metric.unit, 1.0)
        if kind not in {"gauge", "sum", "histogram"}:
            self.problems[OtlpProblem.KIND] += 1
            return
        data = getattr(metric, kind)
        is_delta = kind != "gauge" and data.aggregation_temporality == _DELTA
        for point in data.data_points:
            if point.flags & 1:
                self.problems[OtlpProblem.NO_VALUE] += 1
                continue
            labels = shared | _read_attributes(point.attributes)
            if kind == "histogram":
                parts = self._read_histogram(point, scale)
            else:
                field = point.WhichOneof("value")
                parts = [] if field is None else [("", None, getattr(point, field) * scale)]
            for suffix, edge, value in parts:
                own = labels if edge is None else labels | {"le": edge}
                yield self._make_series(
                    name + suffix, own, point.time_unix_nano, value, is_delta=is_delta
                )

    def _read_histogram(self, point: Any, scale: float) -> list[tuple[str, str | None, float]]:
        """Suffix, edge and cumulative count of each part."""
        parts: list[tuple[str, str | None, float]] = [("_count", None, float(point.count))]
        if point.HasField("sum"):
            parts.append(("_sum", None, point.sum * scale))
        counts, bounds = list(point.bucket_counts), list(point.explicit_bounds)
        if len(counts) != len(bounds) + 1 or sum(counts) != point.count:
            self.problems[OtlpProblem.BUCKETS] += bool(counts)
            return parts
        edges = [f"{bound * scale:.12g}" for bound in bounds] + ["+Inf"]
        cumulative = np.cumsum(counts).tolist()
        parts += [("_bucket", edge, float(n)) for edge, n in zip(edges, cumulative, strict=True)]
        return parts

    def _make_series(
        self, name: str, named: dict[str, str], at_ns: int, value: float, *, is_delta: bool
    ) -> ReceivedSeries:
        labels = tuple(sorted(named.items()))
        if is_delta:
            key = (name, labels)
            value = self._sums[key] = self._sums.pop(key, 0.0) + value
            if len(self._sums) > MAX_DELTA_SERIES:
                self._sums.popitem(last=False)
        bounded_ns = min(at_ns, np.iinfo(np.int64).max)
        return ReceivedSeries(
            name, labels, np.array([bounded_ns], np.int64), np.array([value], np.float64)
        )


def _read_request(body: bytes, headers: Mapping[str, str]) -> Any:
    from google.protobuf.json_format import Parse, ParseError
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    kind = headers.get("content-type", _PROTOBUF).partition(";")[0].strip().lower()
    if kind not in {_PROTOBUF, _JSON}:
        raise RefusedError(
            Refusal.UNSUPPORTED_TYPE, f"the content type is neither {_PROTOBUF} nor {_JSON}."
        )
    content = _decompress(body, headers.get("content-encoding", "").strip().lower())
    request = ExportMetricsServiceRequest()
    try:
        if kind == _JSON:
            Parse(content, request, ignore_unknown_fields=True, max_recursion_depth=50)
        else:
            request.ParseFromString(content)
    except (DecodeError, ParseError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(Refusal.BAD_CONTENT, "the body is not OTLP metrics.") from error
    return request


def _decompress(body: bytes, coding: str) -> bytes:
    if coding not in {"", "identity", "gzip"}:
        raise RefusedError(Refusal.UNSUPPORTED_TYPE, "the content encoding is not gzip.")
    if coding == "gzip":
        unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            body = unzip.decompress(body, MAX_BYTES + 1)
        except zlib.error as error:
            raise RefusedError(Refusal.BAD_CONTENT, "the body is not gzip.") from error
        if not unzip.eof and len(body) <= MAX_BYTES:
            raise RefusedError(Refusal.BAD_CONTENT, "the body ends within its gzip stream.")
    if len(body) > MAX_BYTES:
        raise RefusedError(Refusal.TOO_LARGE, f"the body is larger than {MAX_BYTES:,} bytes.")
    return body


def _read_attributes(attributes: Any) -> dict[str, str]:
    """Attributes as labels; those that are no plain value are left out."""
    found = {}
    for attribute in attributes:
        field = attribute.value.WhichOneof("value")
        if field in {"string_value", "bool_value", "int_value", "double_value"}:
            value = getattr(attribute.value, field)
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found[attribute.key.replace(".", "_")] = text
    return found
