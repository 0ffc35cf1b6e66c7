"""What the command line prints: plain lines, aligned tables, one JSON object; clean in pipes.

People's lines go to standard output, or to standard error when standard output belongs to a JSON object or a table.
"""

from __future__ import annotations

import json
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from recurra.errors import Interrupted, RecurraError


class PipeSafeConsole(Console):
    """A console that falls silent when its reader has gone, instead of ending the program in the middle of its work."""

    def on_broken_pipe(self) -> None:
        silence(self.file)


def silence(stream: Any) -> None:
    """Point a stream whose reader has gone at the null device, so that nothing more fails on it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


class Terminal:
    """Where a verb's lines go.

    Args:
        aside: lines go to standard error, because standard output is for a machine.
        quiet: only `headline` is printed.
    """

    def __init__(self, *, aside: bool = False, quiet: bool = False):
        # Under torchrun every process runs the same command; one voice is enough.
        self.silent = os.environ.get("RANK", "0") != "0"
        self.quiet = quiet or self.silent
        self.aside = aside
        self.console = PipeSafeConsole(file=sys.stderr if aside else sys.stdout, highlight=False, soft_wrap=True)

    def say(self, text: str = "", style: str | None = None, *, wrap: bool = True) -> None:
        """Print a line; where it is wider than a person's terminal, it is wrapped between words.

        Commands and paths are not wrapped (`wrap=False`), so that they can be copied.
        """
        if self.quiet:
            return
        width = self.console.width
        if wrap and self.console.is_terminal and len(text) > width:
            indent = " " * (len(text) - len(text.lstrip()) + 2)
            text = "\n".join(
                textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
            )
        self.console.print(Text(text), style=style)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]], best: int | None = None) -> None:
        """Print rows under a header: the first column to the left, the others to the right; row `best` in bold."""
        rows = [list(map(str, row)) for row in rows]
        widths = [max(len(row[i]) for row in [list(header), *rows]) for i in range(len(header))]
        for number, row in enumerate([list(header), *rows]):
            cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
            style = "dim" if number == 0 else "bold" if number - 1 == best else None
            self.say(("  " + "  ".join(cells)).rstrip(), style)

    def headline(self, text: str, good: bool) -> None:
        """Print the verdict's line one, also where all else is quiet."""
        if not self.silent:
            self.console.print(Text(text), style="bold green" if good else "bold red")

    def json(self, facts: dict[str, Any]) -> None:
        """Print the one JSON object of a command to standard output; numbers that are not finite become null."""
        if self.silent:
            return
        write_out(json.dumps(finite(facts), ensure_ascii=False, default=str) + "\n")


def write_out(text: str) -> None:
    """Write to standard output, and stop writing when its reader has gone."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)


def finite(value: Any) -> Any:
    """The same facts with None where a number is not finite, since JSON knows no such numbers."""
    if isinstance(value, dict):
        return {str(key): finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_error(error: RecurraError) -> None:
    """Print an error of ours to standard error: what and where, then what is needed, then the cure."""
    place = f"{error.where}: " if error.where else ""
    lines = [f"{'Stopped' if isinstance(error, Interrupted) else 'Error'}: {place}{error.given}"]
    lines += [f"  {label}: {part}" for label, part in (("Needed", error.need), ("Cure", error.cure)) if part]
    complain(lines)


def complain(lines: Iterable[str]) -> None:
    """Print lines to standard error, wrapped for a person's terminal and unwrapped in a pipe."""
    console = PipeSafeConsole(file=sys.stderr, highlight=False, soft_wrap=True)
    for line in lines:
        text = line if line.endswith(("?", ".", ":")) else line + "."
        if console.is_terminal:
            text = "\n".join(
                textwrap.wrap(
                    text, console.width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
                )
            )
        console.print(Text(text), style="bold red" if line.startswith("Error") and console.is_terminal else None)


def number(value: Any) -> str:
    """A number with four significant digits, as people write them."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        size = abs(value)
        return f"{value:,.0f}" if size >= 10_000 else f"{value:.4g}" if size >= 0.001 or size == 0 else f"{value:.2e}"
    return str(value)


def duration(seconds: float) -> str:
    """Seconds as people say them: 8 s, 3 min 20 s, 1 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
