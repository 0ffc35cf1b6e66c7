"""Networks whose graph is evolved as the networks that balance poles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.learn.search.neat_cell import STEEPNESS
from recurra.problems.pole_controllers import RecurrentController, check_weights

Floats = NDArray[np.float64]


class GraphController:
    """Networks of NEAT: steepened logistic nodes, of which the first one's value, taken to [-1, 1], is the push.

    Equations:
        h_t = 1 / (1 + exp(-4.9 (W_ih o_t + W_hh h_{t-1} + b))),  output = 2 h_t[0] - 1.

    Args:
        inputs: features of the observation.
        nodes: the most nodes of a network, the output included.

    Shapes:
        weights (carts, nodes (inputs + nodes + 1)), rows as `NEAT` gives them: all of W_ih, all of W_hh, b.

    Raises:
        UsageError: a size is not positive.
        ShapeError: the weights do not fit.

    Reference:
        K. O. Stanley, R. Miikkulainen. Evolving neural networks through augmenting topologies. Evolutionary
        Computation 10 (2002) 99-127.

    Example:
        >>> from recurra.learn.search import NEAT
        >>> from recurra.problems.double_pole import DOUBLE_POLE
        >>> from recurra.problems.pole_trials import PoleTrials, balance
        >>> search = NEAT(inputs=3, nodes=4, population=5)
        >>> balance(PoleTrials(DOUBLE_POLE, GraphController(3, 4), limit=100), search.ask()).steps.shape
        (5,)
    """

    def __init__(self, inputs: int, nodes: int) -> None:
        self.network = RecurrentController(inputs, nodes, bias=True, squash="logistic")
        self.dimension, self.memory_size = self.network.dimension, self.network.memory_size
        # A search's rows hold all input weights, all recurrent ones and all biases; the network takes node after node.
        seen, back, bias = np.split(np.arange(self.dimension), [nodes * inputs, nodes * (inputs + nodes)])
        blocks = [seen.reshape(nodes, inputs), back.reshape(nodes, nodes), bias.reshape(nodes, 1)]
        self._order = np.concatenate(blocks, axis=1).reshape(-1)

    def __repr__(self) -> str:
        return f"GraphController(inputs={self.network.inputs}, nodes={self.network.units})"

    def begin(self, weights: Floats) -> tuple[Floats, Floats]:
        """The weights carts last, steepened, and nodes at 0."""
        check_weights(weights, self.dimension, "GraphController")
        return self.network.begin(STEEPNESS * weights[:, self._order])

    def act(self, observed: Any, memory: Any, weights: Any) -> tuple[Any, Any]:
        """One control step."""
        return self.network.act(observed, memory, weights)
