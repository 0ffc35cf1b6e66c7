"""Writes `report.html` into a run folder."""

from __future__ import annotations

import os
from pathlib import Path


def write_report(run_path: str | os.PathLike[str]) -> Path:
    """Write `report.html` from what stands in a run folder, and return its path.

    The page is one file that needs no network and no script. It is made from the folder's `log.jsonl`,
    `metrics.csv`, `predictions.parquet`, `run.toml` and `environment.json` alone; what is missing (an interrupted
    run, a run of an earlier version) leaves a section out with a one-line reason. The same folder gives the same
    bytes. The file is written aside and renamed, so that a reader never sees half a page.

    Args:
        run_path: the run folder.

    Returns:
        The path of the page.

    Raises:
        FolderError: the folder is missing, is not a run folder, cannot be read, or cannot be written to.

    Example:
        >>> write_report("runs/nowhere")
        Traceback (most recent call last):
        ...
        recurra.errors.FolderError: runs/nowhere: there is no such folder. Needed: ...
    """
    from recurra.report.page import page
    from recurra.report.record import open_run

    folder, record = open_run(run_path)
    folder.write_text("report.html", page(record))
    return folder.path / "report.html"
