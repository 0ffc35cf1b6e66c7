"""A network's weights as one vector, and a population of vectors as stacked weights."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import ShapeError, UsageError


class WeightVector:
    """The weights of a module, in the order of `named_parameters`, as one vector, and back.

    Equations:
        vector = [w_1 .. w_k], each weight tensor row by row.

    Args:
        module: any cell, layer or network.
        names: of the parameters that take part, in any order; when absent all that require a gradient.

    Shapes:
        vector (dimension,), population (P, dimension), a stacked weight (P, *its shape).

    Attributes:
        names, shapes, sizes: of the parameters that take part, in the vector's order.
        dimension: the vector's length.

    Raises:
        UsageError: a name is not a parameter's, or none takes part.
        ShapeError: a vector or population does not fit.

    Example:
        >>> from recurra.cells import Elman
        >>> vector = WeightVector(Elman(1, 2, bias=False))
        >>> vector.names, vector.dimension
        (['weight_ih', 'weight_hh'], 6)
        >>> weights = vector.unflatten(torch.arange(6.0))
        >>> weights["weight_hh"]
        tensor([[2., 3.],
                [4., 5.]])
        >>> vector.stack(torch.zeros(10, 6))["weight_ih"].shape
        torch.Size([10, 2, 1])
    """

    def __init__(self, module: nn.Module, names: Iterable[str] | None = None) -> None:
        self.module = module
        known = dict(module.named_parameters())
        if names is None:
            wanted = {name for name, weight in known.items() if weight.requires_grad}
        else:
            wanted = set(names)
            unknown = sorted(wanted - set(known))
            if unknown:
                raise UsageError(
                    f"{unknown[0]!r} is no parameter", where="WeightVector", need="one of " + ", ".join(known)
                )
        self.names = [name for name in known if name in wanted]
        if not self.names:
            cure = "name the parameters that take part, as in WeightVector(module, names=[...])"
            raise UsageError(
                f"no parameter of {type(module).__name__} takes part",
                where="WeightVector",
                need="one or more",
                cure=cure,
            )
        self._weights = [known[name] for name in self.names]
        self.shapes = [weight.shape for weight in self._weights]
        self.sizes = [weight.numel() for weight in self._weights]
        self.dimension = sum(self.sizes)
        self._guard()

    def flatten(self, weights: dict[str, Tensor] | None = None) -> Tensor:
        """The vector of the module's present weights, or of the weights given by name."""
        parts = self._weights if weights is None else [weights[name] for name in self.names]
        return torch.cat([part.detach().reshape(-1) for part in parts])

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """The weights by name, in the module's number format and on its device."""
        if vector.shape != (self.dimension,):
            raise ShapeError(
                f"vector has shape {tuple(vector.shape)}", where="WeightVector.unflatten", need=f"({self.dimension},)"
            )
        return {name: part[0] for name, part in self.stack(vector.unsqueeze(0)).items()}

    def stack(self, population: Tensor) -> dict[str, Tensor]:
        """The weights of every row of a population by name, (P, *shape): what `torch.vmap` runs over."""
        if population.dim() != 2 or population.shape[1] != self.dimension:
            raise ShapeError(
                f"population has shape {tuple(population.shape)}",
                where="WeightVector.stack",
                need=f"(P, {self.dimension})",
            )
        parts = population.split(self.sizes, dim=1)
        return {
            name: part.to(weight.device, weight.dtype).reshape(-1, *weight.shape)
            for name, part, weight in zip(self.names, parts, self._weights, strict=True)
        }

    def write(self, vector: Tensor) -> None:
        """Put a vector's numbers into the module's weights."""
        with torch.no_grad():
            for name, value in self.unflatten(vector).items():
                self._weights[self.names.index(name)].copy_(value)

    def call(self, weights: dict[str, Tensor], *arguments: Any, **named: Any) -> Any:
        """The module's output with these weights in place of its own.

        In a thread other than the one that made the WeightVector, a copy of the module is used, made at that thread's
        first call: what changes later in weights that take no part is not seen there.
        """
        return torch.func.functional_call(self._own_module(), weights, arguments, named)

    def _own_module(self) -> nn.Module:
        # functional_call puts the weights into the module while it runs, so two threads must not share one.
        thread = threading.get_ident()
        if thread == self._home:
            return self.module
        with self._lock:
            if thread not in self._copies:
                self._copies[thread] = copy.deepcopy(self.module)
            return self._copies[thread]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_copies", "_home")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._guard()

    def _guard(self) -> None:
        self._home, self._lock, self._copies = threading.get_ident(), threading.Lock(), dict[int, nn.Module]()

    def neurons(self, hidden_size: int) -> list[list[int]]:
        """Gene positions of each hidden unit, as `ESP(neurons=...)` and `CoSyNE(segments=...)` take them.

        Row i, and row i of every further block of hidden_size rows (gates), of each weight goes to unit i; of a weight
        whose rows do not come in such blocks but that has hidden_size columns (a read-out), column i goes to unit i;
        what is left, such as a read-out's bias, is a group of its own.
        """
        groups: list[list[int]] = [[] for _ in range(hidden_size)]
        rest: list[int] = []
        first = 0
        for shape, size in zip(self.shapes, self.sizes, strict=True):
            places = range(first, first + size)
            first += size
            if len(shape) > 0 and shape[0] % hidden_size == 0:
                row = size // shape[0]
                for place in places:
                    groups[(place - places.start) // row % hidden_size].append(place)
            elif len(shape) > 1 and shape[-1] == hidden_size:
                for place in places:
                    groups[(place - places.start) % hidden_size].append(place)
            else:
                rest += places
        return [group for group in (*groups, rest) if group]


def learner_loss(vector: WeightVector, batch: Any) -> Callable[[dict[str, Tensor]], Tensor]:
    """A task's loss on a whole batch as a function of the weights, for `evaluate`; vector.module is the learner.

    Example:
        >>> class Constant(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.level = nn.Parameter(torch.zeros(()))
        ...     def forward(self, batch, start, stop, state):
        ...         return (self.level - batch.target).square(), state
        >>> class Batch:
        ...     steps, target = 1, 3.0
        >>> loss = learner_loss(WeightVector(Constant()), Batch())
        >>> float(loss({"level": torch.tensor(1.0)}))
        4.0
    """

    def loss(weights: dict[str, Tensor]) -> Tensor:
        return vector.call(weights, batch, 0, batch.steps, None)[0]

    return loss
