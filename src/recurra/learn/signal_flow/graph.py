"""Signal-flow graphs of discrete-time networks: nodes that add, and branches that transform."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from recurra.errors import UsageError

WHERE = "signal-flow graph"


@dataclass(frozen=True)
class Gain:
    """A branch that multiplies its signal by a weight.

    Attributes:
        source, target: nodes.
        weight: a weight's name, or a number.
        product: "element" (weight * signal) or "matrix" (W signal, with W (outputs, inputs)).
        transposed: whether the branch runs backward, in an adjoint graph: W^T signal.
    """

    source: str
    target: str
    weight: str | float = 1.0
    product: str = "element"
    transposed: bool = False


@dataclass(frozen=True)
class Delay:
    """A branch that gives at step t what stood at its source at step t - 1; in an adjoint graph, at step t + 1.

    Attributes:
        source, target: nodes.
        advance: z instead of z^-1.
    """

    source: str
    target: str
    advance: bool = False


@dataclass(frozen=True)
class Function:
    """A branch without memory that computes any function; one of several signals has several sources.

    Attributes:
        sources: nodes, in the order of the function's arguments.
        target: a node.
        call: the function, of tensors and differentiable.
        label: its name in drawings.
    """

    sources: tuple[str, ...]
    target: str
    call: Callable[..., Tensor]
    label: str = "f"


@dataclass(frozen=True)
class Derivative:
    """A branch of an adjoint graph: a function's derivative by one of its signals, at the recorded operating point.

    Attributes:
        source, target: nodes; the target is the function's source.
        of: the function.
        place: which of its signals.
    """

    source: str
    target: str
    of: Function
    place: int


Branch = Gain | Delay | Function | Derivative


def sources_of(branch: Branch) -> tuple[str, ...]:
    """The nodes that a branch reads."""
    return branch.sources if isinstance(branch, Function) else (branch.source,)


@dataclass(frozen=True)
class SignalFlowGraph:
    """A discrete-time network as nodes and branches.

    Equations:
        the signal of a node at step t is the sum of what its branches bring, and of what is put in there from outside;
        along a branch: w x(t) or W x(t) (gain), x(t-1) (delay), f(x(t), ...) (function).

    Args:
        inputs: nodes at which signals are put in.
        outputs: nodes that are read, and at which errors arrive.
        branches: gains, delays and functions; a loop holds at least one delay.
        constants: nodes whose signal is always the same.
        initial: for delays, what stands at their target at the first step; zero where absent.
        derived: functions of weights that give further weights, in an order in which each finds its sources.

    Shapes:
        signals (batch, anything), or any shapes that go together; a matrix gain takes the last dimension.

    Raises:
        UsageError: a node that is read is nobody's target; a loop has no delay; a product is unknown.

    Differs from the paper: a signal may be a whole tensor, with matrices as gains, and a function may have several
    signals, as the product of two; both stand for many branches between numbers.

    Reference:
        P. Campolucci, A. Uncini, F. Piazza. A signal-flow-graph approach to on-line gradient calculation. Neural
        Computation 12 (2000) 1901-1927.
        S. J. Mason. Feedback theory: some properties of signal flow graphs. Proceedings of the IRE 41 (1953) 1144-1156.

    Example:
        >>> import torch
        >>> graph = SignalFlowGraph(
        ...     inputs=("x",),
        ...     outputs=("y",),
        ...     branches=(Gain("x", "s", "w"), Gain("last", "s", "a"), Function(("s",), "y", torch.tanh, "tanh"),
        ...               Delay("y", "last")),
        ... )
        >>> graph.nodes, graph.weights
        (('x', 's', 'last', 'y'), ('w', 'a'))
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    branches: Sequence[Branch]
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    initial: Mapping[str, Tensor] = field(default_factory=dict)
    derived: Sequence[Function] = ()

    def __post_init__(self) -> None:
        brought = {*self.inputs, *self.constants, *(branch.target for branch in self.branches)}
        for name in [*(node for branch in self.branches for node in sources_of(branch)), *self.outputs]:
            if name not in brought:
                raise UsageError(
                    f"node {name!r} is read, and nothing brings a signal there",
                    where=WHERE,
                    need="a branch to each node that is read, or its name among the inputs or constants",
                )
        for branch in self.branches:
            if isinstance(branch, Gain) and branch.product not in ("element", "matrix"):
                raise UsageError(f"product is {branch.product!r}", where=WHERE, need="'element' or 'matrix'")
        object.__setattr__(self, "_order", _order(self.branches))

    @property
    def order(self) -> Sequence[Branch]:
        """The branches without memory, each after all that bring a signal to where it begins."""
        return self._order  # type: ignore[attr-defined]

    @property
    def delays(self) -> list[Delay]:
        """The branches with memory."""
        return [branch for branch in self.branches if isinstance(branch, Delay)]

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes, in the order in which they are named."""
        named: dict[str, None] = dict.fromkeys([*self.inputs, *self.constants])
        for branch in self.branches:
            named.update(dict.fromkeys([*sources_of(branch), branch.target]))
        return tuple(named)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weights that must be given: those of gains, and those that further ones are derived from."""
        given: dict[str, None] = {}
        for function in self.derived:
            given.update(dict.fromkeys(function.sources))
        for branch in self.branches:
            if isinstance(branch, Gain) and isinstance(branch.weight, str):
                given[branch.weight] = None
        made = {function.target for function in self.derived}
        return tuple(name for name in given if name not in made)

    def to_dot(self) -> str:
        """The graph in the language of Graphviz: inputs and outputs as boxes, delays dashed.

        Example:
            >>> print(SignalFlowGraph(("x",), ("y",), (Gain("x", "y", "w"),)).to_dot())
            digraph signal_flow {
              rankdir=LR;
              "x" [shape=box];
              "y" [shape=box];
              "x" -> "y" [label="w"];
            }
        """
        lines = ["digraph signal_flow {", "  rankdir=LR;"]
        for node in self.nodes:
            shape = "box" if node in self.inputs or node in self.outputs else "circle"
            lines.append(f"  {_quoted(node)} [shape={'plain' if node in self.constants else shape}];")
        for branch in self.branches:
            style = ", style=dashed" if isinstance(branch, Delay) else ""
            for place, source in enumerate(sources_of(branch)):
                arrow = f"{_quoted(source)} -> {_quoted(branch.target)}"
                lines.append(f"  {arrow} [label={_quoted(_label(branch, place))}{style}];")
        return "\n".join([*lines, "}"])


def _order(branches: Sequence[Branch]) -> tuple[Branch, ...]:
    """Branches without memory, sorted so that a node is read when it is complete."""
    left = [branch for branch in branches if not isinstance(branch, Delay)]
    waiting: dict[str, int] = {}
    reads: dict[str, list[Any]] = {}
    for branch in left:
        waiting[branch.target] = waiting.get(branch.target, 0) + 1
        for node in set(sources_of(branch)):
            reads.setdefault(node, []).append(branch)
    needs = {id(branch): len([node for node in set(sources_of(branch)) if node in waiting]) for branch in left}
    ready = [branch for branch in left if not needs[id(branch)]]
    found: list[Branch] = []
    while ready:
        branch = ready.pop()
        found.append(branch)
        waiting[branch.target] -= 1
        if not waiting[branch.target]:
            for reader in reads.get(branch.target, ()):
                needs[id(reader)] -= 1
                if not needs[id(reader)]:
                    ready.append(reader)
    if len(found) < len(left):
        node = next(branch.target for branch in left if waiting[branch.target])
        raise UsageError(
            f"node {node!r} lies in, or behind, a loop without a delay",
            where=WHERE,
            need="at least one delay in every loop, so that each step follows from the one before it",
        )
    return tuple(found)


def _label(branch: Branch, place: int) -> str:
    if isinstance(branch, Gain):
        weight = branch.weight if isinstance(branch.weight, str) else f"{branch.weight:g}"
        return weight + ("^T" if branch.transposed and branch.product == "matrix" else "")
    if isinstance(branch, Delay):
        return "z" if branch.advance else "z^-1"
    function = branch if isinstance(branch, Function) else branch.of
    place = place if isinstance(branch, Function) else branch.place
    label = function.label + ("'" if isinstance(branch, Derivative) else "")
    return label if len(function.sources) == 1 else f"{label} {place + 1}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
