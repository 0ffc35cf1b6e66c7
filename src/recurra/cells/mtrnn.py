"""Recurrent network of several time scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.time_step import check_choice, check_positive, step_size
from recurra.errors import UsageError


class MTRNNState(NamedTuple):
    """The state of a network of several time scales.

    Attributes:
        u: potentials of the units, group by group, (batch, hidden_size).
    """

    u: Tensor


class MTRNN(Cell):
    """Multiple timescale recurrent network: groups of leaky units, fast to slow, joined to their neighbours only.

    Equations:
        u_t = (1 - dt/tau) * u_{t-1} + (dt/tau) * (W f(u_{t-1}) + V x_t + b),  y_t = f(u_t),  f = sigmoid or tanh,
        with one tau for each group; W joins the units of a group, and of groups next to each other in the list; V
        reaches the groups named by `input_groups`.

    The paper's network has three groups, input-output units, fast and slow context units, with tau = 2, 5 and 70: the
    slow units do not see input-output units.

    Args:
        input_size: features of x_t.
        hidden_size: units of all groups together.
        bias: whether b exists.
        time_constants: one for each group, in steps of dt = 1; at least dt, for the step to be stable.
        group_sizes: units of each group; shared out evenly when absent, the first groups first.
        input_groups: numbers of the groups that see the input, the first being 0.
        nonlinearity: "sigmoid" or "tanh".
        dt: the step; the time between steps replaces it where it is given.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), u and y (batch, hidden_size); weight_ih = V (hidden_size, input_size), weight_hh = W
        (hidden_size, hidden_size), bias_ih = b (hidden_size,), drawn uniform in +-1/sqrt(hidden_size); entries for
        connections that do not exist have no effect. time_constant (hidden_size,), connected (hidden_size, hidden_size)
        and sees_input (hidden_size, 1) are buffers. Time constants are in the unit of dt.

    Raises:
        UsageError: a size, dt or a time constant is not positive, the groups' sizes do not add up to hidden_size, an
            input group does not exist, or the nonlinearity is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: inputs come through weights to groups of choice, where the paper's input-output units are
    units of the network and hold a softmax code of the input; self-organised initial states are left to a learned
    initial state of the layer.

    Reference:
        Y. Yamashita, J. Tani. Emergence of functional hierarchy in a multiple timescale neural network model: a
        humanoid robot experiment. PLoS Computational Biology 4 (2008) e1000220.

    Example:
        >>> import torch
        >>> cell = MTRNN(3, 6, time_constants=(2.0, 5.0, 70.0), group_sizes=(2, 3, 1))
        >>> cell.connected[0].tolist(), cell.connected[5].tolist()
        ([1.0, 1.0, 1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    """

    continuous_time: ClassVar[bool] = True
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    time_constant: Tensor
    connected: Tensor
    sees_input: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        time_constants: Sequence[float] = (5.0, 70.0),
        group_sizes: Sequence[int] | None = None,
        input_groups: Sequence[int] = (0,),
        nonlinearity: str = "sigmoid",
        dt: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.time_constants = tuple(check_positive(tau, "a time constant", "MTRNN") for tau in time_constants)
        self.group_sizes = _group_sizes(group_sizes, len(self.time_constants), hidden_size)
        self.input_groups = tuple(input_groups)
        for group in self.input_groups:
            if group not in range(len(self.time_constants)):
                need = f"numbers of groups, 0 to {len(self.time_constants) - 1}"
                raise UsageError(f"input_groups is {input_groups!r}", where="MTRNN", need=need)
        self.nonlinearity = check_choice(nonlinearity, "nonlinearity", ("sigmoid", "tanh"), "MTRNN")
        self.dt = check_positive(dt, "dt", "MTRNN")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
        )
        group_of = [group for group, size in enumerate(self.group_sizes) for _ in range(size)]
        constants = {
            "time_constant": [self.time_constants[group] for group in group_of],
            "connected": [[float(abs(one - other) <= 1) for other in group_of] for one in group_of],
            "sees_input": [[float(group in self.input_groups)] for group in group_of],
        }
        for name, values in constants.items():
            made = torch.tensor(values, dtype=self.weight_ih.dtype, device=self.weight_ih.device)
            self.register_buffer(name, made)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> MTRNNState:
        """Zeros."""
        return MTRNNState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """V x + b."""
        return F.linear(x, self.weight_ih * self.sees_input, self.bias_ih)

    def advance(self, projected: Tensor, state: MTRNNState, dt: Tensor | None = None) -> tuple[Tensor, MTRNNState]:
        """The step from V x + b on."""
        activation = torch.sigmoid if self.nonlinearity == "sigmoid" else torch.tanh
        total = projected + self.recur(activation(state.u), self.weight_hh * self.connected)
        u = state.u + step_size(dt, self.dt) / self.time_constant * (total - state.u)
        return activation(u), MTRNNState(u)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, time_constants={self.time_constants}, group_sizes={self.group_sizes}"


def _group_sizes(given: Sequence[int] | None, groups: int, hidden_size: int) -> tuple[int, ...]:
    if groups == 0:
        raise UsageError("time_constants is empty", where="MTRNN", need="one time constant for each group")
    if given is None:
        return tuple(hidden_size // groups + (group < hidden_size % groups) for group in range(groups))
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in given)
    if not whole or len(given) != groups or sum(given) != hidden_size:
        need = f"{groups} whole numbers, one for each time constant, that add up to hidden_size, {hidden_size}"
        raise UsageError(f"group_sizes is {given!r}", where="MTRNN", need=need)
    return tuple(given)
