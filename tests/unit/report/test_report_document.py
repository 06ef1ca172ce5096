import json
from dataclasses import replace

import pytest
from tests.factories.analysis import (
    make_analysis,
    make_deployment,
    make_disagreeing_deployment,
    make_trace_summary,
)

from optiinfra.domain.errors import InputError
from optiinfra.report.document import from_json, to_json


def test_round_trip() -> None:
    analysis = make_analysis(
        make_deployment(),
        make_disagreeing_deployment(),
        make_deployment("unpriced", has_price=False),
    )
    assert from_json(to_json(analysis)) == analysis


def test_same_analysis_same_bytes() -> None:
    assert to_json(make_analysis()) == to_json(make_analysis())


def test_decimals_are_strings_and_unknown_is_null() -> None:
    document = json.loads(to_json(make_analysis()))
    recommendation = document["deployments"][0]["recommendations"][0]
    assert recommendation["saving_usd_per_h"] == "2.49"
    assert recommendation["saving_usd_per_month"] is None


def test_computed_figures_and_ids_are_added() -> None:
    digest = make_analysis().recommendations[0].evidence.digest
    document = json.loads(to_json(make_analysis(), recommendation_ids={digest: "an-id"}))
    assert document["recommendation_ids"] == {digest: "an-id"}
    assert document["computed"]["num_recommendations"] == 1
    assert document["computed"]["is_in_disagreement"] is False
    assert document["computed"]["deployments"]["chat"]["num_gpus_today"] == 4


def test_infinite_rate_survives() -> None:
    trace = replace(make_trace_summary(), rate_per_s=float("inf"))
    analysis = make_analysis(make_deployment(trace=trace))
    text = to_json(analysis)
    json.loads(text, parse_constant=pytest.fail)
    assert from_json(text) == analysis


def test_other_documents_are_refused() -> None:
    with pytest.raises(InputError, match="not an analysis document"):
        from_json('{"customer": "x"}')
    with pytest.raises(InputError):
        from_json("not json")
