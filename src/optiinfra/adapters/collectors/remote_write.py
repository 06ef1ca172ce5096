"""Prometheus' remote write 1.0: bytes and headers in, series out. Pure; HTTP belongs elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from optiinfra.adapters.collectors.page import Labels
from optiinfra.adapters.collectors.received import ReceivedSeries
from optiinfra.adapters.collectors.refusals import Refusal, RefusedError

MAX_BYTES = 32 * 2**20  # after decompression
_TYPE = "application/x-protobuf"
_NS_PER_MS = 10**6
_PACKAGE = "optiinfra.remote_write"


def decode_remote_write(body: bytes, headers: Mapping[str, str]) -> list[ReceivedSeries]:
    """The series of a request; exemplars, native histograms and metadata are left out.

    Raises:
        RefusedError: of another type, coding or version, larger than 32 MiB, or not what its type
            says.
    """
    from google.protobuf.message import DecodeError

    named = {name.lower(): value.strip() for name, value in headers.items()}
    _check_headers(named)
    request = _make_request()
    try:
        request.ParseFromString(_decompress(body))
    except DecodeError as error:
        raise RefusedError(Refusal.BAD_CONTENT, "the body is not a WriteRequest.") from error
    return [_read_series(series) for series in request.timeseries if series.samples]


def _check_headers(headers: Mapping[str, str]) -> None:
    kind, _, parameters = headers.get("content-type", _TYPE).partition(";")
    if kind.strip().lower() != _TYPE or "io.prometheus.write.v2" in parameters:
        raise RefusedError(
            Refusal.UNSUPPORTED_TYPE, f"the content type is not {_TYPE} of remote write 1.0."
        )
    if headers.get("content-encoding", "snappy").lower() != "snappy":
        raise RefusedError(Refusal.UNSUPPORTED_TYPE, "the content encoding is not snappy.")
    version = headers.get("x-prometheus-remote-write-version", "0.1.0")
    if not version.startswith("0.1."):
        raise RefusedError(Refusal.UNSUPPORTED_TYPE, f"version {version[:20]} is not 0.1.0.")


def _decompress(body: bytes) -> bytes:
    """Snappy's block format; its head says how large it will be, so a bomb is not unpacked."""
    import cramjam

    try:
        if cramjam.snappy.decompress_raw_len(body) > MAX_BYTES:
            raise RefusedError(Refusal.TOO_LARGE, f"the body is larger than {MAX_BYTES:,} bytes.")
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise RefusedError(Refusal.BAD_CONTENT, "the body is not snappy.") from error


def _read_series(series: Any) -> ReceivedSeries:
    pairs = [(label.name, label.value) for label in series.labels]
    names = dict(pairs)
    if len(names) != len(pairs) or not names.get("__name__"):
        raise RefusedError(Refusal.BAD_CONTENT, "a series has no name, or a label twice.")
    labels: Labels = tuple(sorted(pair for pair in pairs if pair[0] != "__name__"))
    milliseconds = np.array([sample.timestamp for sample in series.samples], np.int64)
    limit = np.iinfo(np.int64).max // _NS_PER_MS
    if (np.abs(milliseconds) > limit).any():
        raise RefusedError(Refusal.BAD_CONTENT, "a timestamp is not of this era.")
    return ReceivedSeries(
        names["__name__"],
        labels,
        milliseconds * _NS_PER_MS,
        np.array([sample.value for sample in series.samples], np.float64),
    )


@cache
def get_request_class() -> Any:
    """The class of Prometheus' WriteRequest, as far as it is read here.

    Field numbers and types: prometheus/prompb remote.proto and types.proto.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="optiinfra/remote_write.proto", package=_PACKAGE, syntax="proto3"
    )
    messages = {
        "Label": (("name", 1, field.TYPE_STRING, ""), ("value", 2, field.TYPE_STRING, "")),
        "Sample": (("value", 1, field.TYPE_DOUBLE, ""), ("timestamp", 2, field.TYPE_INT64, "")),
        "TimeSeries": (("labels", 1, None, "Label"), ("samples", 2, None, "Sample")),
        "WriteRequest": (("timeseries", 1, None, "TimeSeries"),),
    }
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        for name, number, kind, of in fields:
            described.field.add(
                name=name,
                number=number,
                type=kind or field.TYPE_MESSAGE,
                type_name=f".{_PACKAGE}.{of}" if of else None,
                label=field.LABEL_REPEATED if of else field.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.WriteRequest")
    return message_factory.GetMessageClass(found)


def _make_request() -> Any:
    return get_request_class()()
