"""Real-time recurrent learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.rules.online import OnlineRule, Stream, cells_of
from recurra.learn.rules.sparse_influence import SparseInfluence, carried, contracted, guess_elementwise, moved
from recurra.learn.rules.step_function import Blocks, Step, StepFunction
from recurra.learn.rules.unit_influence import carry_own, carry_whole, find_reach, widths_of
from recurra.learn.rules.unit_steps import UnitSteps
from recurra.types import Cost

MEGABYTES = 2048


class RTRL(OnlineRule):
    """The exact gradient, going forward only: the state's derivative by every weight is carried along.

    Equations:
        M_t = J_t M_{t-1} + F_t,  dL_t/dw = (the part past the state) + (dL_t/ds_t) M_t,

    where s is the state of the whole network (all layers together), J_t = ds_t/ds_{t-1}, F_t the derivative of s_t by
    the weights w with s_{t-1} held, and M = ds/dw the influence matrix, (n, p), one a sequence.

    In a network with one cell whose units each depend on their own last values only (`cell.elementwise`) a weight of
    the cell influences its own unit alone. Then only those entries of M are kept and computed: the same gradient with
    time and memory that grow as the number of weights. This form is chosen by itself; each step is checked against a
    random product of the whole derivative, and entries that were not foreseen are taken up.

    Args:
        max_megabytes: bound on the memory of M, for the whole batch.

    Shapes:
        the learner's own; the gradient lands in `.grad` of each parameter, added to what is there.

    Raises:
        UsageError: M would be larger than max_megabytes (it is not allocated), or sequences act on one another.

    Differs from the paper: gradients of a batch are added up before the weights change; several sequences at once,
    each with an M of its own; any network, where the paper has one fully recurrent layer.

    Reference:
        R. J. Williams, D. Zipser. A learning algorithm for continually running fully recurrent neural networks. Neural
        Computation 1 (1989) 270-280.
        M. C. Mozer. A focused backpropagation algorithm for temporal pattern recognition. Complex Systems 3 (1989)
        349-381 (the element-wise form).

    Example:
        >>> RTRL().cost(hidden=8, parameters=100, steps=50).memory
        800.0
    """

    name = "rtrl"
    exact = True
    unbiased = True

    def __init__(self, max_megabytes: int = MEGABYTES):
        self.max_megabytes = check_bound(max_megabytes, "rtrl")

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """J M takes n^2 p operations; M has n p numbers."""
        formula = "time O(n^2 p) a step, memory O(n p); element-wise cells: O(p) both"
        return Cost(float(hidden**2 * parameters), float(hidden * parameters), formula)

    def listen(self, learner: nn.Module, stream: Stream) -> None:
        cells = cells_of(learner)
        stream.kept["elementwise"] = cells[0].hidden_size if len(cells) == 1 and cells[0].elementwise else 0

    def takes_units(self, stream: Stream) -> bool:
        return not stream.kept["elementwise"]

    def carry(self, step: Step | UnitSteps, stream: Stream, function: StepFunction) -> Any:
        if isinstance(step, UnitSteps):
            return carry_units_whole(step, stream, self.max_megabytes, self.name)
        if stream.kept["elementwise"]:
            return carry_sparse(step, stream, None, self.max_megabytes, self.name)
        return carry_dense(step, stream.influence, self.max_megabytes, self.name)

    def contract(self, row: Tensor, influence: Any) -> Blocks:
        return contract(row, influence)

    def __repr__(self) -> str:
        return "RTRL()" if self.max_megabytes == MEGABYTES else f"RTRL(max_megabytes={self.max_megabytes})"


@dataclass
class Carried:
    """Kept entries of M with the sizes of the weights they belong to."""

    entries: SparseInfluence
    sizes: list[int]


def carry_sparse(step: Step, stream: Stream, reach: int | None, max_megabytes: int, name: str) -> Carried:
    """One step of the kept entries within `reach` steps (None: all that are ever reached)."""
    if "pattern" not in stream.kept and stream.kept.get("elementwise"):
        stream.kept["pattern"] = guess_elementwise(step, stream.kept["elementwise"])
    last = stream.influence.entries if stream.influence is not None else None

    def check(entries: int) -> None:
        text = f"the influence matrix has {entries:,} entries to keep"
        refuse_size(step.size, step.after, text, entries, max_megabytes, name)

    made = carried(step, last, stream.kept.get("pattern"), reach, check)
    stream.kept["pattern"] = made.pattern
    return Carried(made, [weight.numel() for weight in step.weights])


def carry_dense(step: Step, last: Blocks | None, max_megabytes: int, name: str) -> Blocks:
    """M after a span, (batch, n, weight's size) a weight that the state depends on."""
    check_memory(step, max_megabytes, name)
    jacobian, made = step.derivatives()
    for number, block in (last or {}).items():
        made[number] = torch.baddbmm(made[number], jacobian, block) if number in made else jacobian @ block
    return made


def carry_units_whole(steps: UnitSteps, stream: Stream, max_megabytes: int, name: str) -> Blocks:
    """M after steps of one cell whose units meet in products, by the form of J and F that such a cell has."""
    n, count = steps.parts * steps.units, sum(widths_of(steps).values())
    text = f"the influence matrix has n p = {n} x {count} numbers"
    refuse_size(steps.size, steps.like, text, n * count, max_megabytes, name)
    influence, steps.gathered = carry_whole(steps, stream.influence)
    return influence


def carry_units_own(steps: UnitSteps, stream: Stream, sizes: list[int], max_megabytes: int, name: str) -> Carried:
    """The kept entries after such steps, where a weight's are those of its own unit that it reaches in one step."""

    def check(entries: int) -> None:
        text = f"the influence matrix has {entries:,} entries to keep"
        refuse_size(steps.size, steps.like, text, entries, max_megabytes, name)

    known = stream.kept.get("reach")
    reach = find_reach(steps, known, sizes, check)
    last = stream.influence.entries if stream.influence is not None else None
    if last is not None and last.pattern is not reach.pattern:
        last = moved(last, reach.pattern, steps.size, steps.parts * steps.units, sum(sizes))
    stream.kept["reach"], stream.kept["pattern"] = reach, reach.pattern
    made, steps.gathered = carry_own(steps, reach, last)
    return Carried(made, sizes)


def contract(row: Tensor, influence: Any) -> Blocks:
    """A row vector (batch, n) times M, summed over sequences, for both forms of M."""
    if isinstance(influence, Carried):
        return contracted(row, influence.entries, influence.sizes)
    return {number: torch.einsum("bn,bnp->p", row, block) for number, block in influence.items()}


def check_memory(step: Step, max_megabytes: int, name: str) -> None:
    """Refuse, before it is allocated, an influence matrix above the bound."""
    if not step.after.requires_grad:
        return
    reached = torch.autograd.grad(
        step.after, step.weights, torch.ones_like(step.after), retain_graph=True, allow_unused=True
    )
    count = sum(part.numel() for part in reached if part is not None)
    text = f"the influence matrix has n p = {step.units} x {count} numbers"
    refuse_size(step.size, step.after, text, step.units * count, max_megabytes, name)


def refuse_size(size: int, like: Tensor, text: str, entries: int, max_megabytes: int, name: str) -> None:
    """Refuse so many entries for each of `size` sequences, if they are above the bound."""
    megabytes = size * entries * like.element_size() / 2**20
    if megabytes > max_megabytes:
        raise UsageError(
            f"{text} for each of {size} sequences, {megabytes:,.0f} MB",
            where=f"rule {name}",
            need=f"at most max_megabytes = {max_megabytes}",
            cure="use snap(1), which keeps O(p) numbers, or bptt; or fewer sequences a batch, or a higher bound "
            "(blockrtrl needs less time than rtrl, and as much memory)",
        )


def check_bound(value: Any, name: str) -> int:
    """A positive whole number of megabytes."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(
            f"max_megabytes is {value!r}", where=f"rule {name}", need="a positive whole number of megabytes"
        )
    return value
