"""What others send over HTTP: taken once, or refused with what tells the sender what to do."""

from __future__ import annotations

import base64
import gzip
import socket
import threading
from typing import Any

import cramjam
import httpx
import pytest
from tests.unit.adapters.collectors.test_otlp import CUMULATIVE, DELTA, make_request, ttft
from tests.unit.adapters.collectors.test_remote_write import HEADERS, encode, make_row
from tests.unit.adapters.receiving_clients import BEARER, TOKEN, Receiving, receiving

from optiinfra.adapters.receiving import intake as intake_module
from optiinfra.adapters.receiving.http_routes import OTLP_PATH, REMOTE_WRITE_PATH, ReceivingLimits
from optiinfra.adapters.receiving.http_server import listen
from optiinfra.adapters.receiving.intake import Outcome
from optiinfra.domain.errors import InputError, StoreFullError
from optiinfra.domain.metric_tables import MetricTable

PROTOBUF = {"Content-Type": "application/x-protobuf"}
FULL = StoreFullError("It is full.", remedy="Wait.")


def write(server: Receiving, later_ms: int, value: float) -> httpx.Response:
    body = encode(make_row("vllm:generation_tokens_total", (later_ms, value), model_name="m"))
    return server.post(REMOTE_WRITE_PATH, body, HEADERS)


def export(server: Receiving, at_s: int, counts: list[int], **options: Any) -> httpx.Response:
    chosen: dict[str, Any] = {"temporality": CUMULATIVE} | options
    request = make_request(ttft(at_s, counts, 1.0, **chosen))
    return server.post(OTLP_PATH, request.SerializeToString(), PROTOBUF)


def test_remote_write_becomes_rows_and_the_same_again_counts_once() -> None:
    with receiving() as server:
        for later_ms, value in ((0, 100), (15_000, 250), (15_000, 250)):
            answer = write(server, later_ms, value)
            assert (answer.status_code, answer.content) == (204, b"")
        assert server.writer.list_values("output_tokens_total") == [100, 250]
        assert server.writer.list_values("output_tokens_per_s") == [10]
        assert server.writer.list_values("up") == [1, 1]
        assert server.remote_write.outcomes == {Outcome.TAKEN: 2, Outcome.REPEATED: 1}
        [customer] = {each for rows in server.writer.rows for each in rows.customer_ids}
        assert customer.int == 9


def test_otlp_in_both_forms() -> None:
    with receiving() as server:
        answer = export(server, 0, [1, 0, 0])
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "application/x-protobuf"
        body = gzip.compress(b'{"resourceMetrics": []}')
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        answer = server.post(OTLP_PATH, body, headers)
        assert (answer.status_code, answer.json()) == (200, {})
        assert server.writer.list_values("ttft_s_count_total") == [1]


def test_what_could_not_be_kept_is_kept_whole_when_it_comes_again() -> None:
    with receiving() as server:
        export(server, 0, [1, 0, 0], temporality=DELTA)
        server.writer.errors = {MetricTable.SAMPLES: FULL}
        for _ in range(3):
            answer = export(server, 15, [2, 0, 0], temporality=DELTA)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        server.writer.errors = {}
        assert export(server, 15, [2, 0, 0], temporality=DELTA).status_code == 200
        assert server.writer.list_values("ttft_s_count_total") == [1, 3]  # deltas added up once
        assert server.writer.list_values("ttft_s_mean") == [0.5]  # as if never refused
        assert server.otlp.outcomes == {Outcome.TAKEN: 2, Outcome.BUFFER_FULL: 3}


def test_a_part_that_was_kept_is_not_kept_twice() -> None:
    with receiving() as server:
        write(server, 0, 100)
        server.writer.errors = {MetricTable.PERFORMANCE: FULL}
        assert write(server, 15_000, 250).status_code == 503
        server.writer.errors = {}
        assert write(server, 15_000, 250).status_code == 204
        assert server.writer.list_values("output_tokens_per_s") == [10]
        tables = [rows.table for rows in server.writer.rows]
        assert tables.count(MetricTable.SAMPLES) == 2
        assert tables.count(MetricTable.PERFORMANCE) == 1


def test_what_was_taken_by_the_process_before_counts_once() -> None:
    with receiving() as server:
        write(server, 0, 100)
        server.remote_write._taken.clear()  # as after a restart: the writer remembers its tokens
        assert write(server, 0, 100).status_code == 204
        assert server.writer.list_values("output_tokens_total") == [100]
        assert server.remote_write.outcomes == {Outcome.TAKEN: 1, Outcome.REPEATED: 1}


def test_what_waits_to_come_again_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "MAX_PENDING_ROWS", 4)
    with receiving() as server:
        server.writer.errors = {MetricTable.SAMPLES: FULL}
        for number in range(5):
            assert write(server, 15_000 * number, 100).status_code == 503
        waiting = server.remote_write._pending.values()
        assert sum(len(part) for each in waiting for part in each) <= 4


@pytest.mark.parametrize("path", [REMOTE_WRITE_PATH, OTLP_PATH, "/metrics", "/nowhere"])
def test_without_the_token_there_is_nothing(path: str) -> None:
    with receiving() as server:
        basic = base64.b64encode(b"optiinfra:other").decode()
        for value in ("", "Bearer", "Bearer x", f"Basic {basic}", "Basic ?", f"Digest {TOKEN}"):
            headers = {"Authorization": value} if value else {}
            answer = httpx.post(f"{server.url}{path}", content=b"x", headers=headers)
            assert answer.status_code == 401
        assert server.refused == {Outcome.UNAUTHORIZED: 6}
        assert httpx.get(f"{server.url}/ping").text == "Ok.\n"
        allowed = httpx.post(f"{server.url}{path}", content=b"x", auth=("optiinfra", TOKEN))
        assert allowed.status_code != 401


def test_bad_bodies_are_refused_by_name() -> None:
    bomb = gzip.compress(bytes(64 * 2**20))
    huge = b"\xff\xff\xff\xff\x0f" + bytes(10)  # snappy that says it unpacks to 4 GiB
    cases: list[tuple[str, bytes, dict[str, str], int, Outcome]] = [
        (REMOTE_WRITE_PATH, b"x", HEADERS, 400, Outcome.BAD_CONTENT),
        (REMOTE_WRITE_PATH, huge, HEADERS, 413, Outcome.TOO_LARGE),
        (
            REMOTE_WRITE_PATH,
            bytes(cramjam.snappy.compress_raw(b"\xff\xff")),
            HEADERS,
            400,
            Outcome.BAD_CONTENT,
        ),
        (
            REMOTE_WRITE_PATH,
            b"x",
            HEADERS | {"X-Prometheus-Remote-Write-Version": "2.0.0"},
            415,
            Outcome.UNSUPPORTED_TYPE,
        ),
        (OTLP_PATH, bomb, PROTOBUF | {"Content-Encoding": "gzip"}, 413, Outcome.TOO_LARGE),
        (OTLP_PATH, b"x", {"Content-Type": "text/plain"}, 415, Outcome.UNSUPPORTED_TYPE),
        (OTLP_PATH, b"{", {"Content-Type": "application/json"}, 400, Outcome.BAD_CONTENT),
    ]
    with receiving() as server:
        for path, body, headers, status, outcome in cases:
            answer = server.post(path, body, headers)
            assert answer.status_code == status, (path, body[:20])
            of = server.otlp if path == OTLP_PATH else server.remote_write
            assert of.outcomes.pop(outcome) == 1
        assert write(server, 0, 100).status_code == 204


def test_bodies_beyond_the_limit_announced_and_not() -> None:
    with receiving(ReceivingLimits(max_body_bytes=1000)) as server:
        assert server.post(OTLP_PATH, bytes(1001), PROTOBUF).status_code == 413
        pieces = (bytes(100) for _ in range(20))
        answer = httpx.post(
            f"{server.url}{OTLP_PATH}", content=pieces, headers=BEARER | PROTOBUF, timeout=60
        )
        assert answer.status_code == 413
        assert server.otlp.outcomes == {Outcome.TOO_LARGE: 2}


def test_a_body_that_does_not_come() -> None:
    head = f"POST {OTLP_PATH} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n"
    with receiving(ReceivingLimits(body_s=0.2)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"{head}Content-Length: 100\r\n\r\nonly".encode())
            assert b" 408 " in connection.recv(1000)
        assert server.otlp.outcomes == {Outcome.DEADLINE: 1}


@pytest.mark.parametrize(("is_otlp", "status"), [(False, 503), (True, 429)])
def test_more_at_once_than_may_be_are_told_to_come_again(*, is_otlp: bool, status: int) -> None:
    limits = ReceivingLimits(num_at_once=1, permit_s=0.1)
    with receiving(limits) as server:
        server.writer.may_go_on.clear()
        first = threading.Thread(target=write, args=(server, 0, 100))
        first.start()
        assert server.writer.is_asked.wait(60)
        second = export(server, 0, [1, 0, 0]) if is_otlp else write(server, 15_000, 200)
        assert (second.status_code, second.headers["retry-after"]) == (status, "5")
        of = server.otlp if is_otlp else server.remote_write
        assert of.outcomes == {Outcome.BUSY: 1}
        server.writer.may_go_on.set()
        first.join()
        assert write(server, 30_000, 300).status_code == 204


def test_a_fault_of_ours_is_counted_and_the_next_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    with receiving() as server:
        with monkeypatch.context() as patched:
            patched.setattr(server.remote_write.receiver, "receive", fail)
            answer = write(server, 0, 100)
        assert answer.status_code == 400
        assert "ZeroDivision" not in answer.text
        assert server.remote_write.outcomes == {Outcome.UNEXPECTED: 1}
        assert write(server, 0, 100).status_code == 204
    assert "request_failed_unexpectedly" in caplog.text


def test_a_port_that_is_taken() -> None:
    with (
        receiving() as server,
        pytest.raises(InputError, match="cannot be listened at"),
    ):
        listen("127.0.0.1", int(server.url.rpartition(":")[2]))
    with pytest.raises(InputError, match="cannot be listened at"):
        listen("127.0.0.1", 70_000)
