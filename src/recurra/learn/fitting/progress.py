"""What a person sees while `fit` runs: one line that is written over, or a line now and then in a pipe."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from recurra.errors import UsageError
from recurra.learn.fitting.result import FitProgress, Listener

IN_A_TERMINAL, IN_A_PIPE = 0.1, 10.0


class Display:
    """Writes how far a training has come to standard error.

    Args:
        out: where to; standard error when absent.
        clock: tells the time in seconds.

    In a terminal one line is written over; elsewhere a line is written every ten seconds. The last state is always
    written by `close`.

    Example:
        >>> import io
        >>> out = io.StringIO()
        >>> display = Display(out)
        >>> display(FitProgress(3, 10, 0.5, None, 0.4, None, 3, 1, 0.2))
        >>> display.close("10 steps")
        >>> out.getvalue()
        'step 3/10, epoch 1, loss 0.5, 0.2 s: ended by 10 steps\\n'
    """

    def __init__(self, out: TextIO | None = None, clock: Any = time.monotonic):
        self.out = sys.stderr if out is None else out
        self.clock = clock
        self.terminal = self.out.isatty()
        self.written = clock()
        self.latest: FitProgress | None = None
        self.width = 0

    def __call__(self, progress: FitProgress) -> None:
        """Take in how far it is; shown at a rate that people can read."""
        self.latest = progress
        now = self.clock()
        if now - self.written >= (IN_A_TERMINAL if self.terminal else IN_A_PIPE):
            self.written = now
            self._write(str(progress), "" if self.terminal else "\n")

    def close(self, reason: str | None) -> None:
        """Write the last state, with why it ended."""
        if self.latest is not None:
            self._write(str(self.latest) + ("" if reason is None else f": ended by {reason}"), "\n")

    def _write(self, text: str, end: str) -> None:
        start = "\r" if self.terminal else ""
        # What stood there before may have been longer.
        self.out.write(start + text.ljust(self.width if self.terminal else 0) + end)
        self.width = len(text)
        self.out.flush()


def listener_of(progress: Any) -> tuple[Listener | None, Display | None]:
    """What is told of every step, and the display where it is the default one.

    Raises:
        UsageError: progress is none of True, False and a callable.
    """
    if progress is True:
        display = Display()
        return display, display
    if progress is False or progress is None:
        return None, None
    if not callable(progress):
        given = f"progress is {progress!r}"
        raise UsageError(given, where="fit", need="True, False, or a callable that takes a FitProgress")
    return progress, None
