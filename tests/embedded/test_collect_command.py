"""`optiinfra collect` through the front door: from a page on loopback to rows in the store."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.embedded.collecting import CUSTOMER, END_S, Receiving, receiving, start
from tests.unit.adapters.collectors.test_remote_write import HEADERS, encode

from optiinfra.adapters.collectors.addresses import AddressRules, read_networks
from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.scraper import Scraper, TargetStatus
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.samples import SampleBatch
from optiinfra.embedded.owner.starting import stop_left_postgres, stop_owner
from optiinfra.settings import Settings
from optiinfra.stores import open_metric_store, start_stores, stop_stores

pytestmark = pytest.mark.timeout(900)
PROMETHEUS = os.environ.get("OPTIINFRA_TEST_PROMETHEUS") or shutil.which("prometheus")


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


def ask(settings: Settings, sql: str, **parameters: str) -> list[tuple[Any, ...]]:
    with open_metric_store(settings) as store:
        return [tuple(row) for row in store.client.query(sql, parameters=parameters).result_rows]


def test_samples_reach_the_store_and_a_signal_drains(engine: str, home: Path) -> None:
    settings = Settings(data_dir=home)
    away = "127.0.0.1:1"
    arguments = ["--target", engine, "--target", away, "--allow-network", "127.0.0.1"]
    arguments += ["--json", "--no-listen"]
    with start(home, *arguments, "--interval", "0.2") as process:
        assert Engine.was_asked.wait(END_S)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=END_S)
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
        stdout, stderr = process.communicate(timeout=END_S)
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


def read_own_page(server: Receiving) -> dict[str, float]:
    """Values of /metrics by name and labels, read by prometheus_client."""
    answer = httpx.get(f"{server.url}/metrics", auth=("optiinfra", server.token), timeout=END_S)
    assert answer.status_code == 200
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def scrape_own_page(server: Receiving) -> Scraper:
    """/metrics, read by our own scraper."""

    async def take(_batch: SampleBatch) -> None:
        pass

    async def run() -> Scraper:
        rules = AddressRules(read_networks(["127.0.0.1"]))
        scraper = Scraper(Fetcher(rules), take, time.time_ns)
        url = server.url.replace("://", f"://optiinfra:{server.token}@")
        scraper.set_targets([Target(UUID(int=7), "own", f"{url}/metrics")])
        await scraper.scrape_once()
        await scraper.close()
        return scraper

    return asyncio.run(run())


def test_what_is_sent_is_kept_and_told_at_our_own_page(home: Path) -> None:
    now_ms = time.time_ns() // 10**6
    labels = {"__name__": "vllm:num_requests_running", "job": "vllm", "instance": "h:8000"}
    body = encode((labels, [(now_ms, 3.0)]))
    with receiving(home) as server:
        bearer = {"Authorization": f"Bearer {server.token}"}
        for _ in range(2):
            answer = httpx.post(
                f"{server.url}/api/v1/write", content=body, headers=HEADERS | bearer, timeout=END_S
            )
            assert answer.status_code == 204
        assert httpx.get(f"{server.url}/metrics").status_code == 401
        values = read_own_page(server)
        assert values["optiinfra_received_requests_total remote_write taken"] == 1
        assert values["optiinfra_received_requests_total remote_write repeated"] == 1
        assert values["optiinfra_received_requests_unauthorized_total"] == 1
        assert values["optiinfra_ingestion_waiting_bytes"] > 0
        assert values["optiinfra_process_cpu_seconds_total"] > 0
        [state] = scrape_own_page(server).states
        assert (state.status, state.message) == (TargetStatus.HEALTHY, "")
        before = server.url
    assert server.said["received"]["remote_write"] == {"taken": 1, "repeated": 1}
    assert server.said["waiting_bytes"] > 0
    with receiving(home) as server:
        assert server.url == before  # the port of before, where it is free


@pytest.mark.system_servers
@pytest.mark.skipif(PROMETHEUS is None, reason="no `prometheus` is installed")
def test_a_real_prometheus_writes_to_us(engine: str, home: Path, tmp_path: Path) -> None:
    with receiving(home) as server:
        (tmp_path / "token").write_text(server.token)
        (tmp_path / "prometheus.yml").write_text(
            json.dumps(  # JSON is YAML
                {
                    "global": {"scrape_interval": "1s"},
                    "scrape_configs": [
                        {"job_name": "vllm", "static_configs": [{"targets": [engine]}]}
                    ],
                    "remote_write": [
                        {
                            "url": f"{server.url}/api/v1/write",
                            "authorization": {"credentials_file": str(tmp_path / "token")},
                        }
                    ],
                }
            )
        )
        command = [
            str(PROMETHEUS),
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            "--log.level=warn",
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as prometheus:
            deadline = time.monotonic() + END_S
            name = "optiinfra_received_samples_kept_total remote_write"
            while read_own_page(server)[name] < 10 and time.monotonic() < deadline:
                time.sleep(0.2)
            prometheus.terminate()
            _stdout, said = prometheus.communicate(timeout=END_S)
        values = read_own_page(server)
        assert values[name] >= 10, said
        assert values["optiinfra_received_requests_total remote_write bad_content"] == 0, said
    settings = Settings(data_dir=home)
    start_stores(settings)
    with start(home, "--target", "127.0.0.1:1", "--once", "--json") as process:
        process.communicate(timeout=END_S)
    rows = ask(
        settings,
        "SELECT metric, count(), max(value) FROM metric_samples_ts"
        " WHERE target = {target:String} GROUP BY 1",
        target=f"remote-write/vllm/{engine}",
    )
    found = {metric: (num, greatest) for metric, num, greatest in rows}
    assert found["num_requests_running"][1] == 3
    assert 10 <= found["output_tokens_total"][1] <= Engine.num_tokens
    assert found["output_tokens_per_s"][0] >= 1
    assert stop_stores(settings) is not None
