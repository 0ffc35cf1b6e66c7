"""`recurra inspect MODEL --what NAME`: look inside a trained network with one of the instruments."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.analysis.registry import INSTRUMENTS
from recurra.cli.flags import Json, Model
from recurra.cli.terminal import Terminal
from recurra.errors import UsageError
from recurra.options import closest

ENDINGS = (".svg", ".png", ".pdf")
SEQUENCES, STEPS = 64, 400

What = Annotated[
    str | None,
    typer.Option("--what", metavar="NAME", help="the instrument: " + ", ".join(INSTRUMENTS) + " (default: list them)"),
]
DataFile = Annotated[
    str | None,
    typer.Option("--data", metavar="DATA", help="a table as for predict (default: normal noise as the layer's input)"),
]
LayerNumber = Annotated[
    int | None, typer.Option("--layer", metavar="N", min=1, help="which recurrent layer, from 1 on (default: the last)")
]
Out = Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="draw it into a .svg, .png or .pdf file")]
Dot = Annotated[
    Path | None, typer.Option("--dot", metavar="FILE", help="write the automaton in the language of Graphviz")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="of what is drawn at random")]


def inspect(
    model: Model,
    what: What = None,
    data: DataFile = None,
    layer: LayerNumber = None,
    out: Out = None,
    dot: Dot = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Look inside a trained network: Lyapunov exponents, fixed points, memory, gates, automata and more."""
    terminal = Terminal(aside=json, quiet=json)
    if what is None:
        for row in INSTRUMENTS.values():
            terminal.say(f"{row.name:<15} {row.summary} ({row.reference})")
        terminal.json({"instruments": {row.name: row.summary for row in INSTRUMENTS.values()}}) if json else None
        return
    if what not in INSTRUMENTS:
        need = "one of " + ", ".join(INSTRUMENTS)
        raise UsageError(f"{what!r} is not an instrument", where="--what", need=need, cure=closest(what, INSTRUMENTS))
    for file, endings in ((out, ENDINGS), (dot, (".dot", ".gv"))):
        if file is not None:
            _check_file(file, endings)
    if dot is not None and what != "automaton":
        raise UsageError(f"--dot came with --what {what}", where="--dot", need="--what automaton")
    import recurra
    from recurra.cli import inspected

    estimator = recurra.load(model)
    path = INSTRUMENTS[what].path
    if path is None:
        view, text = inspected.automaton(estimator, data, seed)
        if dot is not None:
            dot.write_text(text + "\n", encoding="utf-8")
    else:
        subject = inspected.subject(estimator, data, layer, seed, SEQUENCES, STEPS)
        module, _, name = path.partition(":")
        view = getattr(importlib.import_module(module), name)(subject)
    if data is None and path is not None:
        terminal.say("Without --data the layer reads standard normal noise; with it, what it reads of your table.")
    terminal.say(view.text)
    if out is not None:
        _draw(view, out)
        terminal.say(str(out), wrap=False)
    if json:
        facts: dict[str, Any] = {"what": what, "text": view.text, "figure": None if out is None else str(out)}
        terminal.json(facts | {"found": view.facts})


def _check_file(file: Path, endings: tuple[str, ...]) -> None:
    if file.suffix.lower() not in endings:
        need = "one of " + ", ".join(endings)
        raise UsageError(f"the ending {file.suffix!r} is not known", where=str(file), need=need)
    if not file.absolute().parent.is_dir():
        raise UsageError(f"the folder {file.parent} is not there", where=str(file), cure=f"mkdir -p {file.parent}")


def _draw(view: Any, file: Path) -> None:
    from recurra.report.draw import _keep_matplotlib_to_itself

    _keep_matplotlib_to_itself()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.2), layout="constrained")
    view.draw(figure.add_subplot())
    figure.savefig(file, metadata={"Date": None} if file.suffix.lower() == ".svg" else None)
