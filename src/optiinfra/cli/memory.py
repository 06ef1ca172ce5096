"""`optiinfra memory`: the outcome memory."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Make the outcome memory again.")


@app.callback()
def _group() -> None:
    """Keep `rebuild` a command of its own although it is the only one."""


@app.command()
def rebuild() -> None:
    """Make the outcome memory again from the records in PostgreSQL."""
    from optiinfra.bootstrap import rebuild_memory
    from optiinfra.cli.settings import load_settings

    rebuilt = rebuild_memory(settings=load_settings())
    parts = [f"{num:,} in {name}" for name, num in sorted(rebuilt.num_memories.items())]
    typer.echo(f"Made {', '.join(parts) or 'no memories: nothing has an outcome yet'}.")
