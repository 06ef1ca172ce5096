"""Stored recommendations on the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from optiinfra.cli.consoles import make_text
from optiinfra.cli.tables import make_table
from optiinfra.domain.analysis import Recommendation
from optiinfra.report.units import (
    format_instant,
    format_money,
    format_money_per_hour,
    format_percent,
)

if TYPE_CHECKING:
    from optiinfra.orchestrator.records import RecommendationRow

PREFIX_LENGTH_MIN = 8
PENDING = "pending"  # the status in which a recommendation can be approved or rejected


def row_to_document(row: RecommendationRow) -> dict[str, Any]:
    """The row for machines: ids, decimals and instants are strings, unknown is null."""
    hourly, monthly = row.saving_usd_per_h, row.saving_usd_per_month
    return {
        "id": str(row.id),
        "customer": row.customer,
        "kind": str(row.kind),
        "title": row.title,
        "status": str(row.status),
        "priority": str(row.priority),
        "created_at": row.created_at.isoformat(),
        "confidence_ratio": row.confidence_ratio,
        "saving_usd_per_h": None if hourly is None else str(hourly),
        "saving_usd_per_month": None if monthly is None else str(monthly),
        "approvals": [
            {
                "by": approval.by,
                "status": str(approval.status),
                "comment": approval.comment,
                "created_at": approval.created_at.isoformat(),
            }
            for approval in row.approvals
        ],
        "data": row.data,
    }


def render_rows(
    rows: Sequence[RecommendationRow], console: Console, *, status: str | None = None
) -> None:
    """Print a table of recommendations, each under the shortest id that tells it apart."""
    if not rows and status is not None:
        console.print(make_text(f"No recommendation is {status.lower().replace('_', ' ')}."))
        return
    if not rows:
        console.print("No recommendation is stored. `optiinfra analyze` stores what it finds.")
        return
    length = _compute_prefix_length([str(row.id) for row in rows])
    table = make_table("id", "status", "recommendation", "saving", "confidence", num_text_columns=3)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for row in rows:
        title = make_text(row.title)
        title.append_text(make_text(f"\n{row.customer}, {format_instant(row.created_at)}", "dim"))
        table.add_row(
            str(row.id)[:length],
            make_text(str(row.status)),
            title,
            format_money_per_hour(row.saving_usd_per_h),
            format_percent(row.confidence_ratio),
        )
    console.print(table)
    console.print("Show one: optiinfra recommendations show ID", style="dim")


def _compute_prefix_length(ids: list[str]) -> int:
    """The least length, from PREFIX_LENGTH_MIN, at which the ids still differ."""
    for length in range(PREFIX_LENGTH_MIN, len(ids[0])):
        if len({identifier[:length] for identifier in ids}) == len(ids):
            return length
    return len(ids[0])


def render_row(row: RecommendationRow, console: Console) -> None:
    """Print one recommendation with its decisions."""
    console.print(make_text(row.title, "bold"))
    kind = str(row.kind).replace("_", " ").replace("slo", "SLO")
    status = f"{kind} for {row.customer}; status {row.status}, priority {row.priority}"
    console.print(make_text(status))
    console.print(make_text(f"{row.id}, {format_instant(row.created_at)}", "dim"), soft_wrap=True)
    for approval in row.approvals:
        comment = f": {approval.comment}" if approval.comment else ""
        when = format_instant(approval.created_at)
        console.print(make_text(f"{approval.status} by {approval.by}, {when}{comment}"))
    recommendation = find_recommendation(row.data)
    if recommendation is not None:
        from optiinfra.cli.render import render_recommendation

        is_decided = str(row.status) != PENDING
        render_recommendation(
            recommendation, console, stored_id=row.id, label="The change", is_decided=is_decided
        )
        return
    console.print(
        f"Saving {format_money_per_hour(row.saving_usd_per_h)}, a month "
        f"{format_money(row.saving_usd_per_month)}; confidence "
        f"{format_percent(row.confidence_ratio)}"
    )
    console.print(make_text(json.dumps(row.data, indent=2, ensure_ascii=False)))


def find_recommendation(data: dict[str, Any]) -> Recommendation | None:
    """The recommendation as `analyze` stored it; None where another agent wrote the row."""
    try:
        return TypeAdapter(Recommendation).validate_python(data.get("recommendation", data))
    except ValidationError:
        return None
