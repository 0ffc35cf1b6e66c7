"""Architecture search: recurrent cells whose step is changed, tried and kept when it is good."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch

from recurra.errors import ShapeError, UsageError
from recurra.learn.search.architecture_cell import GraphCell
from recurra.learn.search.architecture_graph import CellGraph, gru_graph, lstm_graph
from recurra.learn.search.architecture_mutation import canonical, graph_from, mutated, plain_form


class ArchitectureSearch:
    """Search among recurrent cells by mutation of the graph of their step.

    `ask()` gives graphs, each of them a cell as `GraphCell(input_size, hidden_size, graph)`, and `tell(fitness)` takes
    how good each is; `ShortTraining` works that out. Higher is better, and NaN is the worst.

    Equations:
        the first candidates are the roots; a later one is a graph drawn uniformly from the `keep` best so far, of
        whose nodes each is changed with probability p, p uniform in [0, `rate`] for each candidate. A candidate that
        was proposed before, that has more than `nodes` nodes, that is not recurrent, or that is not sound (see
        `sound`) is drawn again.

    Args:
        population: candidates of a generation after the first.
        roots: graphs to begin from; LSTM and GRU when absent.
        keep: how many of the best are kept as parents.
        rate: the highest probability of a change at a node.
        nodes: the most nodes of a graph.
        accept: a further test that a candidate must pass before it is proposed, cheap beside its training.
        seed: of the search's own generator.

    Attributes:
        best: the best graph and its fitness.
        kept: the best graphs, best first, with their fitness.
        evaluations, generation, stale: as in `Search`.

    Raises:
        UsageError: an argument is out of range, `tell` comes before `ask`, or no new candidate was found.
        ShapeError: the fitness does not fit.

    Differs from the paper: the paper draws again and again between a new architecture and another setting of the
    hyper-parameters of one that it knows, and filters by a memorisation task; here each candidate is evaluated once,
    its learning rates included (`ShortTraining`), and the filter is the user's `accept`.

    Reference:
        R. Jozefowicz, W. Zaremba, I. Sutskever. An empirical exploration of recurrent network architectures. ICML
        (2015) 2342-2350; J. Bayer, D. Wierstra, J. Togelius, J. Schmidhuber. Evolving memory cell structures for
        sequence learning. ICANN (2009) 755-764.

    Example:
        >>> search = ArchitectureSearch(population=4, seed=0)
        >>> for _ in range(3):  # the fewest nodes are wanted here
        ...     search.tell([-len(graph.nodes) for graph in search.ask()])
        >>> search.evaluations, search.best[0].recurrent
        (10, True)
    """

    name: ClassVar[str] = "architecture"

    def __init__(
        self,
        population: int = 10,
        roots: Sequence[CellGraph] | None = None,
        keep: int = 100,
        rate: float = 0.3,
        nodes: int = 60,
        accept: Callable[[CellGraph], bool] | None = None,
        seed: int = 0,
    ) -> None:
        whole = dict(population=(population, 1), keep=(keep, 1), nodes=(nodes, 1), seed=(seed, 0))
        for name, (value, low) in whole.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                need = f"a whole number, at least {low}"
                raise UsageError(f"{name} is {value!r}", where="ArchitectureSearch", need=need)
        if not isinstance(rate, int | float) or not 0.0 < rate <= 1.0:
            raise UsageError(f"rate is {rate!r}", where="ArchitectureSearch", need="a number above 0, at most 1")
        self.population, self.keep, self.rate, self.nodes, self.accept = population, keep, rate, nodes, accept
        self.roots = [lstm_graph(), gru_graph()] if roots is None else [canonical(graph) for graph in roots]
        if not self.roots:
            raise UsageError("roots is empty", where="ArchitectureSearch", need="one graph or more to begin from")
        self.generator = torch.Generator().manual_seed(seed)
        self.kept: list[tuple[CellGraph, float]] = []
        self.evaluations = self.generation = self.stale = 0
        self._seen: set[CellGraph] = set()
        self._pending: list[CellGraph] | None = None

    @property
    def best(self) -> tuple[CellGraph | None, float]:
        """The best graph so far and its fitness; None and minus infinity before the first `tell`."""
        return self.kept[0] if self.kept else (None, -math.inf)

    def ask(self) -> list[CellGraph]:
        """The graphs whose fitness is wanted."""
        if self._pending is None:
            self._pending = list(self.roots) if self.generation == 0 else self._candidates()
            self._seen.update(self._pending)
        return list(self._pending)

    def tell(self, fitness: Any) -> None:
        """Take the fitness of each graph that `ask` gave; higher is better."""
        if self._pending is None:
            raise UsageError(
                "tell came before ask",
                where="ArchitectureSearch",
                need="graphs to tell the fitness of",
                cure="call ask(), evaluate its graphs, then tell their fitness once",
            )
        given = torch.as_tensor(fitness).detach().to("cpu", torch.float64)
        if given.shape != (len(self._pending),):
            need = f"({len(self._pending)},), one number for each graph that ask() gave"
            raise ShapeError(f"fitness has shape {tuple(given.shape)}", where="ArchitectureSearch", need=need)
        told = torch.where(given.isnan(), -math.inf, given).tolist()
        before = self.best[1]
        self.kept = sorted([*self.kept, *zip(self._pending, told, strict=True)], key=lambda pair: -pair[1])[: self.keep]
        self.evaluations += len(told)
        self.generation += 1
        self.stale = 0 if self.best[1] > before else self.stale + 1
        self._pending = None

    def _candidates(self) -> list[CellGraph]:
        found: list[CellGraph] = []
        for _ in range(1000 * self.population):
            if len(found) == self.population:
                return found
            parent, _ = self.kept[self._draw(len(self.kept))]
            graph = mutated(parent, self._chance, self._draw, self.rate * self._chance())
            if graph is None or len(graph.nodes) > self.nodes or graph in self._seen or graph in found:
                continue
            if sound(graph) and (self.accept is None or self.accept(graph)):
                found.append(graph)
        raise UsageError(
            f"{1000 * self.population} changes gave {len(found)} new candidates",
            where="ArchitectureSearch.ask",
            need=f"{self.population}",
            cure="raise `nodes` or `rate`, or let `accept` pass more",
        )

    def _chance(self) -> float:
        return float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def _draw(self, count: int) -> int:
        return int(self._chance() * count)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly from here, in a search built with the same arguments."""
        pending = None if self._pending is None else [plain_form(graph) for graph in self._pending]
        return {
            "kept": [[plain_form(graph), fitness] for graph, fitness in self.kept],
            "seen": [plain_form(graph) for graph in self._seen],
            "counts": [self.evaluations, self.generation, self.stale],
            "pending": pending,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.kept = [(graph_from(plain), fitness) for plain, fitness in state["kept"]]
        self._seen = {graph_from(plain) for plain in state["seen"]}
        self.evaluations, self.generation, self.stale = state["counts"]
        self._pending = None if state["pending"] is None else [graph_from(plain) for plain in state["pending"]]
        self.generator.set_state(state["generator"])

    def __repr__(self) -> str:
        counts = f"generation={self.generation}, evaluations={self.evaluations}"
        return f"ArchitectureSearch(population={self.population}, {counts})"


def sound(graph: CellGraph, steps: int = 30, largest: float = 1e3) -> bool:
    """Whether a small cell of the graph stays bounded for some steps, and its output follows x and has a gradient.

    Weights and inputs are drawn from a generator of its own: the answer for a graph is always the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cell = GraphCell(2, 4, graph, dtype=torch.float64)
        x = torch.randn(steps, 3, 2, dtype=torch.float64)
    state, said = cell.initial_state(3), []
    first = x[0].requires_grad_()
    for step in (first, *x[1:]):
        y, state = cell(step, state)
        said.append(y)
    y = torch.stack(said)
    if not bool(y.isfinite().all()) or float(y.detach().abs().max()) > largest or not y.requires_grad:
        return False
    (slope,) = torch.autograd.grad(y.sum(), first, allow_unused=True)
    varies = float((y[-1].detach() - y[-1].detach().mean(0)).abs().max()) > 1e-6
    return varies and slope is not None and bool(slope.isfinite().all()) and bool((slope != 0).any())
