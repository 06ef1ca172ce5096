from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tests.cli.conftest import STORED_ID
from tests.factories.analysis import (
    make_analysis,
    make_candidates,
    make_deployment,
    make_disagreeing_deployment,
    make_interval,
    make_trace_summary,
    make_truth,
)

from optiinfra.cli.consoles import make_text
from optiinfra.cli.render import render_analysis
from optiinfra.cli.tables import list_shown_candidates
from optiinfra.domain.analysis import Analysis, CalibrationState, Verdict


def render(analysis: Analysis, *, width: int = 80) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, markup=False, highlight=False, emoji=False)
    ids = {r.evidence.digest: STORED_ID for r in analysis.recommendations}
    render_analysis(analysis, console, recommendation_ids=ids, report=Path("report.html"))
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_fits_the_terminal(width: int) -> None:
    checked = make_deployment("chat", truth=make_truth(CalibrationState.CHECKED))
    text = render(make_analysis(checked, make_disagreeing_deployment()), width=width)
    lines = [line for line in text.splitlines() if "recommendations approve" not in line]
    assert max(map(len, lines)) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert ("TPOT p95   E2E p95" in text) == (width == 120)


@pytest.mark.parametrize(
    "text",
    [
        "You can serve this traffic for $7.47",
        "19,366 requests over 58.4 minutes (5.53/s) from requests.csv",
        "TTFT \N{LESS-THAN OR EQUAL TO} 1 s and TPOT",
        "11.8/s with all replicas, 8.7/s with one lost (actual 5.53/s)",
        "Prediction: uncalibrated",
        "- --max-num-seqs  1024",
        "+ --max-num-seqs  256",
        "$2.49/h; range $2.24 to $2.49/h",
        "83% that the promise holds with one replica lost. Share of",
        "load +20%",
        f"  optiinfra recommendations approve {STORED_ID} --by you@example.com\n",
        "(recommended, front)",
        "144 simulated, 38 ruled out before",
        "24 do not fit in the GPU's memory.\n",
        "assumed: max_num_batched_tokens 8192",
        "Price book of 2025-03-01",
        "Report       report.html",
    ],
)
def test_says(text: str) -> None:
    assert text in render(make_analysis())


def test_unknown_is_never_zero() -> None:
    deployment = make_deployment(has_price=False, trace=make_trace_summary(is_synthetic=True))
    alone = replace(deployment.today, service_one_lost=None)
    text = render(make_analysis(replace(deployment, today=alone)))
    assert "Cost         unknown\n" in text
    assert "Saving       unknown" in text
    assert "Break-even   $3.32 a GPU-hour" in text
    assert "One lost     there is only one replica" in text
    assert "Traffic      synthetic: " in text
    assert "None" not in text
    assert "$0.00" not in text


def test_disagreement_says_what_differs() -> None:
    text = render(make_analysis(make_disagreeing_deployment()))
    assert "Prediction: disagrees" in text
    assert "outside" in text
    assert "Likely cause The engine may run with other flags" in text
    assert text.count("No change is recommended yet") == 1
    assert "Measured: bench.json (vllm bench serve). 1 of 2 figures" in text
    assert "They are not listed" in text
    assert "E2E p95" not in text  # a table of candidates would rest on a twin that is wrong


def test_brackets_of_a_name_stay() -> None:
    assert "[bold]x[/bold]: " in render(make_analysis(make_deployment("[bold]x[/bold]")))


def test_data_cannot_steer_the_terminal() -> None:
    assert make_text("a\x1b]0;title\x07b").plain == "a ]0;title b"


def test_an_alternative_is_not_a_second_saving() -> None:
    deployment = make_deployment()
    first = deployment.recommendations[0]
    other = replace(first, after=deployment.candidates[-1], title="Serve chat otherwise")
    text = render(make_analysis(replace(deployment, recommendations=(first, other))))
    assert "Instead of it, on today's hardware: Serve chat otherwise" in text
    assert "(or this" in text
    assert text.count("(recommended") == 1


def test_one_row_for_each_hardware() -> None:
    shown = list_shown_candidates(make_deployment())
    hardware = [
        (c.configuration.gpu, c.configuration.num_replicas, c.configuration.num_gpus) for c in shown
    ]
    assert len(set(hardware)) == len(hardware)
    assert any(c.is_today for c in shown)


def test_a_saving_that_no_error_changes_is_no_range() -> None:
    recommendation = make_deployment().recommendations[0]
    same = replace(recommendation, saving_usd_per_h_interval=make_interval(2.49, 2.49))
    text = render(make_analysis(replace(make_deployment(), recommendations=(same,))))
    assert "$2.49/h; no less should the engine be slower than predicted" in text


def test_a_price_that_is_missing_shows_where_it_would_pay() -> None:
    deployment = make_deployment()
    unpriced = next(c for c in make_candidates(has_price=False) if c.verdict is Verdict.KEEPS_SLO)
    text = render(make_analysis(replace(deployment, candidates=(deployment.today, unpriced))))
    assert "Break-even   " in text
    assert "costs less than today below $3.32 a GPU-hour" in text


def test_a_single_replica_has_no_spare() -> None:
    deployment = make_deployment()
    configuration = replace(deployment.today.configuration, num_replicas=1)
    alone = replace(deployment.today, configuration=configuration, service_one_lost=None)
    text = render(make_analysis(replace(deployment, today=alone)))
    assert "11.8/s with the only replica (actual 5.53/s)" in text
    assert "no spare" in text
