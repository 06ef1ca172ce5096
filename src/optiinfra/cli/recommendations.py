"""`optiinfra recommendations`: list, show, approve and reject what was stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from optiinfra.domain.errors import InputError

if TYPE_CHECKING:
    from optiinfra.orchestrator.records import RecommendationRow

COMMENT_LENGTH_MAX = 2_000

app = typer.Typer(no_args_is_help=True, help="List, show, approve and reject recommendations.")

RecommendationId = Annotated[
    str, typer.Argument(metavar="ID", help="The id, or enough of its start.", show_default=False)
]
By = Annotated[str, typer.Option(help="E-mail of who decides.", show_default=False)]
Comment = Annotated[str | None, typer.Option(help="Why; kept with the decision.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@app.command("list")
def list_recommendations(
    *,
    status: Annotated[str | None, typer.Option(help="Only those in this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List stored recommendations, newest first."""
    from optiinfra import bootstrap
    from optiinfra.cli.settings import load_settings

    rows = bootstrap.list_recommendations(settings=load_settings(), status=status, limit=limit)
    if as_json:
        from optiinfra.cli.rows import row_to_document

        _echo_json([row_to_document(row) for row in rows])
        return
    from optiinfra.cli.consoles import make_console
    from optiinfra.cli.rows import render_rows

    render_rows(rows, make_console(), status=status)


@app.command("show")
def show_recommendation(recommendation_id: RecommendationId, *, as_json: AsJson = False) -> None:
    """Show one recommendation with its evidence and decisions."""
    from optiinfra import bootstrap
    from optiinfra.cli.settings import load_settings

    row = bootstrap.get_recommendation(
        settings=load_settings(), recommendation_id=recommendation_id
    )
    if as_json:
        from optiinfra.cli.rows import row_to_document

        _echo_json(row_to_document(row))
        return
    from optiinfra.cli.consoles import make_console
    from optiinfra.cli.rows import render_row

    render_row(row, make_console())


@app.command("approve")
def approve_recommendation(
    recommendation_id: RecommendationId, *, by: By, comment: Comment = None
) -> None:
    """Approve exactly the stored change."""
    _decide(recommendation_id, by=by, comment=comment, is_approved=True)


@app.command("reject")
def reject_recommendation(
    recommendation_id: RecommendationId, *, by: By, comment: Comment = None
) -> None:
    """Reject a recommendation."""
    _decide(recommendation_id, by=by, comment=comment, is_approved=False)


def _decide(recommendation_id: str, *, by: str, comment: str | None, is_approved: bool) -> None:
    if comment is not None and len(comment) > COMMENT_LENGTH_MAX:
        raise InputError(
            f"The comment has {len(comment):,} characters.",
            remedy=f"Write at most {COMMENT_LENGTH_MAX:,}, or link to the longer text.",
            field="--comment",
        )
    from optiinfra import bootstrap
    from optiinfra.cli.consoles import make_console, make_text
    from optiinfra.cli.settings import load_settings

    row: RecommendationRow = bootstrap.decide_recommendation(
        settings=load_settings(),
        recommendation_id=recommendation_id,
        by=by,
        is_approved=is_approved,
        comment=comment,
    )
    message = f"{row.title}: {row.status} by {by}. Id {row.id}."
    make_console().print(make_text(message), soft_wrap=True)


def _echo_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))
