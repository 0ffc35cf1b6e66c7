"""Intrinsic plasticity: each unit of a reservoir tunes its own gain and bias to a wanted spread of its activity."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.cells.base import check_input, check_size
from recurra.cells.nonlinearity import NONLINEARITIES
from recurra.cells.sparse import SparseWeight
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_positive
from recurra.errors import UsageError
from recurra.reservoir.echo_state import EchoState
from recurra.reservoir.run import check_washout


class IntrinsicPlasticity:
    """Intrinsic plasticity of an echo state reservoir, without any target.

    Equations:
        n_t = W h_{t-1} + W_in x_t is what drives a unit, z = f(a n + b) its activity before it leaks;
        tanh, towards a normal distribution of mean m and standard deviation s:
        db = -rate (-m / s^2 + (z / s^2) (2 s^2 + 1 - z^2 + m z));
        sigmoid, towards an exponential distribution of mean m:
        db = rate (1 - (2 + 1 / m) z + z^2 / m);
        for both  da = rate / a + db n.

    The rule goes down the divergence of the unit's distribution from the wanted one, step by step along the sequences.
    Gains are then taken into the weights: row i of W and W_in is multiplied with a_i, b is the cell's bias.

    Args:
        cell: a tanh or sigmoid reservoir with a bias; its weights are changed. The spectral radius changes with them.
        mean: m.
        deviation: s, for tanh.
        rate: of learning.

    Attributes:
        gain: a, since the beginning, (units,).

    Raises:
        UsageError: the cell has no bias or another nonlinearity, or a number is out of range.
        ShapeError: sequences do not fit.

    Differs from the paper: several sequences of a batch change a and b together, by the mean of their changes.

    Reference:
        J. Triesch. A gradient rule for the plasticity of a neuron's intrinsic excitability. ICANN (2005) 65-70.
        B. Schrauwen, M. Wardermann, D. Verstraeten, J. J. Steil, D. Stroobandt. Improving reservoirs using intrinsic
        plasticity. Neurocomputing 71 (2008) 1159-1171.

    Example:
        >>> cell = EchoState(1, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> x = torch.rand(500, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        >>> plasticity = IntrinsicPlasticity(cell, deviation=0.2, rate=1e-3).adapt(x, epochs=5)
        >>> from recurra.unroll import unroll
        >>> 0.15 < unroll(cell, x)[0].std(0).mean().item() < 0.25
        True
    """

    def __init__(self, cell: EchoState, mean: float | None = None, deviation: float = 0.1, rate: float = 5e-4):
        where = "IntrinsicPlasticity"
        if cell.nonlinearity not in ("tanh", "sigmoid"):
            raise UsageError(
                f"the cell's nonlinearity is {cell.nonlinearity!r}", where=where, need="'tanh' or 'sigmoid'"
            )
        if cell.bias_ih is None:
            raise UsageError("the cell has no bias", where=where, need="bias=True", cure="bias_scale=0 begins at zero")
        self.cell, self.rate = cell, check_positive(rate, "rate", where)
        self.deviation = check_positive(deviation, "deviation", where)
        if mean is None:
            mean = 0.0 if cell.nonlinearity == "tanh" else 0.2
        if not isinstance(mean, int | float) or isinstance(mean, bool):
            raise UsageError(f"mean is {mean!r}", where=where, need="a number")
        self.mean = float(mean) if cell.nonlinearity == "tanh" else check_positive(mean, "mean", where)
        self.gain = torch.ones_like(cell.bias_ih)

    @torch.no_grad()
    def adapt(self, x: Tensor, epochs: int = 1, washout: int = 0) -> IntrinsicPlasticity:
        """Run along sequences x (time, batch, features) so many times, and change the cell's gains and biases.

        Args:
            x: the sequences.
            epochs: how many times.
            washout: steps at the beginning of each time in which nothing changes.
        """
        cell = self.cell
        check_input(x, ("time", "batch"), cell.input_size, where="IntrinsicPlasticity")
        check_size(epochs, "epochs", "IntrinsicPlasticity")
        check_washout(washout, "IntrinsicPlasticity")
        assert cell.bias_ih is not None
        gain, bias = torch.ones_like(cell.bias_ih), cell.bias_ih.clone()
        read = x.to(cell.weight_ih) @ cell.weight_ih.mT
        activation = NONLINEARITIES[cell.nonlinearity]
        # Not `unroll`: the network is another one at each step.
        for _ in range(epochs):
            state = cell.initial_state(x.shape[1], dtype=read.dtype, device=read.device)
            for t, step in enumerate(read):
                net = cell.drive(step, state.h)
                z = activation(gain * net + bias)
                if t >= washout:
                    change = self.change(z)
                    gain = gain + self.rate / gain + (change * net).mean(0)
                    bias = bias + change.mean(0)
                state = HiddenState(torch.lerp(state.h, z, cell.rate))
        self._write(gain, bias)
        return self

    def change(self, z: Tensor) -> Tensor:
        """db for activities z."""
        m = self.mean
        if self.cell.nonlinearity == "sigmoid":
            return self.rate * (1.0 - (2.0 + 1.0 / m) * z + z.square() / m)
        variance = self.deviation**2
        return -self.rate * (-m / variance + (z / variance) * (2.0 * variance + 1.0 - z.square() + m * z))

    def _write(self, gain: Tensor, bias: Tensor) -> None:
        cell = self.cell
        assert cell.bias_ih is not None
        cell.bias_ih.copy_(bias)
        cell.weight_ih.mul_(gain.unsqueeze(1))
        if isinstance(cell.weight_hh, SparseWeight):
            cell.weight_hh.values.mul_(gain[cell.weight_hh.row])
        else:
            cell.weight_hh.mul_(gain.unsqueeze(1))
        self.gain = self.gain * gain
