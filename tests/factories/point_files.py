"""Files of measured points and runs. Every figure here is made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.factories.points import make_curves

COLUMNS = (
    *("model_path", "system", "backend", "backend_version", "precision", "mode", "isl", "osl"),
    *("gemm_quant_mode", "moe_quant_mode", "tp_size", "attention_dp_size", "moe_tp_size"),
    *("moe_ep_size", "concurrency", "silicon_ttft_ms", "silicon_tpot_ms", "silicon_data_source"),
)
ROW = {
    "model_path": "meta-llama/Llama-3.1-8B-Instruct",
    "system": "h100_sxm",
    "backend": "vllm",
    "backend_version": "0.19.0",
    "precision": "fp8",
    "mode": "agg",
    "isl": 1024,
    "osl": 512,
    "gemm_quant_mode": "fp8_block",
    "moe_quant_mode": "fp8",
    "tp_size": 2,
    "attention_dp_size": 1,
    "moe_tp_size": 1,
    "moe_ep_size": 1,
    "concurrency": 4,
    "silicon_ttft_ms": 100.0,
    "silicon_tpot_ms": 10.0,
    "silicon_data_source": "made up",
}


def write_points(path: Path, *rows: dict[str, Any]) -> Path:
    lines = [",".join(COLUMNS)]
    lines += [",".join(str({**ROW, **row}[name]) for name in COLUMNS) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def make_rows(**changes: Any) -> list[dict[str, Any]]:
    return [{**changes, "concurrency": c, "silicon_tpot_ms": 10.0 + c} for c in (4, 8, 16)]


def write_made_points(path: Path) -> Path:
    """A file of six groups made by the performance model, with noise."""
    rows = [
        {
            "model_path": curve.deployment.group.model,
            "system": curve.deployment.group.gpu,
            "precision": "bf16",
            "gemm_quant_mode": "",
            "moe_quant_mode": "",
            "tp_size": curve.deployment.layout.tensor_parallel_size,
            "concurrency": curve.concurrency[i],
            "silicon_ttft_ms": curve.ttft_s[i] * 1e3,
            "silicon_tpot_ms": curve.tpot_s[i] * 1e3,
        }
        for curve in make_curves()
        for i in range(curve.concurrency.size)
    ]
    return write_points(path, *rows)


def write_run(folder: Path, **flags: Any) -> Path:
    folder.mkdir()
    requests = [
        {
            "request_id": f"r{i}",
            "input_toks": 100,
            "output_toks": 20,
            "arrival_time": 0.1 * i,
            "queued_ts": 0.1 * i,
            "scheduled_ts": 0.1 * i + 0.001,
            "first_token_ts": 0.1 * i + 0.04,
            "last_token_ts": 0.1 * i + 0.04 + 19 * 0.014,
        }
        for i in range(30)
    ]
    (folder / "requests.jsonl").write_text("".join(json.dumps(r) + "\n" for r in requests))
    values = {"max_num_seqs": 128, "max_num_batched_tokens": 2048, "max_model_len": None, **flags}
    meta = {"model": "meta-llama/Llama-3.1-8B", "vllm_version": "0.19.0", "engine_kwargs": values}
    (folder / "meta.json").write_text(json.dumps(meta))
    memory = {"mem_size": 80, "mem_bw": 2039, "mem_util": 0.9}
    node = {"instances": [{"hardware": "A100", "npu_mem": memory}]}
    (folder / "model_config.json").write_text(json.dumps({"nodes": [node]}))
    return folder
