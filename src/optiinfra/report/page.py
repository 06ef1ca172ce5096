"""The report: one HTML file that opens offline and holds everything a decision needs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from uuid import UUID

from jinja2 import Environment, PackageLoader, StrictUndefined

from optiinfra.domain.analysis import Analysis, RecommendationKind
from optiinfra.report import answers, sections, units, words
from optiinfra.report.charts import Chart

TEMPLATES = "templates"


def render_report(
    analysis: Analysis,
    *,
    generated_at: datetime,
    recommendation_ids: Mapping[str, UUID | str] | None = None,
) -> str:
    """A self-contained page; nothing in it refers to another place.

    `generated_at` is aware UTC. `recommendation_ids` maps evidence digests to the ids under which
    the recommendations are stored; one without an id cannot be approved, and the page says so.
    """
    plotly, script = _load_plotly(), _load_asset("page.js")
    return (
        _get_environment()
        .get_template("page.html.j2")
        .render(
            analysis=analysis,
            headline=_keep_together(answers.compose_headline(analysis)),
            sections=sections.build_sections(analysis, recommendation_ids or {}),
            generated_at=units.format_instant(generated_at),
            generated_iso=generated_at.isoformat(),
            style=_load_asset("style.css"),
            plotly=plotly,
            script=script,
            script_sources=" ".join(_hash_source(text) for text in (plotly, script)),
        )
    )


def _keep_together(text: str) -> str:
    """The text with `3 x H100` in one line each."""
    return text.replace(" \N{MULTIPLICATION SIGN} ", "\u00a0\N{MULTIPLICATION SIGN}\u00a0")


def _load_asset(name: str) -> str:
    return (files(__package__) / TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _load_plotly() -> str:
    from plotly.offline import get_plotlyjs

    # A browser hashes a script with its line ends as "\n"; so does _hash_source.
    bundle: str = get_plotlyjs()
    return bundle.replace("\r\n", "\n").replace("\r", "\n")


def _hash_source(script: str) -> str:
    """The Content-Security-Policy source that lets exactly this inline script run."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _embed_chart(chart: Chart) -> str:
    """The chart's specification as JSON that cannot end the script element it stands in."""
    text = json.dumps({"data": chart.data, "layout": chart.layout}, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def _get_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("optiinfra.report", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "seconds": units.format_seconds,
        "span": units.format_span,
        "ratio": units.format_ratio,
        "percent": units.format_percent,
        "money": units.format_money,
        "money_per_hour": units.format_money_per_hour,
        "number": units.format_number,
        "count": units.format_count,
        "rate": units.format_rate,
        "metric_name": units.describe_metric,
        "configuration": words.describe_configuration,
        "arguments": words.describe_arguments,
        "slo": words.describe_slo,
        "interval": words.describe_interval,
        "saving_name": words.name_saving,
        "saving": words.describe_saving,
        "saving_range": words.describe_saving_range,
        "confidence": words.describe_confidence,
        "observed": words.describe_observed,
        "what_if_saving": words.describe_what_if_saving,
        "risk": answers.compose_risk,
        "what_if": words.describe_sensitivity,
        "change": words.describe_change,
        "effect_change": words.describe_effect_change,
        "effect_interval": words.describe_effect_interval,
        "attainment": sections.describe_attainment,
        "approve": words.compose_approve_command,
        "sentence": words.compose_sentence,
        "chart_json": _embed_chart,
    }
    environment.globals |= {
        "format_metric": units.format_metric,
        "verdict_words": {str(k): v for k, v in words.VERDICT_WORDS.items()},
        "restore_slo": RecommendationKind.RESTORE_SLO,
    }
    return environment
