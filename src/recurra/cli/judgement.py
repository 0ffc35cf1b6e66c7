"""How a judgement is printed: the headline, the model's row beside its baselines' rows, and as JSON."""

from __future__ import annotations

import math
from typing import Any

from recurra.cli.terminal import Terminal, number
from recurra.types import Judgement


def print_judgement(terminal: Terminal, judgement: Judgement, model: str = "model") -> None:
    """The headline first, then the sentences, the table against the baselines, and the warnings."""
    terminal.say()
    terminal.headline(judgement.headline, judgement.beats_baselines)
    for sentence in judgement.sentences:
        terminal.say(sentence)
    terminal.say()
    names = list(judgement.metrics)
    rows = [(model, judgement.metrics), *judgement.baselines.items()]
    rows = sorted(rows, key=lambda row: _order(row[1].get(judgement.metric), judgement.higher_is_better))
    header = ["", *(f"{name}*" if name == judgement.metric else name for name in names)]
    best = next((i for i, row in enumerate(rows) if row[0] == model), None)
    terminal.table(header, [[name, *(number(m.get(n)) for n in names)] for name, m in rows], best)
    better = "higher" if judgement.higher_is_better else "lower"
    part = "held-out part" if judgement.held_out else "windows"
    terminal.say(f"  * decides: {better} is better; all rows on the same {part}", "dim")
    for warning in judgement.warnings:
        terminal.say(f"Careful: {warning}", "yellow")


def judgement_facts(task: str, judgement: Judgement, run: str | None) -> dict[str, Any]:
    """What `--json` prints of a judgement."""
    return {
        "task": task,
        "metric": judgement.metric,
        "metrics": judgement.metrics,
        "baselines": judgement.baselines,
        "beats_baselines": judgement.beats_baselines,
        "headline": judgement.headline,
        "warnings": judgement.warnings,
        "held_out": judgement.held_out,
        "run": run,
    }


def _order(value: float | None, higher_is_better: bool) -> float:
    if value is None or not math.isfinite(value):
        return math.inf
    return -value if higher_is_better else value
