"""Teacher forcing and scheduled sampling, for networks that read their own last outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, check_size
from recurra.cells.jordan import Jordan, JordanState
from recurra.cells.narx import NARX, NARXState
from recurra.errors import UsageError
from recurra.learn.closed.closed_loop import check_feedback
from recurra.learn.fitting.network import CellLayer, Network, as_network
from recurra.learn.objectives.learner import SequenceBatch
from recurra.learn.objectives.objective import Loss, Objective
from recurra.nn.layer import Layer
from recurra.types import State

Replace = Callable[[State, State, Tensor, Tensor], State]
"""`replace(before, after, output, target)`: the state after a step, with the target in the place of the output."""


class GeneratorState(NamedTuple):
    """The state of a generator.

    Attributes:
        cell: its cell's state.
        output: its last output, (batch, outputs).
    """

    cell: State
    output: Tensor


class Generator(Cell):
    """A cell with a trained linear read-out that it reads itself: a network that writes sequences.

    Equations:
        (y_t, s_t) = cell([u_t, z_{t-1}], s_{t-1});  z_t = W y_t + b,  z_0 = 0.

    Args:
        cell: any cell with an input for each output, its last ones, and more before them for external inputs u.
        outputs: features of z.

    Shapes:
        x (batch, external inputs), or, where there are none, (batch, 1): a column that is not read; z (batch, outputs);
        read_out.weight (outputs, cell.output_size).

    Raises:
        UsageError: the cell has fewer inputs than there are outputs.

    Example:
        >>> from recurra.cells import GRU
        >>> from recurra.unroll import unroll
        >>> z, state = unroll(Generator(GRU(3, 8), outputs=2), torch.zeros(5, 4, 1))  # one external input
        >>> z.shape, bool((state.output == z[-1]).all())
        (torch.Size([5, 4, 2]), True)
    """

    def __init__(self, cell: Cell, outputs: int):
        check_size(outputs, "outputs", "Generator")
        external = check_feedback(cell, outputs, "Generator")
        super().__init__(max(external, 1), cell.hidden_size, outputs)
        like = next(cell.parameters(), torch.zeros(()))
        self.cell, self.external = cell, external
        self.read_out = nn.Linear(cell.output_size, outputs, device=like.device, dtype=like.dtype)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> GeneratorState:
        """The cell's own, and outputs of zero."""
        inner = self.cell.initial_state(batch_size, dtype=dtype, device=device)
        return GeneratorState(inner, self._zeros(batch_size, self.output_size, dtype, device))

    def advance(self, projected: Tensor, state: Any) -> tuple[Tensor, GeneratorState]:
        """The whole step."""
        x = torch.cat([projected, state.output], -1) if self.external else state.output
        y, inner = self.cell.advance(self.cell.project(x), state.cell)
        z = self.read_out(y)
        return z, GeneratorState(inner, z)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.cell.reset_parameters()
        self.read_out.reset_parameters()


class Forced(Cell):
    """A cell that feeds its outputs back, with the teacher's signal in their place where a coin says so.

    Equations:
        (y_t, s_t) = cell(x_t, s_{t-1});  the state that is carried on holds d_t in the place of y_t where the coin is
        1 and d_t is a number, and is s_t elsewhere.

    Args:
        cell: the cell.
        replace: puts targets into its state.

    Shapes:
        x (batch, cell.input_size + outputs + 1): x_t, d_t and the coin; y (batch, outputs).
    """

    def __init__(self, cell: Cell, replace: Replace):
        super().__init__(cell.input_size + cell.output_size + 1, cell.hidden_size, cell.output_size)
        self.cell, self.replace = cell, replace

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> State:
        """The cell's own."""
        return self.cell.initial_state(batch_size, dtype=dtype, device=device)

    def advance(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """The whole step."""
        own, outputs = self.cell.input_size, self.cell.output_size
        x, target, coin = projected[:, :own], projected[:, own : own + outputs], projected[:, -1:]
        y, after = self.cell.advance(self.cell.project(x), state)
        taught = torch.where((coin > 0.5) & ~target.isnan(), target, y)
        return y, self.replace(state, after, y, taught)


def _jordan(before: Any, after: Any, y: Tensor, d: Tensor) -> JordanState:
    return JordanState(after.context + (d - y))


def _narx(before: Any, after: Any, y: Tensor, d: Tensor) -> NARXState:
    return NARXState(torch.cat([d, after.outputs[:, y.shape[1] :]], -1), after.inputs)


def _generator(before: Any, after: Any, y: Tensor, d: Tensor) -> Any:
    return after._replace(output=d)


FED_BACK: dict[type[Cell], Replace] = {Jordan: _jordan, NARX: _narx, Generator: _generator}
"""How a target is put in the place of an output, for the cells that feed their outputs back."""


class TeacherForcing:
    """An objective under which a network that reads its own outputs is given the right ones while it trains.

    Equations:
        at each step t and sequence the network goes on from the target d_t with probability p, and from its own output
        y_t else; p = 1 is teacher forcing, a p that falls while training goes on is scheduled sampling. In validation,
        and after training, the network goes on from its own outputs always.

    Args:
        objective: what the outputs cost: MSE or another one of numbers.
        share: p, a number, or a function from the step of training (0, 1, ...) to it, such as those in
            `recurra.nn.seq2seq.schedules`.
        replace: for cells other than Jordan, NARX and Generator: `replace(before, after, output, target)` gives the
            state after a step with the target in the place of the output.

    Shapes:
        those of the objective; the target has a signal for each step, and NaN in it forces nothing.

    Raises:
        UsageError: p is no probability, the network is not one cell that feeds its output back, or the target has no
            time.

    Differs from the paper: coins are drawn for numbers, where the paper draws them for tokens (`recurra.nn.Seq2Seq`
    does that).

    Reference:
        R. J. Williams, D. Zipser. A learning algorithm for continually running fully recurrent neural networks. Neural
        Computation 1 (1989) 270-280 (teacher forcing).
        S. Bengio, O. Vinyals, N. Jaitly, N. Shazeer. Scheduled sampling for sequence prediction with recurrent neural
        networks. NIPS (2015) 1171-1179.

    Example:
        >>> from recurra.cells import Jordan
        >>> from recurra.learn import MSE, fit
        >>> _ = torch.manual_seed(0)
        >>> net = Jordan(1, 6, output_size=1)
        >>> x, y = torch.ones(6, 1, 1), torch.tensor([0.2, 0.8, 0.2, 0.8, 0.2, 0.8]).reshape(6, 1, 1)
        >>> found = fit(net, (x, y), TeacherForcing(MSE()), steps=200, learning_rate=0.05, progress=False)
        >>> found.losses[-1] < 0.1 * found.losses[0]
        True
    """

    def __init__(
        self, objective: Objective, share: float | Callable[[int], float] = 1.0, replace: Replace | None = None
    ):
        if objective.why_not_cut() is not None or not hasattr(objective, "form"):
            given = f"the objective is {type(objective).__name__}"
            raise UsageError(given, where="TeacherForcing", need="an objective with a signal for each step, MSE say")
        self.objective, self.replace = objective, replace
        self.share = share if callable(share) else _always(_probability(share))

    def __call__(self, *arguments: Any, **named: Any) -> Loss:
        """The objective's own loss."""
        return self.objective(*arguments, **named)

    def weight(self, *arguments: Any, **named: Any) -> Tensor:
        """The objective's own weight."""
        return self.objective.weight(*arguments, **named)

    def why_not_cut(self) -> str | None:
        """Windows may be judged one by one."""
        return None

    def wrap(self, net: Any) -> Network:
        """The network with its cell under the teacher's hand; the weights are the network's own."""
        cell = only_cell(net)
        replace = self.replace or next((found for kind, found in FED_BACK.items() if isinstance(cell, kind)), None)
        if replace is None:
            raise UsageError(
                f"{type(cell).__name__} does not feed its output back",
                where="TeacherForcing",
                need="Jordan, NARX or Generator, or replace=... that puts a target into the cell's state",
                cure="recurra.learn.Generator(cell, outputs) makes any cell read its own output",
            )
        return Network(CellLayer(Forced(cell, replace)))

    def prepare(self, batch: SequenceBatch, step: int | None, generator: torch.Generator) -> SequenceBatch:
        """A batch with the teacher's signals and the coins beside x; without a step (validation) all coins are 0."""
        if not batch.target_in_time or not batch.target.is_floating_point():
            given = f"the target is {batch.target.dtype} of shape {tuple(batch.target.shape)}"
            need = "numbers for each step, (time, batch, outputs)"
            raise UsageError(given, where="TeacherForcing", need=need)
        shape = (batch.steps, batch.size, 1)
        coins = torch.zeros(shape, dtype=batch.input.dtype)
        if step is not None:
            coins = (torch.rand(shape, generator=generator) < _probability(self.share(step))).to(coins)
        x = torch.cat([batch.input, batch.target.to(batch.input), coins.to(batch.input)], -1)
        return dataclasses.replace(batch, input=x)

    def __repr__(self) -> str:
        return f"TeacherForcing({self.objective!r})"


def only_cell(net: Any) -> Cell:
    """The cell that a network consists of.

    Raises:
        UsageError: there is more to it.
    """
    made = as_network(net) if isinstance(net, Network | nn.Sequential | Cell | Layer) else None
    parts = list(made.parts) if isinstance(made, Network) else []
    layer: Any = parts[0] if len(parts) == 1 else None
    plain = isinstance(layer, Layer) and len(layer.stack_cells()) == 1
    if plain and not any(getattr(layer, name, None) is not None for name in ("joints", "norms", "firsts")):
        return layer.stack_cells()[0]
    raise UsageError(
        f"the network is {type(net).__name__}, which is more than one cell",
        where="TeacherForcing",
        need="one cell whose output is what it feeds back, with nothing above it",
        cure="recurra.learn.Generator(cell, outputs), in which the read-out is a part of the cell",
    )


def _always(share: float) -> Callable[[int], float]:
    return lambda step: share


def _probability(share: Any) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise UsageError(f"share is {share!r}", where="TeacherForcing", need="a probability, from 0 to 1")
    return float(share)
