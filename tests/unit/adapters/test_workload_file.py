"""A fitted workload in a file: the same back, and every bad figure refused by its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optiinfra.adapters.workload_file import read_workload, write_workload
from optiinfra.domain.errors import InputError
from optiinfra.twin.provenance import Provenance
from optiinfra.twin.workload import (
    CONVERSATION_LENGTHS,
    Bursts,
    PrefixFit,
    RateCurve,
    RegimeChange,
    WorkloadFit,
)


def make_fit() -> WorkloadFit:
    return WorkloadFit(
        rate=RateCurve(np.array([0.0, 0.1, 7.0]), np.array([1.0, 1 / 3, 2.0]), 9.0),
        bursts=Bursts(1.1, (2.0,), (0.3,)),
        lengths=CONVERSATION_LENGTHS,
        prefixes=PrefixFit(16, (2, 3), (0.5, 0.25), ((0.5,) * 21,) * 2, (1.0,) * 21),
        provenance=Provenance("a.csv", "abc", 7, 9.0, "2026-01-01T00:00:00+00:00", notes=("n",)),
        notes=("rate scaled by 2",),
    )


@pytest.mark.parametrize("has_prefixes", [True, False])
def test_what_is_written_is_read(tmp_path: Path, has_prefixes: bool) -> None:  # noqa: FBT001
    fit = make_fit() if has_prefixes else replace(make_fit(), prefixes=None)
    path = tmp_path / "fit.json"
    write_workload(fit, path)
    read = read_workload(path)
    assert (read.bursts, read.prefixes, read.provenance) == (
        fit.bursts,
        fit.prefixes,
        fit.provenance,
    )
    assert read.notes == fit.notes
    assert np.array_equal(read.rate.rate_per_s, fit.rate.rate_per_s)
    assert np.array_equal(read.lengths.output_tokens, fit.lengths.output_tokens)
    write_workload(read, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def change(*keys: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return apply


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (change("format", value="other"), "format"),
        (change("version", value=2), "version"),
        (change("rate", "rate_per_s", 1, value=float("nan")), "rate.rate_per_s.1"),
        (change("rate", "rate_per_s", 1, value=-1.0), "rate"),
        (change("rate", "knot_s", 1, value=8.0), "rate"),
        (change("bursts", "gap_cv", value=float("inf")), "bursts.gap_cv"),
        (change("bursts", "variance_ratio", value=[]), "bursts"),
        (change("lengths", "prompt_levels", 1, value=2.0), "lengths"),
        (change("lengths", "output_tokens", 0, value=[1.0]), "lengths"),
        (change("prefixes", "hit_ratio", 0, value=1.5), "prefixes"),
        (change("prefixes", "upper_blocks", 0, value="two"), "prefixes.upper_blocks.0"),
        (change("more", value=1), "more"),
        (lambda content: content.pop("rate"), "rate"),
    ],
)
def test_bad_figures_name_their_place(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], field: str
) -> None:
    path = tmp_path / "fit.json"
    write_workload(make_fit(), path)
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        read_workload(path)
    assert (caught.value.file, caught.value.field) == (str(path), field)
    assert "--save-fit" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "[]", "{", "3", '{"format": 1}', "[" * 100_000])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fit.json"
    path.write_text(text)
    with pytest.raises(InputError):
        read_workload(path)


def test_nothing_is_half_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="regimes"):
        write_workload(replace(make_fit(), regimes=(RegimeChange(1.0),)), tmp_path / "fit.json")
    with pytest.raises(OSError, match="directory"):
        write_workload(make_fit(), tmp_path)
    assert list(tmp_path.iterdir()) == []
