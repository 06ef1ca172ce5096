"""The files of the scenarios: a fleet, its traffic, and a benchmark's result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.factories.fleet import make_conversation

from optiinfra.adapters.traces import write_csv
from optiinfra.bootstrap import AnalysisRequest

FLEET = """\
customer:
  name: Example Company
  email: platform@example.com
slo:
  ttft_s: 1.0
  tpot_s: {tpot_s}
  attainment_ratio: 0.95
limits:
  max_replicas: 8
  gpus: [H100-SXM]
deployments:
  - name: chat
    model: meta-llama/Llama-3.1-8B-Instruct
    engine: vllm
    engine_version: "0.19.0"
    arguments:
      max_model_len: 16384
    gpu: H100-SXM
    replicas: {replicas}
    cloud: my-cloud
    price_usd_per_gpu_h: 2.50
"""
RATE_PER_S = 4.0


@dataclass(frozen=True)
class Files:
    """Where they are; `report` is not there yet."""

    folder: Path

    @property
    def fleet(self) -> Path:
        return self.folder / "fleet.yaml"

    @property
    def trace(self) -> Path:
        return self.folder / "requests.csv"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def measured(self) -> Path:
        return self.folder / "bench.json"

    def make_request(self) -> AnalysisRequest:
        return AnalysisRequest(fleet=self.fleet, trace=self.trace, report=self.report)

    def write_fleet(self, *, replicas: int = 4, tpot_s: float = 0.03) -> None:
        self.fleet.write_text(FLEET.format(replicas=replicas, tpot_s=tpot_s))

    def write_disagreeing_measurement(self) -> None:
        """Tokens that come fifty times as slowly as any H100 makes them."""
        result = {"completed": 500, "request_rate": RATE_PER_S, "mean_tpot_ms": 500.0}
        self.measured.write_text(json.dumps(result | {"mean_ttft_ms": 100.0}))


def write_files(folder: Path) -> Files:
    files = Files(folder)
    files.write_fleet()
    write_csv(make_conversation(RATE_PER_S, num_requests=400), files.trace)
    return files
