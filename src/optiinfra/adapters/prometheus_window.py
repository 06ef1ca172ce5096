"""A range of time on a Prometheus server, narrowed to one deployment of one engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.prometheus_client import Parameters, Prometheus, make_http, make_url
from optiinfra.adapters.prometheus_names import (
    NAME_MATCH,
    EngineMetrics,
    list_engines,
    make_selector,
)
from optiinfra.adapters.prometheus_series import read_matrix
from optiinfra.adapters.prometheus_times import check_range
from optiinfra.domain.errors import InputError

_SMALLEST_BIN_S = 60.0
_MAX_BINS = 720
_SCRAPES_PER_BIN = 4  # an increase needs two, and a scrape may fail
_COVERED_RATIO = 0.75  # a missed scrape does not make a bin unknown
_PROBE_S = 600.0  # how long scrapes are counted to learn their interval
_MAX_PROBES = 100


@dataclass(frozen=True, slots=True)
class Filters:
    """Which of a server's series are meant; None where the server knows only one."""

    model_name: str | None = None
    engine: str | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Queries about one deployment between two instants."""

    server: Prometheus
    start: datetime
    end: datetime
    engine: EngineMetrics
    names: frozenset[str]  # of all metrics on the server that may be of use
    selector: str

    @property
    def span_s(self) -> float:
        """Length of the range in seconds."""
        return (self.end - self.start).total_seconds()

    @property
    def source(self) -> str:
        """Server and range, for people."""
        form = "%Y-%m-%d %H:%M:%S"
        return f"Prometheus {self.server.name} from {self.start:{form}} to {self.end:{form}} UTC"

    def query(self, promql: str) -> Any:
        """The answer at the end of the range; `$range` stands for its length."""
        parameters: Parameters = [
            ("query", promql.replace("$range", _duration(self.span_s))),
            ("time", f"{self.end.timestamp():.3f}"),
        ]
        return self.server.fetch("/api/v1/query", parameters)

    def query_bins(
        self, promql: str, num_bins: int
    ) -> list[tuple[dict[str, str], NDArray[np.float64]]]:
        """The answers at the end of each of equal bins; `$bin` stands for a bin's length."""
        bin_s = self.span_s / num_bins
        return self._query_steps(promql.replace("$bin", _duration(bin_s)), bin_s, num_bins)

    def choose_num_bins(self, metric: str) -> int:
        """Into how many bins the range is cut: of a minute or more, with some scrapes in each.

        Raises:
            InputError: the metric has no samples in the range.
        """
        probe_s = min(_PROBE_S, self.span_s)
        num_probes = min(int(self.span_s / probe_s), _MAX_PROBES)
        promql = f"max(count_over_time({metric}{self.selector}[{_duration(probe_s)}]))"
        series = self._query_steps(promql, self.span_s / num_probes, num_probes)
        counts = series[0][1] if series else np.empty(0)
        if not counts.size or np.isnan(counts).all():
            raise InputError(
                f"{self.source} has no samples of {metric}{self.selector}.",
                remedy="Check the range and the model's name.",
            )
        bin_s = max(_SMALLEST_BIN_S, _SCRAPES_PER_BIN * probe_s / float(np.nanmax(counts)))
        return min(max(int(self.span_s / bin_s), 1), _MAX_BINS)

    def find_covered_bins(self, metric: str, num_bins: int) -> NDArray[np.bool_]:
        """Which bins have about as many samples as the best: a bin half seen looks half empty."""
        series = self.query_bins(f"max(count_over_time({metric}{self.selector}[$bin]))", num_bins)
        counts = np.nan_to_num(series[0][1]) if series else np.zeros(num_bins)
        return np.asarray((counts > 0) & (counts >= _COVERED_RATIO * counts.max()), np.bool_)

    def _query_steps(
        self, promql: str, step_s: float, num_steps: int
    ) -> list[tuple[dict[str, str], NDArray[np.float64]]]:
        first_s = self.start.timestamp() + step_s
        parameters: Parameters = [
            ("query", promql),
            ("start", f"{first_s:.3f}"),
            ("end", f"{first_s + (num_steps - 1) * step_s:.3f}"),
            ("step", f"{step_s:.3f}"),
        ]
        data = self.server.fetch("/api/v1/query_range", parameters)
        return read_matrix(data, first_s=first_s, step_s=step_s, num_steps=num_steps)


@contextmanager
def open_window(
    url: str, start: datetime, end: datetime, filters: Filters, http: httpx.Client | None
) -> Iterator[Window]:
    """The window, its engine and model found; `http` stays open, an own client is closed.

    Raises:
        InputError: a bad address or range, no known engine, or several where none is named.
    """
    check_range(start, end)
    address = make_url(url)
    with nullcontext(http) if http is not None else make_http() as client:
        server = Prometheus(address, client)
        span: Parameters = [
            ("start", f"{start.timestamp():.3f}"),
            ("end", f"{end.timestamp():.3f}"),
        ]
        names = frozenset(_fetch_values(server, "__name__", NAME_MATCH, span))
        engine = _choose_engine(server, names, filters.engine)
        labels = dict(filters.labels or {})
        if engine.model_label is not None:
            match = f'{{__name__=~"{engine.engine}[:_].+"}}'
            models = _fetch_values(server, engine.model_label, match, span)
            if (model := _choose_model(server, models, filters.model_name)) is not None:
                labels[engine.model_label] = model
        yield Window(server, start, end, engine, names, make_selector(labels))


def _fetch_values(server: Prometheus, label: str, match: str, span: Parameters) -> list[str]:
    values = server.fetch(f"/api/v1/label/{label}/values", [("match[]", match), *span])
    return sorted(str(value) for value in values) if isinstance(values, list) else []


def _choose_engine(server: Prometheus, names: frozenset[str], wanted: str | None) -> EngineMetrics:
    engines = {engine.engine: engine for engine in list_engines(names)}
    if wanted is not None:
        engines = {name: engine for name, engine in engines.items() if name == wanted}
    if not engines:
        raise InputError(
            f"Prometheus at {server.name} has no metrics of {wanted or 'vLLM, SGLang or TGI'} "
            "in the range.",
            remedy="Check the range, and that the engines' /metrics are scraped.",
        )
    if len(engines) > 1:
        raise InputError(
            f"Prometheus at {server.name} has metrics of {', '.join(engines)}.",
            remedy="Describe one engine a fleet file; its name chooses the series.",
        )
    return next(iter(engines.values()))


def _choose_model(server: Prometheus, models: list[str], wanted: str | None) -> str | None:
    if wanted is not None and wanted not in models:
        raise InputError(
            f"Prometheus at {server.name} knows no model {wanted!r} in the range.",
            remedy=f"It knows {', '.join(models[:20]) or 'none'}.",
        )
    if wanted is None and len(models) > 1:
        raise InputError(
            f"Prometheus at {server.name} has metrics of {len(models)} models.",
            remedy=f"Name one with --served-model: {', '.join(models[:20])}.",
        )
    return wanted or (models[0] if models else None)


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
