"""`recurra demo [forecast|classify]`: the main job on real data, with the command that does the same for yours."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli import demo_data
from recurra.cli.choose import choose
from recurra.cli.flags import Json, Quiet
from recurra.cli.predict import write_table
from recurra.cli.terminal import Terminal, number
from recurra.cli.train import Job, run_job
from recurra.errors import RecurraError, UsageError
from recurra.options import closest


@dataclass(frozen=True)
class Demo:
    """One demo: its table, what the table is, and the options that train on it."""

    table: Callable[[], Any]
    file: str
    story: str
    flags: dict[str, str]


DEMOS = {
    "forecast": Demo(
        demo_data.departures,
        "flights.csv",
        "Flights that left New York each day of 2013 for its 30 busiest destinations; how many in the next 14 days?",
        {"target": "departures", "time": "date", "series": "destination", "horizon": "14"},
    ),
    "classify": Demo(
        demo_data.power_demand,
        "power.parquet",
        "Power demand in Italy, hour by hour, on 1,096 days, all scaled to the same mean and spread: is it a day of "
        "the summer or of the winter half-year?",
        {"sequence": "day", "time": "hour", "label": "half"},
    ),
}

Name = Annotated[str, typer.Argument(metavar="[forecast|classify]", help="which demo", show_default=False)]
Out = Annotated[str, typer.Option("--out", metavar="FOLDER", help="where the table and the run folder go")]
DataOnly = Annotated[bool, typer.Option("--data-only", help="write the table and show the command, but do not train")]


def demo(
    name: Name = "forecast",
    out: Out = "runs/demo",
    data_only: DataOnly = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train on real data that come with the extra `demo`, and show the command that does the same for yours."""
    if name not in DEMOS:
        raise UsageError(
            f"{name!r} is no demo",
            where="recurra demo",
            need="one of " + ", ".join(DEMOS),
            cure=closest(name, DEMOS) or None,
        )
    terminal = Terminal(aside=json, quiet=quiet)
    chosen = DEMOS[name]
    file, folder = Path(out) / chosen.file, free_folder(Path(out) / name)
    table = chosen.table()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecurraError(f"cannot be made ({error.strerror})", where=out, need="a folder to write in") from error
    write_table(table, file)
    words = [word for option, value in chosen.flags.items() for word in (f"--{option}", value)]
    command = shlex.join(["recurra", "train", str(file), *words, "--out", str(folder)])
    terminal.say(chosen.story)
    terminal.say(f"Table: {file} ({number(table.height)} rows: {', '.join(table.columns)})")
    terminal.say(f"The same as: {command}", wrap=False)
    if data_only:
        return 0
    terminal.say()
    return run_job(Job(choose(chosen.flags, None, None), str(file), folder, False, command), terminal, json)


def free_folder(folder: Path) -> Path:
    """The folder, or where it exists the first of its name with a number behind that does not."""
    free, number = folder, 2
    while free.exists():
        free, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return free
