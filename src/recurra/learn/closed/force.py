"""FORCE learning: recursive least squares on a readout while it is fed back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_size
from recurra.cells.nonlinearity import NONLINEARITIES
from recurra.cells.state import map_state
from recurra.errors import ShapeError
from recurra.learn.closed.closed_loop import ClosedLoop, ClosedLoopState, check_feedback
from recurra.learn.closed.recursive_least_squares import RecursiveLeastSquares
from recurra.unroll import unroll


class FORCE:
    """FORCE learning: a network reads its own output while the readout is kept right at every step.

    Equations:
        (y_t, s_t) = cell([u_t, z_{t-1}], s_{t-1});  r_t = rates(y_t);  z_t = W r_t;  and every `every` steps
        e = z_t - f_t;  P -= P r r^T P / (1 + r^T P r);  W -= e (P r)^T;  P_0 = I / penalty.

    The first updates already bring the output to the target, so that what is fed back is nearly the target all the
    time; from then on W changes until the network, with the loop closed, goes along the target by itself.

    Args:
        cell: any cell whose last inputs are those for the feedback; `chaotic_network` makes the paper's. Its own
            weights stay as they are.
        outputs: number of outputs z.
        rates: what the readout sees, "tanh" of the cell's outputs (a CTRNN's outputs are h, whose rates are tanh(h)),
            "sigmoid", or "linear" (the outputs themselves, as of a leaky network).
        penalty: the paper's alpha, from 1 to 100: the smaller, the faster the weights change at first.
        every: steps from one update to the next.
        forgetting: of recursive least squares; 1 in the paper.

    Shapes:
        targets f and outputs z (time, batch, outputs), inputs u (time, batch, inputs); several sequences of a batch run
        side by side and teach the one readout, in order.

    Raises:
        UsageError: a number is out of range, or the cell has no inputs for the feedback.
        ShapeError: targets, inputs or the state do not fit.

    Differs from the paper: P is carried as a square root, which is the same in exact arithmetic; what is fed back is
    the output before the step's own update, as the paper leaves open which of the two it is; only the readout learns,
    and the paper's variants that change weights inside the network are not here.

    Reference:
        D. Sussillo, L. F. Abbott. Generating coherent patterns of activity from chaotic neural networks. Neuron 63
        (2009) 544-557.

    Example:
        >>> from recurra.learn.closed import chaotic_network
        >>> generator = torch.Generator().manual_seed(3)
        >>> force = FORCE(chaotic_network(0, 1, 200, generator=generator), 1)
        >>> wave = torch.sin(0.05 * torch.arange(600.0, dtype=torch.float64)).reshape(-1, 1, 1)
        >>> outputs, state = force.train(wave, state=force.start(generator=generator))
        >>> bool((outputs[300:] - wave[300:]).abs().mean() < 0.05)
        True
        >>> free, state = force.generate(50, state)
        >>> free.shape
        torch.Size([50, 1, 1])
    """

    def __init__(
        self,
        cell: Cell,
        outputs: int,
        rates: str = "tanh",
        penalty: float = 1.0,
        every: int = 2,
        forgetting: float = 1.0,
    ):
        self.every = check_size(every, "every", "FORCE")
        self.external = check_feedback(cell, check_size(outputs, "outputs", "FORCE"), "FORCE")
        weight = next(cell.parameters(), torch.empty(0, dtype=torch.float64))
        self.cell, self.rates = cell, rates
        self.readout = RecursiveLeastSquares(
            cell.output_size, outputs, penalty, forgetting, dtype=weight.dtype, device=weight.device
        )
        self.network()  # checks `rates`

    def network(self) -> ClosedLoop:
        """The cell with its present readout, reading itself: a cell."""
        return ClosedLoop(self.cell, self.readout.weight, rates=self.rates)

    @torch.no_grad()
    def start(self, batch: int = 1, spread: float = 0.5, generator: torch.Generator | None = None) -> ClosedLoopState:
        """A first state off the initial one by normal numbers of this standard deviation.

        A network without biases stays at zero for ever if it begins there.

        Args:
            batch: number of sequences.
            spread: the standard deviation.
            generator: of random numbers; torch's own when absent.
        """
        first = self.network().initial_state(batch)

        def moved(part: Tensor) -> Tensor:
            drawn = torch.randn(part.shape, generator=generator, dtype=part.dtype)
            return part + spread * drawn.to(part.device)

        return first._replace(cell=map_state(moved, first.cell))

    @torch.no_grad()
    def train(
        self, targets: Tensor, inputs: Tensor | None = None, state: ClosedLoopState | None = None
    ) -> tuple[Tensor, ClosedLoopState]:
        """Run along the targets and learn; returns the outputs before each step's update, and the last state.

        Args:
            targets: what the outputs are to be.
            inputs: external inputs, for a cell that has some.
            state: where to begin, `start()` or what an earlier call gave; `start()` when absent.
        """
        if targets.dim() != 3 or targets.shape[-1] != self.readout.outputs:
            raise ShapeError(
                f"targets has shape {tuple(targets.shape)}",
                where="FORCE.train",
                need=f"(time, batch, {self.readout.outputs})",
            )
        steps, batch = targets.shape[:2]
        inputs = self._inputs(inputs, steps, batch, "FORCE.train")
        targets = targets.to(inputs.dtype)
        if state is None:
            state = self.start(batch)
        activation, outputs = NONLINEARITIES[self.rates], []
        # Not `unroll`: the readout, and so the network, is another one at each step.
        for t in range(steps):
            back = state.output
            x = torch.cat([inputs[t], back], -1) if self.external else back
            y, inner = self.cell(x, state.cell)
            rates = activation(y)
            z = rates @ self.readout.weight.mT
            if (t + 1) % self.every == 0:
                self.readout.update(rates, targets[t])
            outputs.append(z)
            state = ClosedLoopState(inner, z)
        return (torch.stack(outputs) if outputs else targets), state

    @torch.no_grad()
    def generate(
        self, steps: int, state: ClosedLoopState, inputs: Tensor | None = None
    ) -> tuple[Tensor, ClosedLoopState]:
        """Run by itself from a state on, learning nothing; returns the outputs and the last state."""
        x = self._inputs(inputs, steps, state.output.shape[0], "FORCE.generate")
        made: Any = unroll(self.network(), x, state)
        return made

    def _inputs(self, inputs: Tensor | None, steps: int, batch: int, where: str) -> Tensor:
        weight = self.readout.weight
        if inputs is None and not self.external:
            return weight.new_zeros(steps, batch, 1)
        shape = (steps, batch, self.external)
        if inputs is None or inputs.shape != shape:
            given = "absent" if inputs is None else f"of shape {tuple(inputs.shape)}"
            raise ShapeError(f"inputs is {given}", where=where, need=f"{shape}, (time, batch, external inputs)")
        return inputs.to(weight)
