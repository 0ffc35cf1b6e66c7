"""How good an architecture is: short training on a problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.search.architecture_graph import CellGraph

Batch = tuple[Tensor, Tensor]
"""x (time, batch, features), and what the loss compares the outputs with."""


class ShortTraining:
    """The fitness of a graph: minus the loss that its cell reaches after a short training by gradient descent.

    Equations:
        fitness = -min over learning rates of the mean, over `seeds` first weights, of loss(outputs, target) on fresh
        batches after `steps` steps of Adam with gradients clipped at norm `clip`; -infinity where it is not finite.

    Args:
        batch: a batch from a generator: x (time, batch, features) and the target.
        loss: of the outputs and the target, one number. Outputs are (time, batch, outputs), or with `last` those of the
            last step, (batch, outputs).
        outputs: features of the linear read-out.
        hidden_size: of the cell.
        steps: training steps.
        rates: learning rates that are tried; the best counts.
        last: whether the last step alone is read.
        clip: largest norm of a gradient.
        seeds: trainings for each rate.
        test: batches that the reached loss is the mean over.
        backend: of `recurra.nn.Recurrent`: "auto", or "fused" to compile each cell, which pays for long trainings.

    Raises:
        UsageError: an argument is out of range.

    Example:
        >>> from recurra.learn.search.architecture_graph import elman_graph
        >>> def batch(generator):  # the sum of four inputs
        ...     x = torch.rand(4, 16, 1, generator=generator)
        ...     return x, x.sum(0)
        >>> fitness = ShortTraining(batch, nn.functional.mse_loss, outputs=1, hidden_size=8, steps=40, last=True)
        >>> fitness(elman_graph()) > -0.3
        True
    """

    def __init__(
        self,
        batch: Callable[[torch.Generator], Batch],
        loss: Callable[[Tensor, Tensor], Tensor],
        outputs: int,
        hidden_size: int = 16,
        steps: int = 200,
        rates: Sequence[float] = (0.01,),
        last: bool = False,
        clip: float = 1.0,
        seeds: int = 1,
        test: int = 4,
        backend: str = "auto",
    ) -> None:
        whole = dict(outputs=outputs, hidden_size=hidden_size, steps=steps, seeds=seeds, test=test)
        for name, value in whole.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} is {value!r}", where="ShortTraining", need="a whole number, at least 1")
        if not rates or not all(rate > 0 for rate in rates) or clip <= 0:
            need = "one learning rate or more, and all above 0"
            raise UsageError(f"rates is {rates!r}, clip {clip!r}", where="ShortTraining", need=need)
        self.batch, self.loss, self.last, self.clip = batch, loss, last, clip
        self.outputs, self.hidden_size, self.steps = outputs, hidden_size, steps
        self.rates, self.seeds, self.test, self.backend = tuple(rates), seeds, test, backend

    def __call__(self, graph: CellGraph) -> float:
        reached = []
        for rate in self.rates:
            losses = [self._train(graph, rate, seed) for seed in range(self.seeds)]
            mean = sum(losses) / len(losses)
            reached.append(-mean if math.isfinite(mean) else -math.inf)
        return max(reached)

    def _train(self, graph: CellGraph, rate: float, seed: int) -> float:
        # Here, so that this module can be imported without the compiler.
        from recurra.learn.search.architecture_cell import GraphCell
        from recurra.nn import Recurrent

        generator = torch.Generator().manual_seed(seed)
        x, _ = self.batch(generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layer = Recurrent(GraphCell, x.shape[-1], self.hidden_size, backend=self.backend, graph=graph)
            read = nn.Linear(self.hidden_size, self.outputs)
        weights = [*layer.parameters(), *read.parameters()]
        descent = torch.optim.Adam(weights, lr=rate)

        def error() -> Tensor:
            x, target = self.batch(generator)
            y, _ = layer(x)
            return self.loss(read(y[-1] if self.last else y), target)

        for _ in range(self.steps):
            descent.zero_grad()
            value = error()
            if not bool(value.isfinite()):
                return math.inf
            value.backward()
            nn.utils.clip_grad_norm_(weights, self.clip)
            descent.step()
        with torch.no_grad():
            return float(torch.stack([error() for _ in range(self.test)]).mean())
