"""Measured figures from the reports of load tools, each in its own form.

Known are `vllm bench serve` (and SGLang's `bench_serving`, which writes the same names), GuideLLM,
AIPerf, and a measured vLLM run request by request. Units become seconds here; notes say which tool
it was and what its TPOT is. Field names were read in the tools' public sources and documents.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from optiinfra.adapters.bench_reports_aiperf import is_aiperf, make_aiperf_measurement
from optiinfra.adapters.bench_reports_guidellm import is_guidellm, list_guidellm, make_guidellm
from optiinfra.adapters.bench_reports_vllm import describe_vllm, is_vllm, make_vllm_measurement
from optiinfra.adapters.traces import read_measured_requests
from optiinfra.adapters.traces.blocks import open_text
from optiinfra.domain.errors import InputError
from optiinfra.domain.measurement import Measurement, compute_measurement

MAX_REPORT_BYTES = 256 * 2**20
_KNOWN = "`vllm bench serve`, GuideLLM or AIPerf JSON, or a measured vLLM run (requests.jsonl)"


def read_measurement(path: Path, *, index: int | None = None) -> Measurement:
    """The figures of a report; `index`, from 0, chooses among several benchmarks in one file.

    Raises:
        InputError: not a known report, too big, damaged, or several benchmarks and no index.
    """
    if path.is_dir():
        return compute_measurement(read_measured_requests(path))
    head = open_text(path).head
    if b'"queued_ts"' in head.split(b"\n", 1)[0]:
        return compute_measurement(read_measured_requests(path))
    documents = _load(path)
    document = documents[0]
    source = path.name
    if is_guidellm(document):
        choices = list_guidellm(path, document)
        return make_guidellm(path, source, document["benchmarks"][_choose(path, choices, index)])
    if is_aiperf(path, document):
        return make_aiperf_measurement(path, source, document)
    if is_vllm(document):
        chosen = _choose(path, [describe_vllm(each) for each in documents], index)
        return make_vllm_measurement(path, source, documents[chosen])
    raise InputError(
        f"this is JSON of no known report (fields {', '.join(sorted(document)[:12]) or 'none'}).",
        remedy=f"Known are {_KNOWN}.",
        file=str(path),
    )


def _load(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file: one, or one a line (`--append-result` writes such)."""
    chunks, num_bytes = [], 0
    for block in open_text(path).iter_blocks():
        chunks.append(block.data)
        num_bytes += len(block.data)
        if num_bytes > MAX_REPORT_BYTES:
            raise InputError(
                f"the report is larger than {MAX_REPORT_BYTES // 2**20} MiB.",
                remedy="Write it without the per-request details.",
                file=str(path),
            )
    text = b"".join(chunks)
    loaders: Sequence[Callable[[], list[Any]]] = (
        lambda: [json.loads(text)],
        lambda: [json.loads(line) for line in text.splitlines() if line.strip()],
    )
    reason: Exception | None = None
    for load in loaders:
        try:
            documents = load()
        except (ValueError, RecursionError) as error:
            reason = reason or error
            continue
        if documents and all(isinstance(document, dict) for document in documents):
            return documents
    raise InputError(
        f"the report is not a JSON object ({reason or 'another kind of value'}).",
        remedy=f"Known are {_KNOWN}.",
        file=str(path),
    ) from reason


def _choose(path: Path, choices: list[str], index: int | None) -> int:
    if index is None and len(choices) == 1:
        return 0
    if index is None or not 0 <= index < len(choices):
        listed = "; ".join(f"{i}: {choice}" for i, choice in enumerate(choices[:40]))
        asked = "" if index is None else f", none of them number {index}"
        raise InputError(
            f"the report has {len(choices)} benchmarks{asked}.",
            remedy=f"Choose one by its index: {listed or 'there is none'}.",
            file=str(path),
        )
    return index
