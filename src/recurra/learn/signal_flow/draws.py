"""Random draws of a traced step, dropout's say, taken as constants of that step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode


class Draws(TorchDispatchMode):
    """Keeps what each random operation gave while a step was traced, in order: a second draw would differ."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Any, Tensor]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if is_draw(func):
            self.made.append((func, result))
        return result

    def values(self, graph: fx.Graph) -> dict[fx.Node, Tensor]:
        """What each random operation of a trace gave; none where the trace does not hold the same ones."""
        nodes = [node for node in graph.nodes if node.op == "call_function" and is_draw(node.target)]
        if [node.target for node in nodes] != [func for func, _ in self.made]:
            return {}
        return {node: value for node, (_, value) in zip(nodes, self.made, strict=True) if isinstance(value, Tensor)}


def is_draw(function: Callable[..., Any] | str) -> bool:
    """Whether an operation draws random numbers."""
    return torch.Tag.nondeterministic_seeded in getattr(function, "tags", ())


def depends_on_numbers(node: fx.Node, fixed: Any) -> bool:
    """Whether a random operation reads numbers that change with the weights, and not just a tensor's shape."""
    aten = torch.ops.aten
    if node.target in (aten.bernoulli.p, aten.rand_like.default, aten.randn_like.default):
        return False
    return any(source not in fixed for source in node.all_input_nodes)
