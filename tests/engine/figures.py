"""What the client measured beside what the series say, as a table for the page in docs/."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.engine.places import OUT


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity twice; `unit` is for people."""

    name: str
    unit: str
    client: float
    series: float

    @property
    def difference_ratio(self) -> float:
        """By how much the series are above the client."""
        return (self.series - self.client) / self.client


def write_figures(engine: str, figures: list[Figure], facts: Mapping[str, object]) -> None:
    """Write the table to `out/engine/ENGINE.md` and print it (shown by `pytest -s`)."""
    lines = [f"{engine}, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "| | client | series | difference |", "|---|---|---|---|"]
    for figure in figures:
        name = f"{figure.name}, {figure.unit}"
        difference = f"{figure.difference_ratio:+.2%}"
        lines.append(f"| {name} | {figure.client:,.4g} | {figure.series:,.4g} | {difference} |")
    text = "\n".join(lines)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{engine}.md").write_text(f"{text}\n")
    sys.stdout.write(f"\n{text}\n")
