"""An Analysis as a JSON document and back, for machines.

Decimals are strings, unknown is null, an infinite rate is the string "Infinity". Beside the
fields of Analysis the document carries what follows from them and what a reader would otherwise
compute again; reading ignores those.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from optiinfra.domain.analysis import Analysis, CalibrationState, DeploymentAnalysis
from optiinfra.domain.errors import InputError
from optiinfra.report.answers import compose_answer, compose_headline, has_kept_one_lost

SCHEMA = "optiinfra.analysis.v1"


@cache
def _get_adapter() -> TypeAdapter[Analysis]:
    return TypeAdapter(Analysis)


def to_json(
    analysis: Analysis, *, recommendation_ids: Mapping[str, UUID | str] | None = None
) -> str:
    """The document; `recommendation_ids` maps evidence digests to stored ids."""
    document = _get_adapter().dump_python(analysis, mode="json")
    document["schema"] = SCHEMA
    document["computed"] = {
        "headline": compose_headline(analysis),
        "num_recommendations": len(analysis.recommendations),
        "is_in_disagreement": any(
            d.truth.state is CalibrationState.DISAGREES for d in analysis.deployments
        ),
        "deployments": {d.name: _compute_deployment(d) for d in analysis.deployments},
    }
    document["recommendation_ids"] = {
        digest: str(identifier) for digest, identifier in (recommendation_ids or {}).items()
    }
    return json.dumps(_name_infinities(document), indent=2, allow_nan=False)


def from_json(text: str) -> Analysis:
    """The Analysis of a document that `to_json` wrote; raises InputError for anything else."""
    try:
        return _get_adapter().validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"This is not an analysis document: {first['msg']}.",
            remedy="Write one with `optiinfra analyze --json`.",
            field=".".join(str(part) for part in first["loc"]) or None,
        ) from error


def _compute_deployment(deployment: DeploymentAnalysis) -> dict[str, Any]:
    return {
        "answer": compose_answer(deployment),
        "num_gpus_today": deployment.today.configuration.num_gpus,
        "is_slo_kept_today": (
            deployment.today.service.slo_attainment_ratio >= deployment.slo.attainment_ratio
        ),
        "is_slo_kept_today_one_lost": has_kept_one_lost(deployment.today),
        "front": [c.key for c in deployment.candidates if c.is_on_front],
        "num_candidates": len(deployment.candidates),
    }


def _name_infinities(value: Any) -> Any:
    """JSON has no infinities; pydantic reads these names back as floats."""
    if isinstance(value, dict):
        return {key: _name_infinities(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_name_infinities(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
