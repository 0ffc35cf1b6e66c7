"""Sparse n-step approximation of real-time recurrent learning."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recurra.errors import UsageError
from recurra.learn.rules.online import OnlineRule, Stream
from recurra.learn.rules.rtrl import MEGABYTES, carry_sparse, carry_units_own, check_bound, contract
from recurra.learn.rules.step_function import Blocks, Step, StepFunction
from recurra.learn.rules.unit_steps import UnitSteps
from recurra.types import Cost


class SnAp(OnlineRule):
    """Sparse n-step approximation: of the influence matrix only what a weight reaches within n steps is kept.

    Equations:
        M_t = P_n * (J_t M_{t-1} + F_t), where P_n is 1 at (unit, weight) if the weight acts on the unit within n steps,
        else 0. With n = 1 in a simple recurrent network: M_ij = J_ii M_ij + F_ij, one number a weight.

    Which weight acts on which unit is read off the derivatives of the steps that are taken: an entry that is exactly
    zero is absent, and the pattern grows where a later step shows more. With weights pruned to zero the patterns of
    n = 2, 3, ... stay sparse too. Where n reaches everything this is real-time recurrent learning.

    Args:
        n: steps of reach, at least 1.
        max_megabytes: bound on the memory of the kept entries, for the whole batch.

    Shapes:
        the learner's own; the gradient lands in `.grad` of each parameter, added to what is there.

    Raises:
        UsageError: n is not a positive whole number, the kept entries would take more than max_megabytes (they are not
            allocated), or sequences act on one another.

    Differs from the paper: gradients of a batch are added up before the weights change; the pattern is measured, not
    derived from the cell's formula. The Jacobian of a dense network takes n backward passes of O(n^2); the kept entries
    O(p), for n = 1. Finding the pattern takes a table of n p booleans for a moment.
    With n = 1, up to 32 steps of one cell whose units meet only in products with weights are summed at once: the same
    numbers, in another order.

    Reference:
        J. Menick, E. Elsen, U. Evci, S. Osindero, K. Simonyan, A. Graves. A practical sparse approximation for real
        time recurrent learning. ICLR (2021), arXiv:2006.07232.

    Example:
        >>> SnAp(1).cost(hidden=8, parameters=100, steps=50).memory
        100.0
    """

    name = "snap"

    def __init__(self, n: int, max_megabytes: int = MEGABYTES):
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise UsageError(f"n is {n!r}", where="rule snap(n)", need="a positive whole number", cure="write snap(1)")
        self.n, self.max_megabytes = n, check_bound(max_megabytes, "snap")

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """For n = 1 in a dense network; in a dense network every larger n keeps all of M."""
        time = hidden**3 + parameters if self.n == 1 else hidden**2 * parameters
        memory = parameters if self.n == 1 else hidden * parameters
        return Cost(float(time), float(memory), "snap(1): time O(n^3 + p) a step, memory O(p); larger n up to rtrl's")

    def takes_units(self, stream: Stream) -> bool:
        return self.n == 1

    def carry(self, step: Step | UnitSteps, stream: Stream, function: StepFunction) -> Any:
        if isinstance(step, UnitSteps):
            sizes = [weight.numel() for weight in function.weights]
            return carry_units_own(step, stream, sizes, self.max_megabytes, self.name)
        return carry_sparse(step, stream, self.n, self.max_megabytes, self.name)

    def contract(self, row: Tensor, influence: Any) -> Blocks:
        return contract(row, influence)

    def __repr__(self) -> str:
        more = "" if self.max_megabytes == MEGABYTES else f", max_megabytes={self.max_megabytes}"
        return f"SnAp({self.n}{more})"
