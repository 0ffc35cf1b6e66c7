"""Networks that balance poles: what turns a population of weight vectors into pushes, all carts at once."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ShapeError, UsageError
from recurra.problems.lanes import logistic, tanh

Floats = NDArray[np.float64]


class Controller(Protocol):
    """Networks side by side, one a cart: `weights, memory = begin(weights)`, then at each control step
    `output, memory = act(observed, memory, weights)`.

    Attributes:
        dimension: numbers of a network's vector of weights.
        memory_size: numbers that a network keeps from step to step, at least one.

    Shapes:
        `begin` takes weights (carts, dimension) as a search gives them, and gives arrays (dimension, carts), in an
        order of its own, and the first memory (memory_size, carts). `act` takes observed (inputs, carts), the memory
        and these weights, and gives the output (carts,) in [-1, 1] and the next memory. Where it takes tensors too,
        with any dimensions before these, in operations on single numbers alone (products of weights and inputs added
        up one by one), whole trials are compiled.
    """

    dimension: int
    memory_size: int

    def begin(self, weights: Floats) -> tuple[Floats, Floats]: ...

    def act(self, observed: Any, memory: Any, weights: Any) -> tuple[Any, Any]: ...


class RecurrentController:
    """A fully recurrent network of sigmoid units in which one unit's activation is the push.

    Equations:
        a_t = f(W [o_t; a_{t-1}; 1]),  output = a_t of the first unit ("unit") or f(v . a_t) ("weights"),
        f = tanh, or for the logistic function f(z) = 2 / (1 + exp(-z)) - 1 = tanh(z / 2) on the output and
        1 / (1 + exp(-z)) inside.

    Args:
        inputs: features of the observation.
        units: recurrent units.
        bias: whether each unit has a bias weight.
        output: "unit" (the first unit is the output) or "weights" (an output unit reads all units).
        squash: "tanh" or "logistic".

    Shapes:
        weights (carts, dimension): unit after unit its input weights, recurrent weights, bias, and weight to the
        output unit. dimension = units (inputs + units + bias + (output == "weights")).

    Attributes:
        neurons: gene positions of each unit, as ESP and CoSyNE take them.

    Raises:
        UsageError: an argument is out of range.
        ShapeError: the weights do not fit.

    Reference:
        the fully recurrent controllers of F. Gomez, J. Schmidhuber, R. Miikkulainen, JMLR 9 (2008) 937-965; the paper
        gives the number of units, and neither the squashing function nor whether there is a bias.

    Example:
        >>> controller = RecurrentController(inputs=3, units=1)
        >>> controller.dimension
        4
        >>> weights, memory = controller.begin(np.zeros((2, 4)))
        >>> controller.act(np.ones((3, 2)), memory, weights)[0]
        array([0., 0.])
    """

    def __init__(
        self, inputs: int, units: int = 1, bias: bool = False, output: str = "unit", squash: str = "tanh"
    ) -> None:
        for name, value in (("inputs", inputs), ("units", units)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} is {value!r}", where="RecurrentController", need="a positive whole number")
        for name, text, known in (("output", output, ("unit", "weights")), ("squash", squash, ("tanh", "logistic"))):
            if text not in known:
                raise UsageError(f"{name} is {text!r}", where="RecurrentController", need=" or ".join(map(repr, known)))
        self.inputs, self.units, self.bias, self.output, self.squash = inputs, units, bias, output, squash
        self.genes = inputs + units + bias + (output == "weights")
        self.dimension = units * self.genes
        self.neurons = [list(range(unit * self.genes, (unit + 1) * self.genes)) for unit in range(units)]

    def __repr__(self) -> str:
        form = f"bias={self.bias}, output={self.output!r}, squash={self.squash!r}"
        return f"{type(self).__name__}(inputs={self.inputs}, units={self.units}, {form})"

    @property
    def memory_size(self) -> int:
        """One number a unit."""
        return self.units

    def begin(self, weights: Floats) -> tuple[Floats, Floats]:
        """The weights carts last, and units at 0: what `act` needs at the first step."""
        check_weights(weights, self.dimension, "RecurrentController")
        return np.ascontiguousarray(weights.T), np.zeros((self.units, weights.shape[0]))

    def act(self, observed: Any, memory: Any, weights: Any) -> tuple[Any, Any]:
        """One control step."""
        genes = weights.reshape(*weights.shape[:-2], self.units, self.genes, weights.shape[-1])
        total = genes[..., self.inputs + self.units, :] if self.bias else 0.0
        for column in range(self.inputs):
            total = total + genes[..., column, :] * observed[..., column : column + 1, :]
        for column in range(self.units):
            total = total + genes[..., self.inputs + column, :] * memory[..., column : column + 1, :]
        now = tanh(total) if self.squash == "tanh" else logistic(total)
        if self.output == "unit":
            push = now[..., 0, :]
            return (push if self.squash == "tanh" else 2.0 * push - 1.0), now
        read: Any = 0.0
        for unit in range(self.units):
            read = read + genes[..., unit, -1, :] * now[..., unit, :]
        return tanh(read if self.squash == "tanh" else 0.5 * read), now


def check_weights(weights: Any, dimension: int, where: str) -> None:
    """Refuse what is not one vector of weights a cart."""
    if weights.ndim != 2 or weights.shape[1] != dimension:
        raise ShapeError(f"weights has shape {tuple(weights.shape)}", where=where, need=f"(carts, {dimension})")
