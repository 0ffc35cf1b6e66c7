"""`recurra report RUN`: draw report.html again from what the run folder holds."""

from __future__ import annotations

from typing import Annotated

import typer

from recurra.cli.terminal import Terminal

Run = Annotated[str, typer.Argument(metavar="RUN", help="a run folder", show_default=False)]


def report(run: Run) -> None:
    """Write report.html of a run again; the run folder holds all that it needs."""
    import recurra

    Terminal().say(str(recurra.write_report(run)))
