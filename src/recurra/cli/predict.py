"""`recurra predict MODEL DATA -o FILE`: use a trained model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.flags import Data, Model, Quiet
from recurra.cli.terminal import Terminal, number, write_out
from recurra.errors import RecurraError, UsageError

WRITERS = {".csv": "write_csv", ".parquet": "write_parquet", ".ndjson": "write_ndjson", ".jsonl": "write_ndjson"}

Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="a .csv, .parquet or .ndjson file (default: CSV on standard output)"
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", metavar="N", min=1, help="sequences at a time; the numbers do not depend on it"),
]


def predict(
    model: Model, data: Data, output: Output = None, batch_size: BatchSize = None, quiet: Quiet = False
) -> None:
    """Write the predictions of a trained model for a table of the same columns."""
    if output is not None:
        _check_output(output, Path(data), Path(model))
    import recurra

    frame = recurra.load(model).predict(data, batch_size=batch_size)
    if output is None:
        write_out(frame.write_csv())
        return
    write_table(frame, output)
    Terminal(quiet=quiet).say(f"{number(frame.height)} rows of predictions: {output}")


def _check_output(output: Path, data: Path, model: Path) -> None:
    where = f"--output {output}"
    if output.suffix.lower() not in WRITERS:
        raise UsageError(f"the ending {output.suffix!r} is not known", where=where, need="one of " + ", ".join(WRITERS))
    if output.is_dir():
        raise UsageError("this is a folder", where=where, need="a file to write")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"the folder {output.parent} is not there", where=where, cure=f"mkdir -p {output.parent}")
    if output.exists() and data.exists() and os.path.samefile(output, data):
        raise UsageError("this is the file to read from", where=where, need="another file to write")
    inside = model.resolve()
    if inside.is_dir() and inside in output.resolve().parents:
        raise UsageError("this is inside the model's own folder", where=where, need="a file elsewhere")


def write_table(frame: Any, output: Path) -> None:
    """Write a table aside and rename it, so that no half-written file is ever seen under its name.

    Raises:
        RecurraError: the file cannot be written; the message says why, and nothing is left behind.
    """
    aside = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        getattr(frame, WRITERS[output.suffix.lower()])(aside)
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(aside, output)
    except OSError as error:
        raise RecurraError(
            f"cannot be written ({error.strerror or error})",
            where=str(output),
            need="a folder with room and permission",
        ) from error
    finally:
        aside.unlink(missing_ok=True)
