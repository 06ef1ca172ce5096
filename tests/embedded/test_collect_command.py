"""`optiinfra collect` through the front door: from a page on loopback to rows in the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.architecture.repository import ROOT

from optiinfra.embedded.owner.starting import stop_left_postgres, stop_owner
from optiinfra.settings import Settings
from optiinfra.stores import open_metric_store, start_stores, stop_stores

pytestmark = pytest.mark.timeout(900)
CUSTOMER = "00000000-0000-0000-0000-000000000007"


class Engine(BaseHTTPRequestHandler):
    """Ten more tokens each time it is asked; tells when it was asked three times."""

    protocol_version = "HTTP/1.1"
    num_tokens = 0
    was_asked = threading.Event()

    def do_GET(self) -> None:
        """The page of metrics."""
        Engine.num_tokens += 10
        body = (
            'vllm:num_requests_running{model_name="m"} 3\n'
            f"vllm:generation_tokens_total {Engine.num_tokens}\n"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if Engine.num_tokens >= 30:
            Engine.was_asked.set()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def engine() -> Iterator[str]:
    Engine.num_tokens = 0
    Engine.was_asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def home(open_dir: Path) -> Iterator[Path]:
    data_dir = open_dir / "optiinfra"
    data_dir.mkdir()
    yield data_dir
    stop_owner(data_dir)
    stop_left_postgres(data_dir)


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPTIINFRA_")}
    code = "from optiinfra.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "collect", "--customer", CUSTOMER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=kept | {"OPTIINFRA_DATA_DIR": str(home)},
    )


def ask(settings: Settings, sql: str, **parameters: str) -> list[tuple[Any, ...]]:
    with open_metric_store(settings) as store:
        return [tuple(row) for row in store.client.query(sql, parameters=parameters).result_rows]


def test_samples_reach_the_store_and_a_signal_drains(engine: str, home: Path) -> None:
    settings = Settings(data_dir=home)
    away = "127.0.0.1:1"
    arguments = ["--target", engine, "--target", away, "--allow-network", "127.0.0.1", "--json"]
    with start(home, *arguments, "--interval", "0.2") as process:
        assert Engine.was_asked.wait(300)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 1, stderr  # a target is unknown
    said = json.loads(stdout)
    reasons = {each["target"]: each["reason"] for each in said["targets"]}
    assert reasons == {
        f"http://{engine}/metrics": None,
        f"http://{away}/metrics": "unreachable",
    }
    assert said["num_sent_rows"] == 0
    assert said["waiting_bytes"] > 0
    assert "optiinfra up" in said["store_error"]
    events = [json.loads(line) for line in stderr.splitlines()]
    assert [each["event"] for each in events] == ["collection_started", "target_unknown"]
    assert events[1]["reason"] == "unreachable"

    start_stores(settings)  # what waited on disk is sent by the next
    with start(home, *arguments, "--once") as process:
        stdout, stderr = process.communicate(timeout=300)
    once = json.loads(stdout)
    assert once["waiting_bytes"] == 0, once
    assert once["num_sent_rows"] > once["num_kept_samples"] == 4
    rows = ask(
        settings,
        "SELECT metric, count(), uniqExact(timestamp) FROM metric_samples_ts"
        " WHERE customer_id = {customer:UUID} AND target = {target:String} GROUP BY 1",
        customer=CUSTOMER,
        target=f"http://{engine}/metrics",
    )
    found = {metric: num for metric, num, num_instants in rows if num == num_instants}
    assert found["output_tokens_total"] == found["up"] == found["num_requests_running"]
    assert found["output_tokens_total"] == Engine.num_tokens / 10
    assert found["output_tokens_per_s"] == found["up"] - 2  # two processes, each of which began
    unknown = ask(
        settings,
        "SELECT DISTINCT metric, value FROM metric_samples_ts WHERE target = {target:String}",
        target=f"http://{away}/metrics",
    )
    assert unknown == [("up", 0.0)]  # and no zero of anything else
    assert stop_stores(settings) is not None
