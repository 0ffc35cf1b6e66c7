"""`recurra info MODEL|cells|tasks|rules|searches`: what there is, and what a model folder holds."""

from __future__ import annotations

import dataclasses
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cells.registry import CELLS
from recurra.cli.flags import Json
from recurra.cli.terminal import Terminal, number
from recurra.errors import UsageError
from recurra.learn.rules.registry import RULES
from recurra.learn.search.registry import GRAPH_SEARCHES, SEARCHES
from recurra.tasks.registry import TASKS

What = Annotated[
    str,
    typer.Argument(
        metavar="MODEL|cells|tasks|rules|searches", help="a model or run folder, or a list", show_default=False
    ),
]


InputSize = Annotated[
    int, typer.Option("--input-size", metavar="N", help="features at which the cells' parameters are counted", min=1)
]
HiddenSize = Annotated[
    int, typer.Option("--hidden-size", metavar="N", help="hidden units at which they are counted", min=1)
]


def info(what: What, input_size: InputSize = 8, hidden_size: HiddenSize = 64, json: Json = False) -> None:
    """Show a model's facts, or a list: cells (with papers, parameters, abilities), tasks, gradient rules, searches."""
    terminal = Terminal(aside=json, quiet=json)
    if what == "cells" and json:
        terminal.json({"cells": _cell_facts(input_size, hidden_size)})
    elif what in TABLES or what == "cells":
        header, rows = _cells(input_size, hidden_size) if what == "cells" else TABLES[what]()
        if json:
            terminal.json({what: [dict(zip(header, row, strict=True)) for row in rows]})
        for line in _left_aligned([header, *rows]):
            terminal.say(line)
    else:
        _not_a_misspelled_list(what)
        _model(what, terminal, json)


def _not_a_misspelled_list(what: str) -> None:
    lists = ["cells", *TABLES]
    near = get_close_matches(what.lower(), lists, 1, 0.8)
    if near and not Path(what).exists():
        need = f"a model or run folder, or one of {', '.join(lists)}"
        cure = f"recurra info {near[0]}"
        raise UsageError(f"{what!r} is neither a folder nor a list", where="recurra info", need=need, cure=cure)


def _cell_facts(input_size: int, hidden_size: int) -> list[dict[str, Any]]:
    from recurra.cells.facts import all_facts

    sizes = {"input_size": input_size, "hidden_size": hidden_size}
    facts = [dataclasses.asdict(fact) for fact in all_facts(input_size, hidden_size)]
    rows = zip(CELLS.values(), facts, strict=True)
    return [{"what it is": c.summary, "reference": c.reference, "driver": c.driver} | sizes | fact for c, fact in rows]


def _cells(input_size: int, hidden_size: int) -> tuple[list[str], list[list[str]]]:
    from recurra.cells.facts import all_facts

    rows = []
    for cell, fact in zip(CELLS.values(), all_facts(input_size, hidden_size), strict=True):
        marks = ", ".join(words for words in (DRIVEN.get(cell.driver), fact.marks) if words)
        count = "-" if fact.parameters is None else f"{fact.parameters:,}"
        rows.append([cell.name, cell.summary, cell.reference, count, marks])
    return ["cell", "what it is", "reference", f"parameters ({input_size} -> {hidden_size})", "abilities"], rows


def _tasks() -> tuple[list[str], list[list[str]]]:
    rows = [[t.name, t.summary, t.estimator, " ".join(f"--{sign}" for sign in t.signs)] for t in TASKS.values()]
    return ["task", "what it does", "in Python", "options that tell it"], rows


def _rules() -> tuple[list[str], list[list[str]]]:
    rows = [
        [r.name, r.summary, "exact" if r.exact else "approximate", r.cost, r.locality, r.reference]
        for r in RULES.values()
    ]
    return ["rule", "what it does", "gradient", "cost", "locality", "reference"], rows


def _searches() -> tuple[list[str], list[list[str]]]:
    where = {"--rule": SEARCHES, "Python": GRAPH_SEARCHES}
    return ["search", "what it does", "used by", "reference"], [
        [s.name, s.summary, used, s.reference] for used, rows in where.items() for s in rows.values()
    ]


TABLES = {"tasks": _tasks, "rules": _rules, "searches": _searches}
DRIVEN = {"fold": "trees", "sweep": "grids"}


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
