import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from tests.factories.analysis import (
    make_analysis,
    make_deployment,
    make_disagreeing_deployment,
    make_trace_summary,
    make_truth,
)

from optiinfra.domain.analysis import Analysis, CalibrationState, Distribution
from optiinfra.report.page import render_report

GENERATED_AT = datetime(2025, 3, 12, 14, 5, tzinfo=UTC)
VOID = {"meta", "input", "br", "link", "img", "hr"}
URL_ATTRIBUTES = {"src", "href", "action", "data", "poster", "srcset"}
STORED_ID = "0198c1f2-7a4e-7c1d-9b60-1f2a3b4c5d6e"


class Page(HTMLParser):
    """Checks nesting and collects what a reader sees and what a browser would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.urls: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.styles: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"inline handler {name}"
            if name in URL_ATTRIBUTES:
                self.urls.append(value or "")
            if name == "style":
                self.styles.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            return
        (self.styles if "style" in self.open else self.texts).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def render(analysis: Analysis, *, is_stored: bool = True) -> Page:
    ids = {r.evidence.digest: STORED_ID for r in analysis.recommendations} if is_stored else {}
    return Page(render_report(analysis, generated_at=GENERATED_AT, recommendation_ids=ids))


@pytest.fixture(scope="module")
def page() -> Page:
    return render(make_analysis())


def test_refers_to_nothing_outside(page: Page) -> None:
    assert all(url.startswith("#") for url in page.urls)
    assert {url[1:] for url in page.urls} <= set(page.ids)
    css = " ".join(page.styles)
    assert not re.search(r"url\(|@import|https?:", css)
    assert len(page.ids) == len(set(page.ids))


def test_policy_lets_only_our_scripts_run() -> None:
    html = render_report(make_analysis(), generated_at=GENERATED_AT)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert policy[1].count("'sha256-") == 2
    assert html.count("<script>") == 2


@pytest.mark.parametrize(
    "heading",
    [
        "What this rests on",
        "How to go back",
        "Today",
        "Prediction beside measurement",
        "Traffic",
        "Cost and latency of every candidate",
        "Recommendation",
        "The change",
        "The way back",
        "What users get",
        "What would make it wrong",
        "Evidence",
        "Needs a quality test",
        "All candidates",
        "Assumed",
        "How to read this",
    ],
)
def test_sections(page: Page, heading: str) -> None:
    assert heading in page.texts


@pytest.mark.parametrize(
    "text",
    [
        "You can serve this traffic for $7.47 instead of $9.96 an hour",
        "$2.24 to $2.49/h (90% interval)",
        "A month: unknown",
        "uncalibrated",
        "Price book of 2025-03-01, 11 days old.",
        "58.4 minutes, from 11 March 2025, 18:15 UTC.",
        f"optiinfra recommendations approve {STORED_ID} --by you@example.com",
        "12 March 2025, 14:05 UTC",
        "38 more were ruled out before. 24 do not fit in the GPU's memory.",
        "d1ced1ce",
    ],
)
def test_facts(page: Page, text: str) -> None:
    assert text in page.text


def test_every_candidate_has_a_row(page: Page) -> None:
    deployment = make_deployment()
    rows = len(deployment.candidates) + len(deployment.needs_quality_test)
    assert page.text.count(" seqs \N{MIDDLE DOT} ") == rows + 1  # and today's line


def test_user_strings_are_escaped() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    deployment = replace(make_deployment(evil), model=evil)
    deployment = replace(
        deployment,
        trace=replace(deployment.trace, source=evil, notes=(evil,)),
        assumptions=(evil,),
        no_recommendation_reason=evil,
    )
    html = render_report(make_analysis(deployment, customer=evil), generated_at=GENERATED_AT)
    assert "<script>alert" not in html
    assert "<img" not in html.split("<body>")[1].split("<script>")[0]
    assert evil in Page(html).text


def test_unknown_is_never_zero() -> None:
    deployment = make_deployment(has_price=False, trace=make_trace_summary(is_synthetic=True))
    nothing = Distribution(mean=None, p50=None, p95=None, p99=None)
    service = replace(deployment.today.service, tpot_s=nothing, tpot_s_histogram=None)
    deployment = replace(deployment, today=replace(deployment.today, service=service))
    text = render(make_analysis(deployment)).text
    assert "List cost unknown" in text
    assert "TPOT unknown unknown unknown unknown" in text
    assert "breaks even at $3.32 a GPU-hour" in text
    assert "$0.00" not in text
    assert "None" not in text
    assert "synthetic traffic" in text


def test_no_recommendation_says_why() -> None:
    text = render(make_analysis(make_deployment(has_recommendation=False))).text
    assert "Nothing to change: this deployment stays as it is." in text
    assert "No candidate that keeps the SLO costs less than today." in text
    assert "To approve" not in text


def test_disagreement_shows_the_difference_and_its_causes() -> None:
    text = render(make_analysis(make_disagreeing_deployment())).text
    assert "No change is recommended yet" in text
    assert "TTFT mean 112 ms 80 ms to 150 ms 90% 410 ms outside" in text
    assert "The engine may run with other flags than the fleet file says." in text


def test_several_deployments() -> None:
    checked = make_deployment("chat", truth=make_truth(CalibrationState.CHECKED))
    page = render(make_analysis(checked, make_deployment("batch", has_recommendation=False)))
    assert "Answers by deployment" in page.texts
    assert "2 of 2 measured figures lie inside the prediction." in page.text
    assert {"d1", "d2"} <= set(page.ids)


def test_what_is_not_stored_cannot_be_approved() -> None:
    text = render(make_analysis(), is_stored=False).text
    assert "recommendations approve" not in text
    assert "not stored" in text


def test_same_analysis_same_page() -> None:
    first = render_report(make_analysis(), generated_at=GENERATED_AT)
    assert first == render_report(make_analysis(), generated_at=GENERATED_AT)
