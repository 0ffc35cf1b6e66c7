"""`recurra info MODEL|cells|tasks|rules`: what there is, and what a model folder holds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from recurra.cells.registry import CELLS
from recurra.cli.flags import Json
from recurra.cli.terminal import Terminal, number
from recurra.learn.rules.registry import RULES
from recurra.tasks.registry import TASKS

What = Annotated[
    str, typer.Argument(metavar="MODEL|cells|tasks|rules", help="a model or run folder, or a list", show_default=False)
]


def info(what: What, json: Json = False) -> None:
    """Show a model's facts, or the list of cells, tasks or gradient rules."""
    terminal = Terminal(aside=json, quiet=json)
    if what in TABLES:
        header, rows = TABLES[what]()
        if json:
            terminal.json({what: [dict(zip(header, row, strict=True)) for row in rows]})
        for line in _left_aligned([header, *rows]):
            terminal.say(line)
    else:
        _model(what, terminal, json)


def _cells() -> tuple[list[str], list[list[str]]]:
    return ["cell", "what it is", "reference"], [[c.name, c.summary, c.reference] for c in CELLS.values()]


def _tasks() -> tuple[list[str], list[list[str]]]:
    rows = [[t.name, t.summary, t.estimator, " ".join(f"--{sign}" for sign in t.signs)] for t in TASKS.values()]
    return ["task", "what it does", "in Python", "options that tell it"], rows


def _rules() -> tuple[list[str], list[list[str]]]:
    rows = [[r.name, r.summary, "exact" if r.exact else "approximate", r.cost, r.reference] for r in RULES.values()]
    return ["rule", "what it does", "gradient", "cost", "reference"], rows


TABLES = {"cells": _cells, "tasks": _tasks, "rules": _rules}


def _model(path: str, terminal: Terminal, json: bool) -> None:
    from recurra.train.model_folder import load_model

    files = load_model(path)
    config = files.config
    parameters = sum(tensor.numel() for tensor in files.tensors.values())
    judgement = config.get("judgement") or {}
    if json:
        facts = {name: config.get(name) for name in ("task", "recurra", "format", "options", "judgement")}
        terminal.json(facts | {"parameters": parameters, "path": str(files.path)})
        return
    facts = {"task": config.get("task"), "numbers in the weights": number(parameters), "folder": files.path}
    facts |= {"made by": f"recurra {config.get('recurra')}, format {config.get('format')}"}
    facts |= {"verdict": judgement["headline"]} if "headline" in judgement else {}
    rows = [[name, str(value)] for name, value in facts.items()]
    rows += [[name, _text(value)] for name, value in (judgement.get("metrics") or {}).items()]
    rows += [[name, _text(value)] for name, value in (config.get("options") or {}).items() if value not in (None, [])]
    for line in _left_aligned(rows):
        terminal.say(line)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return number(value) if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _left_aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
