"""The hybrid of back-propagation through time and real-time recurrent learning."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recurra.errors import UsageError
from recurra.learn.rules.online import OnlineRule, Stream
from recurra.learn.rules.rtrl import MEGABYTES, carry_dense, check_bound, contract
from recurra.learn.rules.step_function import Blocks, Step, StepFunction
from recurra.types import Cost


class BlockRTRL(OnlineRule):
    """The exact gradient in blocks of steps: back-propagation inside a block, the influence matrix between blocks.

    Equations:
        for a block of the steps a+1..b:
        dL_(a,b]/dw = (back-propagation through the block, s_a held) + (dL_(a,b]/ds_a) M_a,
        M_b = (ds_b/dw with s_a held) + (ds_b/ds_a) M_a.

    The two derivatives of s_b take n sweeps of back-propagation through the block. With blocks of n steps that and the
    product with M_a cost O(n^4) a block for p = O(n^2) weights, O(n^3) a step on average.

    Args:
        block: steps of a block; "auto" takes as many as the state has numbers, n. The end of a batch ends a block, so
            that batches much shorter than n lose the gain in time and keep the gradient.
        max_megabytes: bound on the memory of M, for the whole batch.

    Shapes:
        the learner's own; the gradient lands in `.grad` of each parameter, added to what is there.

    Raises:
        UsageError: block is neither "auto" nor a positive whole number; M would be larger than max_megabytes (it is not
            allocated); or sequences act on one another.

    Differs from the paper: gradients of a batch are added up before the weights change; any network, several sequences
    at once.

    Reference:
        J. Schmidhuber. A fixed size storage O(n^3) time complexity learning algorithm for fully recurrent continually
        running networks. Neural Computation 4 (1992) 243-248.

    Example:
        >>> BlockRTRL(20).cost(hidden=20, parameters=400, steps=50).time
        8000.0
    """

    name = "blockrtrl"
    exact = True
    unbiased = True

    def __init__(self, block: int | str = "auto", max_megabytes: int = MEGABYTES):
        if block != "auto" and (isinstance(block, bool) or not isinstance(block, int) or block < 1):
            raise UsageError(f"block is {block!r}", where="rule blockrtrl", need="'auto' or a positive whole number")
        self.block, self.max_megabytes = block, check_bound(max_megabytes, "blockrtrl")

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """n sweeps of O(p) and one product of O(n^2 p) a block."""
        block = hidden if self.block == "auto" else int(self.block)
        formula = "time O(n p) a step (blocks of n steps), memory O(n p)"
        return Cost(hidden * parameters * (hidden / block + 1) / 2, float(hidden * parameters), formula)

    def span(self, stream: Stream, left: int) -> int:
        return int(self.block) if self.block != "auto" else stream.kept.get("units", 1)

    def carry(self, step: Step, stream: Stream, function: StepFunction) -> Any:
        stream.kept["units"] = max(1, step.units)
        return carry_dense(step, stream.influence, self.max_megabytes, self.name)

    def contract(self, row: Tensor, influence: Any) -> Blocks:
        return contract(row, influence)

    def __repr__(self) -> str:
        given = [] if self.block == "auto" else [f"block={self.block}"]
        given += [] if self.max_megabytes == MEGABYTES else [f"max_megabytes={self.max_megabytes}"]
        return f"BlockRTRL({', '.join(given)})"
