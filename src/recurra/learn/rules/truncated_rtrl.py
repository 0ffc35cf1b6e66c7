"""The truncated rule that came with long short-term memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recurra.learn.rules.local_trace import LocalTrace, cost_of_traces
from recurra.learn.rules.online import OnlineRule, Stream, cells_of
from recurra.learn.rules.step_function import Blocks, Step, StepFunction
from recurra.types import Cost


class TruncatedRTRL(OnlineRule):
    """The rule that long short-term memory was published with: errors flow back through memory cells alone.

    Equations:
        what the hidden units send into gates and cell inputs is taken as a constant; then for a memory cell
        c_t = f_t c_{t-1} + i_t g_t:
        dc_t/dw = f_t dc_{t-1}/dw + (df_t/dw) c_{t-1} + (di_t/dw) g_t + i_t dg_t/dw,
        with the derivatives of gates for held h_{t-1}, and dL_t/dw = (the part past the state) + (dL_t/ds_t) ds_t/dw.

    It equals back-propagation through time in the network whose recurrent inputs are detached, and needs one number or
    two a weight.

    Args: none.

    Shapes:
        the learner's own; the gradient lands in `.grad` of each parameter, added to what is there.

    Raises:
        UsageError: recurrent dropout stands where the cut belongs, or sequences act on one another.

    Differs from the paper: gradients of a batch are added up before the weights change. Stacks are served too, by the
    same definition; weights of a lower layer then have a trace for each memory cell above. Cells with memory cells `c`
    and hidden units `h` in their state are served, others refused.

    Reference:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 9 (1997) 1735-1780, appendix A.1.

    Example:
        >>> TruncatedRTRL().cost(hidden=8, parameters=100, steps=50).time
        100.0
    """

    name = "truncatedrtrl"

    def __init__(self) -> None:
        self.trace = LocalTrace("symmetric", self.name)

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """A trace a weight."""
        return cost_of_traces(parameters, "time O(p) a step, memory O(p)")

    def refuses(self, learner: nn.Module) -> str | None:
        cells = cells_of(learner)
        others = [type(cell).__name__ for cell in cells if not {"h", "c"} <= set(_fields(cell))]
        if cells and not others:
            return None
        found = ", ".join(others) or "no cell"
        return (
            f"truncatedrtrl is for cells with memory cells, of the LSTM family, and this network has {found}; "
            "use the rule eprop, snap(1) or rtrl instead"
        )

    def cuts(self, learner: nn.Module) -> bool:
        return True

    def carry(self, step: Step, stream: Stream, function: StepFunction) -> Any:
        return self.trace.carry(step, stream, function)

    def contract(self, row: Tensor, influence: Any) -> Blocks:
        return self.trace.contract(row, influence)


def _fields(cell: Any) -> tuple[str, ...]:
    return getattr(cell.initial_state(1), "_fields", ())
