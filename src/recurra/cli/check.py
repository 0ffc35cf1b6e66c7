"""`recurra check DATA`: look at the data as training would, without training."""

from __future__ import annotations

import importlib
from typing import Any

from recurra.cli.choose import choose
from recurra.cli.flags import Config, Data, Json, Quiet, Set, with_flags
from recurra.cli.progress import TrainingProgress
from recurra.cli.terminal import Terminal, number
from recurra.options import build
from recurra.settings import SECTIONS
from recurra.tasks.registry import TASKS


@with_flags("data")
def check(
    flags: dict[str, str],
    data: Data,
    set_: Set = None,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Read a table as training would: what is in it, what is wrong with it, what gives the answer away.

    Without further options it lists the columns.
    """
    terminal = Terminal(aside=json, quiet=quiet)
    if not flags and not set_ and config is None:
        return _columns(data, terminal, json)
    choice = choose(flags, set_, config)
    terminal.say(f"Task: {choice.task} (because of {choice.why})")
    module, _, name = TASKS[choice.task].path.partition(":")
    progress = TrainingProgress(terminal)
    with progress:
        # The same steps as training takes, up to the first batch.
        task = getattr(importlib.import_module(module), name)(build(SECTIONS[choice.task], choice.options))
        task.fit_data(data, lambda event, **facts: progress(event, facts))
        task.build()
        progress("model", task.describe())
    terminal.say(f"Training would take {_plan(task.plan)}")
    card = task.data_card
    for finding in card.leakage:
        terminal.say(f"{'passed' if finding['passed'] else 'FAILED'}: {finding['check']}. {finding['detail']}")
    if not card.leakage:
        terminal.say("Leakage: no other column is there that could give the answer away.")
    failed = [finding for finding in card.leakage if not finding["passed"]]
    if failed:
        headline = f"{data} can be read, but {len(failed)} of {len(card.leakage)} leakage checks failed."
    else:
        headline = f"{data} is fit to train on: {number(card.sequences)} {card.kind}, {number(card.rows)} rows."
    terminal.headline(headline, not failed)
    if json:
        facts = {"task": choice.task, "headline": headline, "leaks": len(failed), "data": card.event()}
        terminal.json(facts | {"model": task.describe(), "plan": task.plan})
    return 0


def _plan(plan: dict[str, Any]) -> str:
    return (
        f"at most {number(plan['epochs'])} epochs in batches of {number(plan['batch_size'])}, at a learning rate of "
        f"{number(plan['learning_rate'])}, and stop after {number(plan['patience'])} evaluations without progress."
    )


def _columns(data: str, terminal: Terminal, json: bool) -> int:
    from recurra.data.source import read_source

    frame = read_source(data).frame
    rows = [
        {
            "column": name,
            "type": str(frame[name].dtype).lower(),
            "missing": frame[name].null_count(),
            "different": frame[name].n_unique(),
            "first": str(frame[name][0]) if frame.height else "",
        }
        for name in frame.columns
    ]
    terminal.headline(f"{data}: {number(frame.height)} rows, {number(frame.width)} columns.", True)
    header = ["column", "type", "missing", "different", "first"]
    terminal.table(header, [[number(row[key]) for key in header] for row in rows])
    terminal.say("To go on, say what to learn, for example:")
    terminal.say(f"  recurra check {data} --target COLUMN --time COLUMN --horizon 14")
    terminal.say(f"  recurra check {data} --sequence COLUMN --label COLUMN")
    if json:
        terminal.json({"rows": frame.height, "columns": rows})
    return 0
