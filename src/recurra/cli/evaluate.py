"""`recurra evaluate MODEL DATA`: how good a trained model is on a table that holds the truth."""

from __future__ import annotations

from recurra.cli.flags import Data, Json, Model, Quiet
from recurra.cli.judgement import judgement_facts, print_judgement
from recurra.cli.terminal import Terminal


def evaluate(model: Model, data: Data, json: Json = False, quiet: Quiet = False) -> None:
    """Measure a trained model, beside the baselines, on data that hold the truth."""
    import recurra

    terminal = Terminal(aside=json, quiet=quiet or json)
    estimator = recurra.load(model)
    judgement = estimator.evaluate(data)
    if json:
        terminal.json(judgement_facts(estimator.task, judgement, model))
    else:
        print_judgement(terminal, judgement)
