"""Where commands print: results on stdout, progress and errors on stderr.

Rich leaves out colours by itself where NO_COLOR is set or the stream is no terminal. Markup is off,
because file names, model names and comments are other people's words.
"""

from __future__ import annotations

import unicodedata

from rich.console import Console
from rich.text import Text


def make_console(*, is_stderr: bool = False, width: int | None = None) -> Console:
    """A console that prints strings as they are."""
    return Console(stderr=is_stderr, markup=False, highlight=False, emoji=False, width=width)


def make_text(value: str, style: str = "") -> Text:
    """`value` without control characters, so that data cannot steer the terminal."""
    kept = (c if c == "\n" or unicodedata.category(c) != "Cc" else " " for c in value)
    return Text("".join(kept), style=style)
