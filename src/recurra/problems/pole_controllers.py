"""Networks that balance poles: what turns a population of weight vectors into pushes, all carts at once."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ShapeError, UsageError

Floats = NDArray[np.float64]


class Controller(Protocol):
    """Drives carts: `memory = begin(weights)`, then `output, memory = act(observed, memory)` at each control step.

    `memory` is a tuple of arrays whose **last** dimension is the carts, weights included, so that failed carts can be
    taken out of it. observed (inputs, carts); output (carts,) in [-1, 1].
    """

    dimension: int

    def begin(self, weights: Floats) -> tuple[Any, ...]: ...

    def act(self, observed: Floats, memory: tuple[Any, ...]) -> tuple[Floats, tuple[Any, ...]]: ...


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
        >>> memory = controller.begin(np.zeros((2, 4)))
        >>> controller.act(np.ones((3, 2)), memory)[0]
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

    def begin(self, weights: Floats) -> tuple[Any, ...]:
        """Weights apart, and units at 0: what `act` needs at the first step."""
        if weights.ndim != 2 or weights.shape[1] != self.dimension:
            need = f"(carts, {self.dimension})"
            raise ShapeError(f"weights has shape {weights.shape}", where="RecurrentController", need=need)
        genes = np.ascontiguousarray(weights.T).reshape(self.units, self.genes, -1)
        seen, back = genes[:, : self.inputs], genes[:, self.inputs : self.inputs + self.units]
        after = self.inputs + self.units
        bias = genes[:, after] if self.bias else np.zeros_like(genes[:, 0])
        return seen, back, bias, genes[:, -1], np.zeros((self.units, weights.shape[0]))

    def act(self, observed: Floats, memory: tuple[Any, ...]) -> tuple[Floats, tuple[Any, ...]]:
        """One control step."""
        seen, back, bias, out, last = memory
        total = np.add.reduce(seen * observed, 1) + np.add.reduce(back * last, 1)
        if self.bias:
            total += bias
        now = np.tanh(total) if self.squash == "tanh" else 0.5 + 0.5 * np.tanh(0.5 * total)
        if self.output == "unit":
            push = now[0] if self.squash == "tanh" else 2.0 * now[0] - 1.0
        else:
            read = np.add.reduce(out * now, 0)
            push = np.tanh(read) if self.squash == "tanh" else np.tanh(0.5 * read)
        return push, (seen, back, bias, out, now)
