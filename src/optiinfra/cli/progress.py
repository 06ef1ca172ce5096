"""A progress bar on stderr that leaves nothing behind."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from optiinfra.cli.consoles import make_console, make_text


class ProgressBar:
    """Shows how far each phase is; call it with phase, done and total. Silent off a terminal."""

    def __init__(self, *, is_hidden: bool) -> None:
        console = make_console(is_stderr=True)
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=is_hidden or not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Set `phase` to `done` of `total`."""
        task = self._tasks.get(phase)
        if task is None:
            task = self._progress.add_task(make_text(phase).plain, total=total)
            self._tasks[phase] = task
        self._progress.update(task, completed=done, total=total)
