"""`optiinfra scrape` against a real page on the loopback interface."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from optiinfra.cli.main import app


class Engine(BaseHTTPRequestHandler):
    """Ten more tokens each time it is asked."""

    num_tokens = 0

    def do_GET(self) -> None:
        """The page of metrics."""
        Engine.num_tokens += 10
        body = (
            'vllm:num_requests_running{model_name="m\x1b[31m"} 3\n'
            f"vllm:generation_tokens_total {Engine.num_tokens}\n"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def engine() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def write(folder: Path, *hosts: str) -> str:
    path = folder / "targets.json"
    path.write_text(json.dumps([{"targets": list(hosts), "labels": {"deployment_id": "chat"}}]))
    return str(path)


def test_once_as_json(engine: str, tmp_path: Path) -> None:
    arguments = ["scrape", "--targets", write(tmp_path, engine), "--once", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--allow-network", "127.0.0.0/8"])
    (target,) = json.loads(result.stdout)["targets"]
    assert target["target"] == f"http://{engine}/metrics"
    assert (target["status"], target["reason"], target["is_stale"]) == ("HEALTHY", None, False)
    assert (target["sources"], target["deployment_id"]) == (["vllm"], "chat")
    values = {sample["metric"]: sample["value"] for sample in target["samples"]}
    assert values["num_requests_running"] == 3
    assert values["output_tokens_total"] > 0
    assert result.exit_code == 0


def test_two_rounds_give_a_rate(engine: str, tmp_path: Path) -> None:
    arguments = ["scrape", "--targets", write(tmp_path, engine), "--rounds", "2", "--json"]
    result = CliRunner().invoke(
        app, [*arguments, "--interval", "0.1", "--allow-network", "127.0.0.1"]
    )
    last = json.loads(result.stdout.splitlines()[1])
    values = {sample["metric"]: sample["value"] for sample in last["targets"][0]["samples"]}
    assert 0 < values["output_tokens_per_s"] < 101


def test_a_target_that_may_not_be_read_is_unknown_and_says_why(engine: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["scrape", "--targets", write(tmp_path, engine), "--once"])
    assert result.exit_code == 0  # as a return value; main() exits with it
    assert "unknown" in result.stdout
    assert "address_not_allowed" in result.stdout
    assert "num_requests_running" not in result.stdout


def test_text_for_people_cannot_steer_the_terminal(engine: str, tmp_path: Path) -> None:
    arguments = ["scrape", "--targets", write(tmp_path, engine), "--once"]
    result = CliRunner().invoke(app, [*arguments, "--allow-network", "127.0.0.1"])
    assert "HEALTHY" in result.stdout
    assert "num_requests_running" in result.stdout
    assert "\x1b" not in result.stdout


def test_no_targets(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["scrape", "--targets", write(tmp_path), "--once"])
    assert result.exception is not None
    assert "no target" in str(result.exception)
