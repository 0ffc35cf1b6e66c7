"""Training by Evolino: hidden weights by a search, the read-out by regression, random guessing beside it."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import ShapeError, UsageError
from recurra.learn.closed.evolino import Evolino
from recurra.learn.closed.sequences import Sequences
from recurra.learn.fitting.batches import as_batch, number_tensor
from recurra.learn.fitting.feedback import only_cell
from recurra.learn.fitting.loss import measures_error
from recurra.learn.fitting.network import CellLayer, Network
from recurra.learn.fitting.options import FitOptions
from recurra.learn.fitting.plan import EvolinoPlan
from recurra.learn.fitting.result import FitProgress, Fitted, Listener
from recurra.learn.objectives.learner import SequenceBatch
from recurra.learn.search.random_guess import RandomGuess
from recurra.learn.search.stopping import MaxGenerations, Progress

GENERATIONS = 50

NOT_FOR_EVOLINO = (
    "optimiser", "learning_rate", "clip", "window", "evaluate_every", "patience", "batch_size", "executor", "shuffle"
)  # fmt: skip


def fit_by_evolino(
    net: Any, data: Any, objective: Any, plan: EvolinoPlan, options: FitOptions, listener: Listener | None
) -> Fitted:
    """Evolve the weights of the network's one cell; the result's network is that cell with its read-out.

    Raises:
        UsageError: the objective is not MSE, the network is more than a cell, or an option does not go with it.
        ShapeError: the data do not fit the cell.
    """
    options.refuse(NOT_FOR_EVOLINO, "Evolino")
    if not measures_error(objective) or objective.form != "step":
        given = f"the objective is {objective!r}"
        raise UsageError(given, where="fit, Evolino", need="MSE(), which the regression makes small")
    cell = only_cell(net)
    weight = next(cell.parameters())
    train, outputs = sequences(data, objective, weight.dtype, "fit, data")
    judged = None if options.valid is None else sequences(options.valid, objective, weight.dtype, "fit, valid")[0]
    inputs = 0 if train.inputs is None else train.inputs.shape[-1]
    feedback = plan.arguments.get("feedback", inputs != cell.input_size)
    wanted = inputs + (outputs if feedback else 0)
    if wanted != cell.input_size:
        raise ShapeError(
            f"the cell has {cell.input_size} inputs, and the data {inputs} inputs and {outputs} outputs",
            where="fit, Evolino",
            need=f"{inputs} inputs, or {inputs + outputs} for a network that reads its own outputs",
        )
    made = plan.build(cell, options.seed, outputs=outputs, feedback=feedback)
    search: Any = made.search
    dimension, population = search.dimension, search.population
    guess = RandomGuess(dimension, population, search.spread, seed=options.seed + 1_000_003)
    losses: list[float] = []
    guesses: list[float] = []
    began = time.monotonic()

    def report(progress: Progress) -> None:
        error = float(progress.mse if progress.mse is not None else math.inf)
        losses.append(error)
        errors = made.evaluate(guess.ask(), train, judged).error
        guess.tell(-errors)
        guesses.append(-guess.best.fitness)
        if listener is not None:
            facts = (progress.generation, options.steps, error, None, error, None, progress.evaluations, None)
            listener(FitProgress(*facts, time.monotonic() - began, guesses[-1]))

    stops = [part for part in (plan.stop, plan.search.stop, options.stop) if part is not None]
    bound = options.steps or options.epochs
    stops += [MaxGenerations(bound)] if bound else []
    stop = stops[0] if stops else MaxGenerations(GENERATIONS)
    for other in stops[1:]:
        stop = stop | other
    if plan.search.fitness != "-loss":
        made.fitness = plan.search.fitness_of
    made.fit(train, judged, stop, report)
    return Fitted(
        network_of(made),
        repr(plan),
        losses,
        [],
        made.error,
        1 + losses.index(min(losses)),
        made.progress.generation,
        None,
        made.progress.evaluations,
        time.monotonic() - began,
        made.reason,
        guesses[-1],
        guesses,
        {"evolino": made},
    )


def network_of(found: Evolino) -> nn.Module:
    """The cell with its read-out: reading its own outputs where it was evolved so."""
    if found.feedback:
        return CellLayer(found.network())
    assert found.readout is not None
    outputs, width = found.outputs, found.cell.output_size
    network = Network(found.cell, outputs=outputs)
    linear: Any = network.parts[-1]
    with torch.no_grad():
        linear.weight.copy_(found.readout[:, :width])
        linear.bias.copy_(found.readout[:, width] if found.has_bias else torch.zeros(outputs))
    return network


def sequences(data: Any, objective: Any, dtype: torch.dtype, where: str) -> tuple[Sequences, int]:
    """Data in any form of `fit` as Evolino takes them, and the number of outputs; x may be None: no inputs."""
    if isinstance(data, tuple) and len(data) >= 2 and data[0] is None:
        targets = number_tensor(data[1], dtype, "target", where)
        targets = targets.unsqueeze(-1) if targets.dim() == 2 else targets
        batch: Any = SequenceBatch(targets, targets, None if len(data) == 2 else torch.as_tensor(data[2]))
        inputs: Tensor | None = None
    else:
        batch = as_batch(data, objective, dtype, where)
        inputs = batch.input
    if not batch.target_in_time:
        need = "a target for each step, (time, batch, outputs)"
        raise ShapeError(f"target has shape {tuple(batch.target.shape)}", where=where, need=need)
    mask = ~batch.target.isnan().any(-1)
    if batch.lengths is not None:
        mask = mask & (torch.arange(batch.steps).unsqueeze(1) < batch.lengths)
    if batch.mask is not None:
        own = batch.mask if batch.mask.dim() < 3 else batch.mask.all(-1)
        mask = mask & own
    return Sequences(batch.target, inputs, None if bool(mask.all()) else mask), batch.target.shape[-1]
