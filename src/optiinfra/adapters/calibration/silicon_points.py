"""Measured closed-loop points from a CSV file in the form of aiconfigurator's `silicon_agg.csv`."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.adapters.csv_table import read_csv_table
from optiinfra.domain.architecture_catalogue import find_architecture, get_architecture
from optiinfra.domain.errors import InputError
from optiinfra.domain.gpu_catalogue import find_gpu, get_gpu
from optiinfra.twin.performance.points import (
    PREFILL_FIRST_ENGINES,
    Group,
    MeasuredCurve,
    PointDeployment,
)
from optiinfra.twin.performance.precision import WeightFormat
from optiinfra.twin.performance.work import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from optiinfra.adapters.csv_table import CsvTable
    from optiinfra.domain.architectures import Architecture

MAX_BYTES = 256 * 2**20
MIN_CONCURRENCIES = 3
MAX_RANKS = 8  # above, the source's parallel sizes do not say how many GPUs there were
_MAX_TOKENS = 10_000_000
_MAX_MILLISECONDS = 1e9
_REQUIRED = (
    *("model_path", "system", "backend", "isl", "osl", "tp_size"),
    *("concurrency", "silicon_ttft_ms", "silicon_tpot_ms"),
)
_OPTIONAL = (
    *("backend_version", "precision", "mode", "gemm_quant_mode", "moe_quant_mode"),
    *("pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size", "silicon_data_source"),
)
# The source's names of GPU types that are not one of the catalogue's spellings.
_SYSTEMS = {
    "a100_sxm": "A100-80-SXM",
    "a100_pcie": "A100-80-PCIe",
    "rtx_pro_6000_server": "RTX-PRO-6000",
}
_FORMATS = {
    "fp8": WeightFormat.FP8,
    "int8": WeightFormat.INT8,
    "sq": WeightFormat.INT8,
    "int4": WeightFormat.INT4,
    "w4a16": WeightFormat.INT4,
    "nvfp4": WeightFormat.FP4,
    "fp4": WeightFormat.FP4,
    "w4a8": WeightFormat.FP4,
    "w4a16_mxfp4": WeightFormat.FP4,
    "bf16": WeightFormat.BF16,
    "bfloat16": WeightFormat.BF16,
    "float16": WeightFormat.BF16,
    "fp16": WeightFormat.BF16,
}
# Decode steps between two looks for new requests (--scheduler-recv-interval) in the launch scripts
# of SemiAnalysis InferenceMAX (Apache-2.0, benchmarks/*_b200*.sh and *_b300*.sh under SGLang), from
# which such points come: 10 below 16 clients, 30 from there on. Others leave it at 1.
_RECEIVING_SYSTEMS = ("b200_sxm", "b300_sxm")
_RECEIVING_MODELS = ("deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3.5")
_RECEIVE_CLIENTS = 16
_RECEIVE_INTERVALS = (10.0, 30.0)
# aiconfigurator's own runs: every prompt and answer is as long as `isl` and `osl` say. Inferred:
# under SGLang their TTFT is the prefill of half of the clients, as equal lengths make it.
_EQUAL_LENGTHS = "aic-auto-gap-analysis"


@dataclass(frozen=True)
class SiliconPoints:
    """Curves, and how many of the file's rows were not used, by reason."""

    curves: tuple[MeasuredCurve, ...]
    num_rows: int
    removed: dict[str, int]


def read_silicon_points(path: Path, *, min_concurrencies: int = MIN_CONCURRENCIES) -> SiliconPoints:
    """The measured curves of a file, ordered by deployment; duplicates merged by their median.

    Raises InputError where the file cannot be read, lacks a column, or a cell is not what its
    column holds: a time that is not positive, an answer of no tokens, a prompt that is longer than
    the model's context.
    """
    table = read_csv_table(path, what="file of measured points", max_bytes=MAX_BYTES)
    missing = [name for name in _REQUIRED if name not in table.names]
    if missing:
        raise InputError(
            f"The file has no column {', '.join(missing)}.",
            remedy="Give a CSV file with the columns of aiconfigurator's silicon_agg.csv and a "
            "concurrency.",
            file=table.file,
            line=1,
        )
    return _Reader(table).read(min_concurrencies)


class _Reader:
    """Turns rows into curves and counts what it leaves out."""

    def __init__(self, table: CsvTable) -> None:
        self.table = table
        self.texts = {
            name: table.get_texts(name) if name in table.names else [""] * table.num_rows
            for name in (*_REQUIRED, *_OPTIONAL)
        }
        self.removed: Counter[str] = Counter()

    def read(self, min_concurrencies: int) -> SiliconPoints:
        """All curves with enough concurrencies."""
        measured: dict[PointDeployment, dict[float, list[tuple[float, float]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for row in range(self.table.num_rows):
            reason = self._find_reason(row)
            if reason is not None:
                self.removed[reason] += 1
                continue
            concurrency = self._get_number(row, "concurrency", low=1e-9, high=1e7)
            ttft_s = self._get_number(row, "silicon_ttft_ms", low=1e-6) / 1e3
            tpot_s = self._get_number(row, "silicon_tpot_ms", low=1e-6) / 1e3
            measured[self._get_deployment(row)][concurrency].append((ttft_s, tpot_s))
        curves: list[MeasuredCurve] = []
        for deployment, points in measured.items():
            duplicates = sum(len(values) - 1 for values in points.values())
            if duplicates:
                self.removed["duplicates, merged by their median"] += duplicates
            if len(points) < min_concurrencies:
                reason = f"fewer than {min_concurrencies} concurrencies of its deployment"
                self.removed[reason] += len(points)
                continue
            order = sorted(points)
            medians = np.array([np.median(points[c], axis=0) for c in order])
            loads = np.array(order)
            interval = _find_receive_interval(deployment.group, loads)
            curves.append(MeasuredCurve(deployment, loads, medians[:, 0], medians[:, 1], interval))
        curves.sort(key=lambda curve: _get_key(curve.deployment))
        return SiliconPoints(tuple(curves), self.table.num_rows, dict(sorted(self.removed.items())))

    def _find_reason(self, row: int) -> str | None:
        """Why a row is left out; None when it is used."""
        texts = self.texts
        if texts["mode"][row] not in {"", "agg"}:
            return "prefill and decode on separate GPUs"
        if not texts["concurrency"][row]:
            return "no concurrency"
        if self._get_size(row, "tp_size") > MAX_RANKS:
            return f"more than {MAX_RANKS} ranks, of which the number of GPUs is not known"
        return self._find_unknown(row)

    def _find_unknown(self, row: int) -> str | None:
        """The model, GPU or weight format that is not known; None when all are."""
        texts = self.texts
        if find_architecture(texts["model_path"][row]) is None:
            return f"model {texts['model_path'][row][:80]} not in the catalogue"
        if find_gpu(_get_gpu_name(texts["system"][row])) is None:
            return f"GPU {texts['system'][row][:80]} not in the catalogue"
        for name in ("gemm_quant_mode", "moe_quant_mode"):
            if self._find_format(texts[name][row]) is None and texts[name][row]:
                return f"weight format {texts[name][row][:80]} not known"
        return None

    def _get_deployment(self, row: int) -> PointDeployment:
        texts = self.texts
        architecture = get_architecture(texts["model_path"][row])
        gpu = get_gpu(_get_gpu_name(texts["system"][row]))
        isl = self._get_number(row, "isl", low=1, high=_MAX_TOKENS)
        osl = self._get_number(row, "osl", low=1, high=_MAX_TOKENS)
        if isl + osl > architecture.max_position_embeddings:
            raise self.table.make_error(
                row,
                "isl",
                f"{isl:g} prompt and {osl:g} output tokens are more than the "
                f"{architecture.max_position_embeddings} of {architecture.name}'s context.",
            )
        modes = (texts["gemm_quant_mode"][row], texts["moe_quant_mode"][row])
        sizes = tuple(
            texts[name][row]
            for name in ("tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
        )
        return PointDeployment(
            group=Group(texts["model_path"][row], texts["system"][row], texts["backend"][row]),
            architecture=architecture,
            gpu=gpu,
            engine_version=texts["backend_version"][row],
            precision="/".join(m or "blank" for m in (texts["precision"][row], *modes)),
            layout=self._get_layout(row, architecture),
            prompt_tokens=int(isl),
            output_tokens=int(osl),
            labels=sizes,
            has_equal_lengths=texts["backend"][row] in PREFILL_FIRST_ENGINES
            and _EQUAL_LENGTHS in texts["silicon_data_source"][row],
        )

    def _get_layout(self, row: int, architecture: Architecture) -> Layout:
        """Parallel sizes. Where both are the same number, they are the same GPUs.

        Rows of the source with tp n and attention dp n repeat those with tp n alone, and rows with
        dp above 8 repeat those with 8.
        """
        tp = self._get_size(row, "tp_size")
        dp = min(self._get_size(row, "attention_dp_size"), MAX_RANKS)
        if dp == tp:
            tp = 1
        ep = self._get_size(row, "moe_ep_size")
        native = self._find_format(architecture.native_quantization or "") or WeightFormat.BF16
        dense = self._find_format(self.texts["gemm_quant_mode"][row]) or native
        experts = self._find_format(self.texts["moe_quant_mode"][row]) or dense
        if architecture.is_quantized_in_experts_alone:
            dense = WeightFormat.BF16
        return Layout(
            tensor_parallel_size=tp,
            data_parallel_size=dp,
            pipeline_parallel_size=self._get_size(row, "pp_size"),
            expert_ranks=tp * dp,
            is_expert_parallel=ep > 1,
            dense_format=dense,
            expert_format=experts,
        )

    @staticmethod
    def _find_format(mode: str) -> WeightFormat | None:
        """The weight format of a word such as `fp8_block` or `int4_wo`."""
        word = mode.lower()
        return _FORMATS.get(word) or _FORMATS.get(word.split("_")[0])

    def _get_size(self, row: int, name: str) -> int:
        """A parallel size; blank and 0 stand for 1."""
        text = self.texts[name][row]
        return max(1, int(self._get_number(row, name, low=0, high=4096))) if text else 1

    def _get_number(
        self, row: int, name: str, *, low: float, high: float = _MAX_MILLISECONDS
    ) -> float:
        text = self.texts[name][row]
        try:
            number = float(text.replace("_", "?"))
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise self.table.make_error(
                row, name, f"{text[:80]!r} is not a number from {low:g} to {high:g}."
            )
        return number


def _get_key(d: PointDeployment) -> tuple[object, ...]:
    return (
        *d.group,
        d.engine_version,
        d.precision,
        d.labels,
        d.prompt_tokens,
        d.output_tokens,
    )


def _find_receive_interval(group: Group, loads: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The interval at each load, None where the engine looks before every step."""
    is_set = group.gpu in _RECEIVING_SYSTEMS and group.model.startswith(_RECEIVING_MODELS)
    if group.engine != "sglang" or not is_set:
        return None
    few, many = _RECEIVE_INTERVALS
    return np.where(loads < _RECEIVE_CLIENTS, few, many)


def _get_gpu_name(system: str) -> str:
    """The catalogue's name or spelling for the source's name of a GPU type."""
    return _SYSTEMS.get(system, system)
