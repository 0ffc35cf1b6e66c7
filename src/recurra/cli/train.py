"""`recurra train DATA`: from a table to a judged model, in one command."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.choose import Choice, choose, read_config
from recurra.cli.flags import Config, Json, Out, Quiet, Rule, Set, with_flags
from recurra.cli.judgement import judgement_facts, print_judgement
from recurra.cli.progress import TrainingProgress
from recurra.cli.resume import recorded_data, resumed
from recurra.cli.terminal import Terminal, duration
from recurra.errors import Interrupted, RecurraError, UsageError
from recurra.learn.fitting.rule import refuse_unknown
from recurra.tasks.registry import TASKS

Data = Annotated[str | None, typer.Argument(metavar="DATA", help="a CSV, Parquet or NDJSON file", show_default=False)]
Resume = Annotated[
    str | None,
    typer.Option("--resume", metavar="RUN", help="go on with an interrupted run, exactly", rich_help_panel="Training"),
]


@dataclass(frozen=True)
class Job:
    """What there is to train, on what, and where to put it."""

    choice: Choice
    data: str
    out: Path
    resume: bool
    command: str


@with_flags("data", "model", "train")
def train(
    context: typer.Context,
    flags: dict[str, str],
    data: Data = None,
    rule: Rule = None,
    out: Out = None,
    set_: Set = None,
    config: Config = None,
    resume: Resume = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a recurrent network on a table, judge it against baselines, and write a run folder.

    The task follows from the options: --target and --horizon forecast; --sequence and --label classify.
    """
    command = shlex.join(["recurra", *context.obj])
    if rule is not None:
        refuse_unknown(rule)  # before torch is loaded and data are read
        flags = flags | {"rule": rule}
    if resume is not None:
        choice, recorded = resumed(resume, flags, set_, config, out)
        data = data or recorded
        folder = Path(resume)
    else:
        choice = choose(flags, set_, config)
        data = data or (recorded_data(read_config(config)) if config else None)
        folder = Path(out) if out else Path()
    if data is None:
        raise UsageError("no data were named", where="recurra train", need="DATA, a CSV, Parquet or NDJSON file")
    if resume is None and out is None:
        folder = default_folder(choice.task, Path(data))
    terminal = Terminal(aside=json, quiet=quiet)
    return run_job(Job(choice, data, folder, resume is not None, command), terminal, json)


def run_job(job: Job, terminal: Terminal, json: bool = False) -> int:
    """Train, judge, draw the report, and say what was found; returns the exit code."""
    started = time.monotonic()
    terminal.say(f"Task: {job.choice.task}" + (f" (because of {job.choice.why})" if job.choice.why else ""))
    progress = TrainingProgress(terminal)
    try:
        with progress:
            # Importing torch takes seconds: the first line is said and the bar stands before it.
            import recurra

            estimator = getattr(recurra, TASKS[job.choice.task].estimator)(**job.choice.options)
            estimator.fit(job.data, out=job.out, resume=job.resume, on_event=progress, command=job.command)
            interrupted = estimator.history_.stopped == "interrupted"
            if terminal.silent:
                return 130 if interrupted else 0
            report = recurra.write_report(job.out)
    except RecurraError:
        raise
    except KeyboardInterrupt as error:
        if not (job.out / "state").is_dir() or not any((job.out / "state").iterdir()):
            raise
        again = f"recurra train --resume {shlex.quote(str(job.out))}"
        raise Interrupted("stopped; the last saved state is kept", where=str(job.out), cure=again) from error
    except Exception as error:
        keep_traceback(error, job.out)
        raise
    judgement = estimator.judgement_
    seconds = time.monotonic() - started
    print_judgement(terminal, judgement)
    files = {
        "model": str(estimator.run_.model),
        "predictions": str(job.out / "predictions.parquet"),
        "report": str(report),
    }
    if json:
        facts = judgement_facts(job.choice.task, judgement, str(job.out))
        terminal.json(facts | {"files": files, "seconds": round(seconds, 3), "stopped": estimator.history_.stopped})
    terminal.say()
    terminal.say(f"Took {duration(seconds)}; training ended by {ending(estimator.history_.stopped)}.")
    terminal.say(f"Report: {report}", wrap=False)
    terminal.say(f"Model:  {files['model']}", wrap=False)
    if interrupted:
        terminal.say(f"Go on:  recurra train --resume {shlex.quote(str(job.out))}", wrap=False)
    else:
        terminal.say(
            f"Use it: recurra predict {shlex.quote(str(job.out))} {shlex.quote(job.data)} -o predictions.csv",
            wrap=False,
        )
    return 130 if interrupted else 0


ENDINGS = {
    "epochs": "the bound on the epochs",
    "patience": "patience: the validation loss no longer fell",
    "time limit": "the time limit",
    "interrupted": "an interruption; what was reached is saved",
}


def ending(stopped: str) -> str:
    """Why training ended, in words; what is not foreseen says it itself."""
    return ENDINGS.get(stopped, stopped)


def default_folder(task: str, data: Path) -> Path:
    """runs/DATE-TIME-TASK-NAME, with a number behind where that exists."""
    stem = data.name.removesuffix(".gz").rpartition(".")[0] or data.name
    base = Path("runs") / f"{time.strftime('%Y%m%d-%H%M')}-{task}-{stem}"
    folder, number = base, 2
    while folder.exists():
        folder, number = base.with_name(f"{base.name}-{number}"), number + 1
    return folder


def keep_traceback(error: Exception, folder: Path) -> None:
    """Write the traceback of an error nobody foresaw into the run folder, where there is one already."""
    import traceback

    if not folder.is_dir():
        return
    file = folder / "traceback.txt"
    try:
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return
    noted: Any = error
    noted.traceback_file = str(file)
