"""The `optiinfra` command. Slow libraries are imported by the command that uses them."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from importlib.metadata import version
from io import TextIOWrapper
from types import FrameType
from typing import Annotated

import typer

from optiinfra.cli import scrape as scrape_command
from optiinfra.cli.analyze import analyze
from optiinfra.cli.collect import collect
from optiinfra.cli.database import app as database_app
from optiinfra.cli.generate_trace import generate_trace
from optiinfra.cli.import_prometheus import import_prometheus
from optiinfra.cli.import_trace import import_trace
from optiinfra.cli.memory import app as memory_app
from optiinfra.cli.recommendations import app as recommendations_app
from optiinfra.cli.stores import down, up, verify
from optiinfra.cli.twin import app as twin_app
from optiinfra.domain.errors import InputError, OptiInfraError

EXIT_UNEXPECTED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # as a shell reports SIGPIPE
EXIT_TERMINATED = 143
DEBUG_FLAG = "--debug"

app = typer.Typer(
    name="optiinfra",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(analyze)
app.command()(scrape_command.scrape)
app.command()(collect)
app.command("import-prometheus")(import_prometheus)
app.command("import-trace")(import_trace)
app.add_typer(recommendations_app, name="recommendations")
app.add_typer(database_app, name="db")
app.add_typer(memory_app, name="memory")
app.add_typer(twin_app, name="twin")
app.command("generate-trace")(generate_trace)
app.command()(up)
app.command()(down)
app.command()(verify)


def _print_version(value: bool) -> None:  # noqa: FBT001  typer calls it with the flag's value
    if value:
        typer.echo(f"optiinfra {version('optiinfra')}")
        raise typer.Exit


@app.callback()
def configure(
    *,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG_FLAG, help="Print the traceback of an unexpected error.")
    ] = False,
) -> None:
    """Cheaper ways to serve large language models that keep what users were promised."""
    del show_version, debug  # the first acts in its callback, the second in main()


def main() -> None:
    """Run the command and exit: 0, 1 for a bug, 2, 3 and 4 as the error says, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character gets "?"
    signal.signal(signal.SIGTERM, _exit_terminated)
    is_debug = DEBUG_FLAG in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG_FLAG]
    try:
        code = _run(arguments)
    except OptiInfraError as error:
        if is_debug:
            traceback.print_exc()
        _print_error(str(error))
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001  the last line of defence; nothing is hidden
        if is_debug:
            traceback.print_exc()
        hint = "" if is_debug else f" Run again with {DEBUG_FLAG} for the traceback."
        _print_error(f"Unexpected {type(error).__name__}: {error}. This is a bug.{hint}")
        raise SystemExit(EXIT_UNEXPECTED) from None
    raise SystemExit(code)


def _run(arguments: list[str]) -> int:
    """The command's exit code; OptiInfraError for what the user or the terminal got wrong."""
    stdout = sys.stdout
    try:
        code = app(args=arguments, prog_name="optiinfra", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(str(error), err=True)
            return EXIT_USAGE
        raise _translate_usage(error) from error
    except SystemExit:
        if sys.stdout is stdout:
            raise
        return EXIT_BROKEN_PIPE  # typer met it, and has put a stream in place that forgives
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader, `head` perhaps, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
            return EXIT_BROKEN_PIPE
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise
        where = f" to {error.filename}" if error.filename else ""
        raise InputError(
            f"Something cannot be written{where}: {error.strerror}.",
            remedy="Free some space, or write elsewhere.",
        ) from error
    return code if isinstance(code, int) else 0


def _translate_usage(error: typer.TyperException) -> InputError:
    """Wrong options and arguments as one paragraph, as every other error."""
    text = getattr(error, "format_message", error.__str__)().strip()
    context = getattr(error, "ctx", None)
    command = "optiinfra" if context is None else context.command_path
    return InputError(
        text if text.endswith((".", "?", ")")) else f"{text}.",
        remedy=f"`{command} --help` lists what can be given.",
    )


def _exit_terminated(_signal: int, _frame: FrameType | None) -> None:
    """Leave as after Ctrl-C, so that the embedded database is stopped in order."""
    raise SystemExit(EXIT_TERMINATED)


def _print_error(message: str) -> None:
    """One paragraph on stderr, whatever lines the message had."""
    from optiinfra.cli.consoles import make_console, make_text

    text = make_text("error: ", "bold red")
    text.append_text(make_text(" ".join(message.split()), "not bold default"))
    make_console(is_stderr=True).print(text, soft_wrap=True)
