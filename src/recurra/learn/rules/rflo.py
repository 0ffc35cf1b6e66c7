"""Random feedback local online learning."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recurra.cells.ctrnn import CTRNN
from recurra.cells.leaky_rnn import LeakyRNN
from recurra.learn.rules.linear_products import LinearProducts
from recurra.learn.rules.local_trace import LocalTrace, cost_of_traces
from recurra.learn.rules.online import OnlineRule, Stream, cells_of
from recurra.learn.rules.step_function import Blocks, Step, StepFunction
from recurra.types import Cost


class RFLO(OnlineRule):
    """Random feedback local online learning: a weight's trace decays with its unit's leak, and sees no other unit.

    Equations:
        for units h = (1 - a) h + a f(u), u = W z, z = (x, h, 1):
        P_ij = (1 - a) P_ij + a f'(u_i) z_j,  dL_t/dW_ij ~ e_i P_ij,
        where e = dL_t/dh_t (feedback "symmetric"), or the read-out's error through a fixed random matrix ("random").

    It is real-time recurrent learning with the Jacobian replaced by its part that comes from the leak.

    Args:
        feedback: "symmetric" or "random".

    Shapes:
        the learner's own; the gradient lands in `.grad` of each parameter, added to what is there.

    Raises:
        UsageError: feedback is neither of the two; with "random", the network has no one linear read-out; or sequences
            act on one another.

    Differs from the paper: feedback is symmetric by default; input weights and biases are learned as well; gradients of
    a batch are added up before the weights change. Networks with one cell LeakyRNN or CTRNN are served, others refused.

    Reference:
        J. M. Murray. Local online learning in recurrent networks with random feedback. eLife 8 (2019) e43299.

    Example:
        >>> RFLO("random")
        RFLO(feedback='random')
    """

    name = "rflo"

    def __init__(self, feedback: str = "symmetric"):
        self.trace = LocalTrace(feedback, self.name)

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """A trace a weight."""
        return cost_of_traces(parameters, "time O(p) a step, memory O(p)")

    def refuses(self, learner: nn.Module) -> str | None:
        cells = cells_of(learner)
        if len(cells) == 1 and isinstance(cells[0], LeakyRNN | CTRNN):
            return None
        found = ", ".join(type(cell).__name__ for cell in cells) or "no cell"
        return (
            f"rflo needs one leaky cell (LeakyRNN or CTRNN), and this network has {found}; use the rule snap(1) instead"
        )

    def listen(self, learner: nn.Module, stream: Stream) -> LinearProducts | None:
        return self.trace.listen(learner, stream)

    def cuts(self, learner: nn.Module) -> bool:
        return True

    def carry(self, step: Step, stream: Stream, function: StepFunction) -> Any:
        return self.trace.carry(step, stream, function)

    def contract(self, row: Tensor, influence: Any) -> Blocks:
        return self.trace.contract(row, influence)

    def __repr__(self) -> str:
        return self.trace.shown("RFLO")
