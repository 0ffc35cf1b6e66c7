"""Eligibility propagation."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recurra.learn.rules.linear_products import LinearProducts
from recurra.learn.rules.local_trace import LocalTrace, cost_of_traces
from recurra.learn.rules.online import OnlineRule, Stream, cells_of
from recurra.learn.rules.step_function import Blocks, Step, StepFunction
from recurra.types import Cost


class EProp(OnlineRule):
    """Eligibility propagation: traces inside each unit, times a learning signal that tells each unit its error.

    Equations:
        with s_j the numbers that make up unit j (in an LSTM h_j and c_j), and what other units send held constant:
        eps_ji,t = (ds_j,t / ds_j,t-1) eps_ji,t-1 + ds_j,t / dw_ji      eligibility
        dL/dw_ji ~ sum_t L_j,t eps_ji,t,  L_j,t = dL_t/ds_j,t (feedback "symmetric"), or the read-out's error through a
        fixed random matrix ("random").

    Args:
        feedback: "symmetric" or "random".

    Shapes:
        the learner's own; the gradient lands in `.grad` of each parameter, added to what is there.

    Raises:
        UsageError: feedback is neither of the two; with "random", the network has no one linear read-out; the cell
            makes no recurrent product that could be cut; or sequences act on one another.

    Differs from the paper: no spiking units, no feedback matrix that learns, and no filter of the traces; any cell that
    writes its recurrent products as `Cell.recur`; gradients of a batch are added up before the weights change.
    Networks with one cell are served, stacks refused.

    Reference:
        G. Bellec, F. Scherr, A. Subramoney, E. Hajek, D. Salaj, R. Legenstein, W. Maass. A solution to the learning
        dilemma for recurrent networks of spiking neurons. Nature Communications 11 (2020) 3625.

    Example:
        >>> EProp().cost(hidden=8, parameters=100, steps=50).memory
        100.0
    """

    name = "eprop"

    def __init__(self, feedback: str = "symmetric"):
        self.trace = LocalTrace(feedback, self.name)

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """A trace a weight."""
        return cost_of_traces(parameters, "time O(p) a step, memory O(p)")

    def refuses(self, learner: nn.Module) -> str | None:
        count = len(cells_of(learner))
        if count == 1:
            return None
        return f"eprop needs a network with one cell, and this one has {count}; use the rule snap(1) or rtrl instead"

    def listen(self, learner: nn.Module, stream: Stream) -> LinearProducts | None:
        return self.trace.listen(learner, stream)

    def cuts(self, learner: nn.Module) -> bool:
        """An element-wise cell has nothing to cut: no unit hears another."""
        return not cells_of(learner)[0].elementwise

    def carry(self, step: Step, stream: Stream, function: StepFunction) -> Any:
        return self.trace.carry(step, stream, function)

    def contract(self, row: Tensor, influence: Any) -> Blocks:
        return self.trace.contract(row, influence)

    def __repr__(self) -> str:
        return self.trace.shown("EProp")
