"""The commands against a bootstrap whose functions are replaced by made-up answers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter
from tests.factories.analysis import make_analysis

from optiinfra.domain.analysis import Analysis, Recommendation

STORED_ID = UUID("0198c1f2-7a4e-7c1d-9b60-1f2a3b4c5d6e")


def _import_or_stand_in(name: str, monkeypatch: pytest.MonkeyPatch, **names: Any) -> Any:
    """The module, or an empty one with `names` while it is not written."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
    module = ModuleType(name)
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(f"optiinfra.{name.rpartition('.')[2]}", module, raising=False)
    return module


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> Any:
    _import_or_stand_in("optiinfra.settings", monkeypatch, Settings=SimpleNamespace)
    return _import_or_stand_in("optiinfra.bootstrap", monkeypatch, AnalysisRequest=SimpleNamespace)


@pytest.fixture
def answer(bootstrap: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Lets `analyze` answer with a given analysis; returns the list of requests it got."""

    def install(analysis: Analysis | None = None, *, error: Exception | None = None) -> list[Any]:
        requests: list[Any] = []
        given = analysis or make_analysis()

        def run_analysis(request: Any, *, settings: Any, progress: Any = None) -> Any:
            assert settings is not None
            requests.append(request)
            if error is not None:
                raise error
            for done in range(3):
                progress("candidates", done, 2)
            ids = {r.evidence.digest: STORED_ID for r in given.recommendations}
            return SimpleNamespace(
                analysis=given,
                recommendation_ids=ids if request.is_stored else {},
                report=request.report,
            )

        monkeypatch.setattr(bootstrap, "run_analysis", run_analysis, raising=False)
        return requests

    return install


def make_row(**overrides: Any) -> SimpleNamespace:
    recommendation = make_analysis().recommendations[0]
    data = TypeAdapter(Recommendation).dump_python(recommendation, mode="json")
    values = {
        "id": STORED_ID,
        "customer": "Example Corp",
        "kind": "reduce_cost",
        "title": recommendation.title,
        "status": "pending",
        "priority": "medium",
        "created_at": datetime(2025, 3, 12, 14, 5, tzinfo=UTC),
        "confidence_ratio": 0.83,
        "saving_usd_per_h": Decimal("2.49"),
        "saving_usd_per_month": None,
        "data": data,
        "approvals": (),
    }
    return SimpleNamespace(**{**values, **overrides})


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The arguments that name a fleet and a trace."""
    return ["--fleet", str(tmp_path / "fleet.yaml"), "--trace", str(tmp_path / "requests.csv")]
