"""The real files behind the forms; needs the folder that OPTIINFRA_DATA names."""

from __future__ import annotations

from pathlib import Path

import pytest

from optiinfra.adapters.traces import read_measured_requests, read_traces
from optiinfra.domain.measurement import compute_measurement

pytestmark = pytest.mark.real_data


def test_azure(real_data_dir: Path) -> None:
    trace = read_traces(real_data_dir / "azure_llm_2023" / "AzureLLMInferenceTrace_conv.csv")[None]
    assert trace.num_requests == 19_366
    assert int(trace.prompt_tokens.sum()) == 22_361_870
    assert int(trace.output_tokens.sum()) == 4_088_665
    assert trace.span_s == pytest.approx(3501.721937, abs=1e-9)


def test_mooncake(real_data_dir: Path) -> None:
    trace = read_traces(real_data_dir / "mooncake" / "synthetic_trace.jsonl")[None]
    assert trace.num_requests == 3_993
    assert int(trace.prompt_tokens.sum()) == 61_194_628
    assert int(trace.output_tokens.sum()) == 595_432
    assert trace.span_s == 1022.025
    assert trace.prefix_hashes is not None
    assert trace.prefix_hashes.ids.size == 121_877
    assert trace.prefix_hashes.num_ids == 43_924


@pytest.mark.parametrize(
    ("folder", "e2e_s_mean"),
    [
        ("RTXPRO6000_Llama-3.1-8B", 28.20074676),
        ("RTXPRO6000_Qwen3-30B-A3B-Instruct-2507", 32.34462054),
    ],
)
def test_measured_vllm(folder: str, e2e_s_mean: float, real_data_dir: Path) -> None:
    requests = read_measured_requests(real_data_dir / "vllm_measured" / folder)
    measurement = compute_measurement(requests)
    assert measurement.num_requests == 300
    assert measurement.e2e_s_mean == pytest.approx(e2e_s_mean)
    identity = requests.ttft_s + requests.tpot_s * (requests.trace.output_tokens - 1)
    assert identity == pytest.approx(requests.e2e_s)
