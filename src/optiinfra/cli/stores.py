"""`optiinfra up`, `down` and `verify`: the stores of one machine, or those named by URLs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from optiinfra.domain.store_health import StoreHealth

EXIT_UNHEALTHY: Final = 1  # of `verify`

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def up() -> None:
    """Start the embedded stores in the background and bring their schemas up to date."""
    from optiinfra.cli.settings import load_settings
    from optiinfra.stores import start_stores

    settings = load_settings()
    state = start_stores(settings)
    typer.echo(f"The stores in {settings.data_dir} run as process {state.pid}.")
    for name, reason in state.reasons.items():
        typer.echo(f"Without {name}: {reason}.")
    typer.echo("`optiinfra verify` checks them, `optiinfra down` stops them.")


def down() -> None:
    """Stop the embedded stores."""
    from optiinfra.cli.settings import load_settings
    from optiinfra.stores import stop_stores

    settings = load_settings()
    pid = stop_stores(settings)
    typer.echo(
        f"Nobody ran the stores in {settings.data_dir}."
        if pid is None
        else f"Process {pid} has stopped; the stores in {settings.data_dir} are closed."
    )


def verify(
    *,
    is_started: Annotated[
        bool, typer.Option("--start", help="Start the embedded stores for it where none run.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write to every store and read it back; exit code 1 when one does not do its work."""
    from optiinfra.cli.settings import load_settings
    from optiinfra.embedded.owner_state import find_owner_pid
    from optiinfra.stores import start_stores, stop_stores, verify_stores

    settings = load_settings()
    is_ours = is_started and find_owner_pid(settings.data_dir) is None
    if is_ours:
        start_stores(settings)
    try:
        found = verify_stores(settings)
    finally:
        if is_ours:
            stop_stores(settings)
    if as_json:
        rows = [asdict(health) | {"is_healthy": health.is_healthy} for health in found]
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print(found)
    if not all(health.is_healthy for health in found):
        raise typer.Exit(EXIT_UNHEALTHY)


def _print(found: list[StoreHealth]) -> None:
    from optiinfra.cli.consoles import make_console, make_text
    from optiinfra.cli.tables import make_flag, make_table

    table = make_table("store", "version", "where", "latency", "state", num_text_columns=3)
    for health in found:
        table.add_row(
            health.name,
            health.version or "unknown",
            make_text(health.where),
            "unknown" if health.latency_s is None else f"{health.latency_s * 1e3:.1f} ms",
            make_flag(is_good=health.is_healthy, good="HEALTHY", bad="NOT HEALTHY"),
        )
    console = make_console()
    console.print(table)
    for health in found:
        if health.reason is not None:
            console.print(make_text(f"{health.name}: {health.reason}"), soft_wrap=True)
