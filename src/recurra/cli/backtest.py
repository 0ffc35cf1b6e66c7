"""`recurra backtest MODEL DATA`: forecasts from several past origins, without training again."""

from __future__ import annotations

from typing import Annotated

import typer

from recurra.cli.flags import Data, Json, Model, Quiet
from recurra.cli.judgement import judgement_facts, print_judgement
from recurra.cli.terminal import Terminal
from recurra.errors import UsageError

Windows = Annotated[
    int, typer.Option("--windows", metavar="N", min=1, help="forecasts a series, each a horizon after the one before")
]


def backtest(model: Model, data: Data, windows: Windows = 5, json: Json = False, quiet: Quiet = False) -> None:
    """Forecast the past from rolling origins, without training again, and measure it."""
    import recurra

    terminal = Terminal(aside=json, quiet=quiet or json)
    estimator = recurra.load(model)
    if not isinstance(estimator, recurra.Forecaster):
        raise UsageError(
            f"this model's task is {estimator.task}",
            where=model,
            need="a forecaster, whose past can be forecast again",
            cure="use recurra evaluate, which measures any model",
        )
    judgement = estimator.backtest(data, windows=windows)
    if json:
        terminal.json(judgement_facts(estimator.task, judgement, model) | {"windows": windows})
    else:
        print_judgement(terminal, judgement)
