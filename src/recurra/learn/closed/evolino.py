"""Evolino: hidden weights by evolution, the readout by linear regression."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_input, check_size
from recurra.cells.time_step import check_not_negative
from recurra.cells.variant import with_weights
from recurra.errors import TrainingError, UsageError
from recurra.learn.closed.closed_loop import ClosedLoop, ClosedLoopState, check_feedback
from recurra.learn.closed.least_squares import least_squares
from recurra.learn.closed.sequences import Sequences, check_sequences
from recurra.learn.search import MaxGenerations, Progress, Stop, WeightVector, fitness_of
from recurra.unroll import unroll


class AskTell(Protocol):
    """A search: `ask` gives a population (networks, weights), `tell` takes its fitness; higher is better."""

    def ask(self) -> Tensor: ...

    def tell(self, fitness: Tensor) -> None: ...


class Evaluation(NamedTuple):
    """What became of a population.

    Attributes:
        error: each network's mean squared error on the sequences judged, (networks,); infinite where it is no number.
        readout: each network's linear readout, (networks, outputs, hidden), with a last column more for a bias.
    """

    error: Tensor
    readout: Tensor


class Evolino:
    """Evolution of recurrent systems with linear outputs: only the weights inside a network are searched for.

    Equations:
        for each network of the population, with hidden outputs y_t = cell(x_t, s_{t-1}):
        1. the training sequences are run, and past the washout the readout is W = Y^+ D, the pseudo-inverse of the
           hidden outputs times the targets;
        2. the sequences to be judged are run with that readout, and the network's error is the mean of |W y_t - d_t|^2
           past the washout.
        With feedback the network reads its own last output, x_t = [u_t, scale z_{t-1}]: in phase 1, and in the washout
        of phase 2, the target d_{t-1} stands in its place (0 at the first step); then the loop is closed, and the
        network runs by itself.

    The networks of a population are run side by side, by `vmap` over their weights.

    Args:
        cell: any cell; an LSTM in the paper. It takes over the best weights found. With feedback its last inputs are
            those for its outputs.
        search: proposes vectors of the cell's weights, as `WeightVector(cell)` has them. The paper's is `ESP` with a
            subpopulation for each memory cell, `WeightVector(cell).neurons(hidden_size)`; `CoSyNE`, or any object with
            `ask` and `tell`, will do.
        outputs: number of outputs.
        feedback: whether the network reads its own last output.
        washout: steps at the beginning of every sequence that neither train nor judge.
        penalty: of ridge regression in place of the pseudo-inverse, when positive.
        bias: whether the readout has a bias (which is penalised with the other weights).
        scale: what the outputs are multiplied with on their way back.
        fitness: "1/mse", "-mse", or a function from errors (networks,) to what is to become large.
        at_once: how many networks are run side by side at most; all when absent.

    Shapes:
        as in `Sequences`; readout (outputs, cell.output_size), and a column more with a bias.

    Attributes:
        error: the best network's mean squared error on the sequences judged; infinite before the first generation.
        readout: its readout; None before that.
        progress: how far it has come: generations, networks evaluated, generations without a better one.
        reason: why `fit` ended, in words.

    Raises:
        UsageError: an argument is out of range, or the cell has no inputs for the feedback.
        ShapeError: sequences do not fit the cell, or the search's vectors do not fit its weights.
        TrainingError: no network of any population so far gave a finite error.

    Differs from the paper: any cell and any search may be given, where the paper evolves LSTM by enforced
    subpopulations; how the fitness follows from the error is the caller's choice; judging may be on other sequences
    than training.

    Reference:
        J. Schmidhuber, D. Wierstra, M. Gagliolo, F. Gomez. Training recurrent networks by Evolino. Neural Computation
        19 (2007) 757-779.
        J. Schmidhuber, D. Wierstra, F. Gomez. Evolino: hybrid neuroevolution / optimal linear search for sequence
        learning. IJCAI (2005) 853-858.

    Example:
        >>> from recurra.cells import LSTM
        >>> from recurra.learn.search import ESP, MaxGenerations, WeightVector
        >>> cell = LSTM(1, 4, dtype=torch.float64)
        >>> weights = WeightVector(cell)
        >>> search = ESP(weights.dimension, 8, 2, spread=0.5, neurons=weights.neurons(4), seed=1)
        >>> evolino = Evolino(cell, search, washout=20, scale=0.01)
        >>> wave = torch.sin(0.3 * torch.arange(120.0, dtype=torch.float64)).reshape(-1, 1, 1)
        >>> evolino.fit(Sequences(wave), stop=MaxGenerations(3)).error < 0.01
        True
        >>> evolino.generate(wave, 30).shape
        torch.Size([30, 1, 1])
    """

    def __init__(
        self,
        cell: Cell,
        search: AskTell,
        outputs: int = 1,
        feedback: bool = True,
        washout: int = 100,
        penalty: float = 0.0,
        bias: bool = False,
        scale: float = 1.0,
        fitness: str | Callable[[Tensor], Tensor] = "1/mse",
        at_once: int | None = None,
    ):
        where = "Evolino"
        self.outputs = check_size(outputs, "outputs", where)
        self.external = check_feedback(cell, outputs, where) if feedback else cell.input_size
        if isinstance(washout, bool) or not isinstance(washout, int) or washout < 0:
            raise UsageError(f"washout is {washout!r}", where=where, need="a number of steps, 0 or more")
        self.cell, self.search, self.feedback, self.washout = cell, search, bool(feedback), washout
        self.vector = WeightVector(cell)
        self.penalty, self.has_bias = check_not_negative(penalty, "penalty", where), bool(bias)
        self.scale = float(scale)
        self.at_once = None if at_once is None else check_size(at_once, "at_once", where)
        self.fitness = fitness if callable(fitness) else partial(fitness_of, form=fitness)
        self.fitness(torch.ones(1))  # an unknown name is told now
        self.error, self.reason = math.inf, ""
        self.readout: Tensor | None = None
        self.progress = Progress(0, 0, 0, -math.inf, math.inf)

    @torch.no_grad()
    def fit(
        self,
        train: Sequences,
        judged: Sequences | None = None,
        stop: Stop | None = None,
        report: Callable[[Progress], None] | None = None,
    ) -> Evolino:
        """Search until a criterion is met; the cell then holds the best weights found so far.

        Args:
            train: what readouts are fitted to.
            judged: what networks are judged by; the training sequences when absent.
            stop: criteria such as `MaxGenerations(50) | MinMSE(1e-4)`, combined with | and &; 50 generations when
                absent. Generations count from the first call on.
            report: is given the progress after every generation.
        """
        train = self._checked(train, "train")
        judged = train if judged is None else self._checked(judged, "judged")
        stop = MaxGenerations(50) if stop is None else stop
        while True:
            population = self.search.ask()
            found = self.evaluate(population, train, judged)
            fitness = self.fitness(found.error)
            self.search.tell(fitness)
            last, best = self.progress, int(found.error.argmin())
            better = float(found.error[best]) < self.error
            if better:
                self.error, self.readout = float(found.error[best]), found.readout[best].clone()
                self.vector.write(population[best])
            self.progress = Progress(
                last.generation + 1,
                last.evaluations + len(population),
                0 if better else last.stale + 1,
                max(last.fitness, float(fitness.max())),
                self.error,
            )
            if report is not None:
                report(self.progress)
            reason = stop.why(self.progress) or getattr(self.search, "exhausted", None)
            if reason:
                self.reason = reason
                break
        if self.readout is None:
            raise TrainingError(
                "no network gave a finite error",
                where="Evolino.fit",
                cure="a smaller spread of the search's first weights, a penalty, or a smaller scale",
            )
        return self

    @torch.no_grad()
    def evaluate(self, population: Tensor, train: Sequences, judged: Sequences | None = None) -> Evaluation:
        """The readouts and errors of networks given as vectors (networks, weights); nothing is remembered."""
        train = self._checked(train, "train")
        judged = train if judged is None else self._checked(judged, "judged")
        parts = []
        for vectors in population.split(self.at_once or max(len(population), 1)):
            weights = self.vector.stack(vectors)
            readout = self._readouts(weights, train)
            outputs = torch.func.vmap(lambda w, r: self._run(w, r, judged))(weights, readout)
            missed = (outputs - judged.targets[self.washout :]).square()
            counted = judged.counted(self.washout)
            error = (missed.mean(-1) * counted).sum((-2, -1)) / counted.sum()
            parts.append(Evaluation(torch.nan_to_num(error, nan=float("inf")), readout))
        return Evaluation(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _readouts(self, weights: Mapping[str, Tensor], train: Sequences) -> Tensor:
        """Phase 1: the networks' readouts, (networks, outputs, hidden)."""
        x = train.forced(self.feedback, self.scale)
        features = torch.func.vmap(lambda w: unroll(with_weights(self.cell, w), x)[0][self.washout :])(weights)
        if self.has_bias:
            features = torch.cat([features, torch.ones_like(features[..., :1])], -1)
        # A step without a target becomes a row of zeros, which changes no inner product. So does one that blew up, as
        # the factorisation refuses what is not finite; its network is told apart by the error of phase 2.
        counted = train.counted(self.washout).unsqueeze(-1)
        features = torch.nan_to_num(features, 0.0, 0.0, 0.0) * counted
        targets = (train.targets[self.washout :] * counted).expand(len(features), -1, -1, -1)
        return least_squares(features.flatten(1, 2), targets.flatten(1, 2), self.penalty)

    def _run(self, weights: Mapping[str, Tensor], readout: Tensor, judged: Sequences) -> Tensor:
        """Phase 2, for one network: its outputs past the washout."""
        cell = with_weights(self.cell, weights)
        weight, bias = self._split(readout)
        if not self.feedback:
            assert judged.inputs is not None
            return F.linear(unroll(cell, judged.inputs)[0][self.washout :], weight, bias)
        return self._free(cell, weight, bias, judged, self.washout)

    def _free(self, cell: Cell, weight: Tensor, bias: Tensor | None, given: Sequences, forced: int) -> Tensor:
        """The outputs after so many steps with the targets in place of the outputs, when the loop is closed."""
        x = given.forced(True, self.scale)
        _, state = unroll(cell, x[:forced])
        last = given.targets[forced - 1] if forced else torch.zeros_like(given.targets[0])
        loop = ClosedLoop(cell, weight, bias, scale=self.scale)
        u = x.new_zeros(*x.shape[:2], 1) if given.inputs is None else given.inputs
        return unroll(loop, u[forced:], ClosedLoopState(state, last))[0]

    def _split(self, readout: Tensor) -> tuple[Tensor, Tensor | None]:
        return (readout[:, :-1], readout[:, -1]) if self.has_bias else (readout, None)

    def _checked(self, given: Sequences, name: str, longer_than: int | None = None) -> Sequences:
        longer_than = self.washout if longer_than is None else longer_than
        where = f"Evolino, {name}"
        return check_sequences(given, self.cell, self.outputs, self.external, longer_than=longer_than, where=where)

    def network(self) -> ClosedLoop:
        """The best network with its readout, reading itself: a cell. Only with feedback."""
        if not self.feedback:
            raise UsageError("there is no feedback", where="Evolino.network", cure="use predict")
        weight, bias = self._split(self._found("network"))
        return ClosedLoop(self.cell, weight, bias, scale=self.scale)

    @torch.no_grad()
    def generate(self, history: Tensor, steps: int, inputs: Tensor | None = None) -> Tensor:
        """What the best network says comes after a history (time, batch, outputs): (steps, batch, outputs).

        Args:
            history: read in place of the network's own outputs.
            steps: how many to go on by itself.
            inputs: external inputs over the history and these steps, (time + steps, batch, inputs).
        """
        network = self.network()
        check_input(history, ("time", "batch"), self.outputs, where="Evolino.generate", name="history")
        beyond = history.new_zeros(steps, *history.shape[1:])
        given = self._checked(Sequences(torch.cat([history, beyond]), inputs), "generate", longer_than=-1)
        return self._free(self.cell, network.weight, network.bias, given, len(history))

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        """The best network's outputs for external inputs (time, batch, inputs). Only without feedback."""
        if self.feedback:
            raise UsageError("the network reads its own outputs", where="Evolino.predict", cure="use generate")
        weight, bias = self._split(self._found("predict"))
        outputs: Any = unroll(self.cell, inputs)[0]
        return F.linear(outputs, weight, bias)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly from here, for a search that has a state of its own."""
        return {
            "search": self.search.state_dict(),  # type: ignore[attr-defined]
            "weights": self.vector.flatten(),
            "readout": None if self.readout is None else self.readout.clone(),
            "error": self.error,
            "progress": asdict(self.progress),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken, with a cell and a search built with the same arguments."""
        self.search.load_state_dict(state["search"])  # type: ignore[attr-defined]
        self.vector.write(state["weights"])
        self.readout, self.error = state["readout"], state["error"]
        self.progress = Progress(**state["progress"])

    def _found(self, asked: str) -> Tensor:
        if self.readout is None:
            raise UsageError("no network was found yet", where=f"Evolino.{asked}", cure="call fit first")
        return self.readout
