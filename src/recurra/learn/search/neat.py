"""NEAT: networks whose graph is evolved together with their weights."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from recurra.errors import UsageError
from recurra.learn.search.base import Search
from recurra.learn.search.neat_cell import NeatCell, cell_of
from recurra.learn.search.neat_genes import Choices, GeneTable, cross, dense_weights, hidden_nodes
from recurra.learn.search.neat_parents import Parents
from recurra.learn.search.neat_species import Compatibility, allot, speciate
from recurra.learn.search.neat_structure import add_connections, split_connections
from recurra.learn.search.neat_weights import WeightMutation

NONLINEARITIES = ("logistic", "tanh")


class NEAT(Search):
    """NeuroEvolution of augmenting topologies: a population of growing recurrent networks, parted into species.

    A population is asked for as one tensor: a row holds the weights of a `NeatCell` with room for `nodes` nodes, 0
    where the genome has no enabled connection. So `WeightVector(search.template)`, `evaluate` and `run_search` serve
    it as they serve every other search, the networks keep their state between steps as every cell does, and all of
    them run as one batch. `network()` is the best one as a cell of its own size.

    Equations:
        distance  delta = excess E / N + disjoint D / N + difference W (E, D: excess and disjoint genes; W: mean
            difference of the weights of matching genes; N: genes of the larger genome, 1 where both have under 20);
        species: the first whose representative, drawn from its members of the last generation, is nearer than
            `threshold`; offspring of a species in proportion to sum_i f_i / (its size);
        parents: the best share `survival` of a species, drawn uniformly; a share `asexual` of the offspring has one
            parent, a share `interspecies` of the others a second parent of another species. Matching genes come from
            either parent, or (share `averaged`) are averaged; the others from the fitter parent, each from either
            where they are equally fit; a gene disabled in a parent is so with probability `stays_disabled`;
            a share `unmutated` of the offspring of two different parents is left at that;
        mutation: with probability `node_rate` a connection is split by a new node (weight 1 before, the old weight
            behind it); else with probability `connection_rate` two nodes are joined; else with probability
            `weight_rate` each weight moves by a number uniform in +-`step`, or (share `replaced`) is drawn anew in
            +-`spread`, but not beyond +-`largest`. In a share `severe` of these genomes .1 of the weights stay and .2
            are drawn anew in +-`step`;
        the champion of a species of more than `elite_size` passes on unchanged; a species without a better network for
            `stagnation` generations has no offspring; where none is better at all for `refocus` generations, only the
            two best species have.

    Args:
        inputs: features that the networks see, besides the bias.
        outputs: output nodes.
        nodes: the most nodes of a network, outputs included.
        population, spread, seed, dtype: as in `Search`; first weights are uniform in +-spread.
        nonlinearity: of the nodes, "logistic" (steepened, as in the paper) or "tanh".
        bias: the value of the bias node; rows of weights, and `network()`, hold its product with the evolved weights.
        threshold, excess, disjoint, difference: of the distance.
        survival, asexual, interspecies, averaged, unmutated, stays_disabled: as above.
        weight_rate, step, replaced, severe, largest, node_rate, connection_rate: as above.
        elite_size, stagnation, refocus: as above.

    Shapes:
        population (population, dimension), dimension = nodes (inputs + nodes + 1).

    Attributes:
        template: a cell with room for every network of the search.
        species: number of species at present.

    Raises:
        UsageError: an argument is out of range, or a fitness is negative, which shares cannot be made of.

    Differs from the paper: a new connection between the same two nodes keeps its historical marking for as long as
    any genome holds it, and not within a generation only: no genome then holds a connection twice. New connections are
    drawn from all that are lacking, recurrent or not. The bias's connections are not split. The values of `survival`,
    `step`, `averaged` and `unmutated`, which the paper does not give, are those of the parameter file that its author
    published with his program for this experiment; the rates of mutation and the distance's coefficients are those
    given for two poles without velocities. That a genome is mutated in one way at a time, and what `severe` and
    `largest` do (nothing, unless asked for), is from that program too. Networks have at most `nodes` nodes.

    Reference:
        K. O. Stanley, R. Miikkulainen. Evolving neural networks through augmenting topologies. Evolutionary
        Computation 10 (2002) 99-127.

    Example:
        >>> from recurra.learn.search import MaxGenerations, WeightVector, evaluate, run_search
        >>> search = NEAT(inputs=1, population=40, nodes=4, spread=2.0, seed=0)
        >>> vector, x = WeightVector(search.template), torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        >>> def fitness(weights):  # the output is to be 1 for 0, and 0 for 1
        ...     y, _ = vector.call(weights, x, search.template.initial_state(2))
        ...     return 1 - (y - (1 - x)).square().mean()
        >>> outcome = run_search(search, lambda rows: evaluate(rows, fitness, vector=vector), MaxGenerations(10))
        >>> outcome.best.fitness > 0.95
        True
        >>> search.network().hidden_size <= 4
        True
    """

    name: ClassVar[str] = "neat"

    def __init__(
        self,
        inputs: int,
        outputs: int = 1,
        nodes: int = 12,
        population: int = 150,
        spread: float = 1.0,
        nonlinearity: str = "logistic",
        bias: float = 1.0,
        threshold: float = 4.0,
        excess: float = 1.0,
        disjoint: float = 1.0,
        difference: float = 3.0,
        survival: float = 0.4,
        asexual: float = 0.25,
        interspecies: float = 0.001,
        averaged: float = 0.4,
        unmutated: float = 0.2,
        stays_disabled: float = 0.75,
        weight_rate: float = 0.8,
        step: float = 1.8,
        replaced: float = 0.1,
        severe: float = 0.0,
        largest: float = math.inf,
        node_rate: float = 0.03,
        connection_rate: float = 0.3,
        elite_size: int = 5,
        stagnation: int = 15,
        refocus: int = 20,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.where = type(self).__name__
        self.inputs, self.outputs = self._whole("inputs", inputs), self._whole("outputs", outputs)
        self.nodes = self._whole("nodes", nodes, low=self.outputs)
        super().__init__(self.nodes * (self.inputs + self.nodes + 1), population, spread, seed=seed, dtype=dtype)
        self._whole("population", population, low=2)
        self.nonlinearity = self._one_of("nonlinearity", nonlinearity, NONLINEARITIES)
        self.bias = self._positive("bias", bias)
        self.threshold = self._positive("threshold", threshold)
        coefficients = dict(excess=excess, disjoint=disjoint, difference=difference)
        self._compatibility = Compatibility(**{name: self._number(name, c, 0.0) for name, c in coefficients.items()})
        self.survival = self._number("survival", self._positive("survival", survival), 0.0, 1.0)
        shares = dict(asexual=asexual, interspecies=interspecies, averaged=averaged, stays_disabled=stays_disabled)
        shares |= dict(unmutated=unmutated, severe=severe, replaced=replaced)
        shares |= dict(weight_rate=weight_rate, node_rate=node_rate, connection_rate=connection_rate)
        self.shares = {name: self._number(name, value, 0.0, 1.0) for name, value in shares.items()}
        self._move_weights = WeightMutation(
            step=self._positive("step", step),
            spread=self.spread,
            replaced=self.shares["replaced"],
            severe=self.shares["severe"],
            largest=self._number("largest", largest, 0.0),
        )
        self.elite_size = self._whole("elite_size", elite_size, low=0)
        self.stagnation, self.refocus = self._whole("stagnation", stagnation), self._whole("refocus", refocus)
        with torch.random.fork_rng(devices=[]):  # its first weights are of no use, and draw from the global generator
            self.template = NeatCell(self.inputs, self.nodes, self.outputs, self.nonlinearity, dtype=dtype)
        self._genes = self._first_genes()
        self._member_of = self._parted(self._genes.rows(slice(0, 0)))
        self._record = torch.full((self.species,), -math.inf, dtype=torch.float64)
        self._since = torch.zeros(self.species, dtype=torch.long)
        self._waited = 0
        self._newest_node = self.inputs + self.outputs
        self._newest_marking = self._genes.marking.shape[1] - 1

    @property
    def species(self) -> int:
        """Number of species at present."""
        return int(self._member_of.max()) + 1

    def network(self, weights: Tensor | None = None) -> NeatCell:
        """The best network so far, or that of a row of a population, as a cell of just its own nodes."""
        row = self.best.vector if weights is None else weights
        if row is None:
            cure = "call ask() and tell(fitness) first, or give a row of ask()"
            raise UsageError("no network has a fitness yet", where="NEAT.network", need="a best network", cure=cure)
        return cell_of(row.to(self.dtype), self.inputs, self.outputs, self.nodes, self.nonlinearity)

    def _first_genes(self) -> GeneTable:
        """Every input and the bias joined to every output, and no hidden node."""
        source = torch.arange(self.inputs + 1).repeat_interleave(self.outputs)
        target = torch.arange(self.inputs + 1, self.inputs + 1 + self.outputs).repeat(self.inputs + 1)
        marking, source, target = (
            row.repeat(self.population, 1) for row in (torch.arange(len(source)), source, target)
        )
        weight = self.spread * (2.0 * self._uniform(*marking.shape) - 1.0)
        return GeneTable(marking, source, target, torch.ones_like(weight, dtype=torch.bool), weight)

    def _parted(self, representatives: GeneTable) -> Tensor:
        """The species of each genome."""
        return speciate(self._genes, representatives, self._compatibility, self.threshold)

    def _propose(self) -> Tensor:
        rows = dense_weights(self._genes, self.inputs, self.outputs, self.nodes)
        rows[:, -self.nodes :] *= self.bias
        return rows

    def _checked(self, fitness: Tensor) -> Tensor:
        worst = float(fitness[fitness.isfinite()].min()) if bool(fitness.isfinite().any()) else 0.0
        if worst < 0:
            raise UsageError(
                f"a fitness is {worst:g}",
                where="NEAT",
                need="fitness that is not negative, as species share offspring in proportion to it",
                cure="use a fitness such as 1/mse, or add a constant",
            )
        return fitness

    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        finite = fitness[fitness.isfinite()]
        fitness = fitness.clamp(min=0.0, max=float(finite.max()) if len(finite) else 0.0)
        allowed = self._allowed(fitness)
        wanted = allot(fitness, self._member_of, allowed, self.population)
        going_on = wanted > 0
        representatives = self._genes.rows(self._drawn_members()[going_on])
        offspring, unchanged = self._offspring(fitness, wanted)
        self._genes = self._mutated(offspring, ~unchanged)
        species = self._parted(representatives)
        # Species that nobody belongs to any more are gone.
        alive, self._member_of = species.unique(return_inverse=True)
        old = alive[alive < len(representatives)]
        new = len(alive) - len(old)
        record, since = self._record[going_on][old], self._since[going_on][old]
        self._record = torch.cat([record, torch.full((new,), -math.inf, dtype=torch.float64)])
        self._since = torch.cat([since, torch.zeros(new, dtype=torch.long)])

    def _allowed(self, fitness: Tensor) -> Tensor:
        """Which species may reproduce; their records are brought up to date."""
        top = torch.zeros(self.species, dtype=torch.float64).scatter_reduce_(0, self._member_of, fitness, "amax")
        better = top > self._record
        self._record = torch.where(better, top, self._record)
        self._since = torch.where(better, 0, self._since + 1)
        allowed = self._since < self.stagnation
        self._waited = 0 if self.stale == 0 else self._waited + 1
        order = top.argsort(descending=True, stable=True)
        if self._waited >= self.refocus:
            self._waited = 0
            allowed = torch.zeros_like(allowed)
            allowed[order[:2]] = True
            self._since[order[:2]] = 0
        if not bool(allowed.any()):
            allowed[order[0]] = True
        return allowed

    def _drawn_members(self) -> Tensor:
        """One member of each species, drawn uniformly."""
        order = torch.randperm(self.population, generator=self.generator)
        drawn = torch.zeros(self.species, dtype=torch.long)
        drawn[self._member_of[order]] = order
        return drawn

    def _offspring(self, fitness: Tensor, wanted: Tensor) -> tuple[GeneTable, Tensor]:
        """The next population before mutation, and which of it is to stay as it is."""
        parents = Parents(fitness, self._member_of, self.survival)
        keeps = (wanted > 0) & (parents.size > self.elite_size)
        births = wanted - keeps.long()
        own = torch.arange(self.species).repeat_interleave(births)
        one, two = (parents.drawn(own, self._uniform(len(own))) for _ in range(2))
        if self.species > 1:
            abroad = (self._uniform(len(own)) < self.shares["interspecies"]).nonzero().squeeze(1)
            other = (own[abroad] + 1 + self._whole_numbers(self.species - 1, len(abroad))) % self.species
            two[abroad] = parents.drawn(other, self._uniform(len(abroad)))
        alone = self._uniform(len(own)) < self.shares["asexual"]
        born = self._crossed(one, torch.where(alone, one, two), fitness, alone)
        stays = ~alone & (one != two) & (self._uniform(len(own)) < self.shares["unmutated"])
        best = parents.champions[keeps]
        unchanged = torch.cat([torch.ones(len(best), dtype=torch.bool), stays])
        return self._genes.rows(best).below(born), unchanged

    def _crossed(self, one: Tensor, two: Tensor, fitness: Tensor, alone: Tensor) -> GeneTable:
        swap = fitness[two] > fitness[one]
        fitter, other = torch.where(swap, two, one), torch.where(swap, one, two)
        first, second = self._genes.rows(fitter), self._genes.rows(other)
        equal = (fitness[fitter] == fitness[other]).unsqueeze(1)
        one_shape, two_shape = first.marking.shape, second.marking.shape
        stays = self.shares["stays_disabled"]
        either = self._uniform(*one_shape) < 0.5  # a gene matches, or is passed on or not: one number serves both
        choices = Choices(
            from_second=either,
            keep=~equal | either,
            take=equal & (self._uniform(*two_shape) < 0.5),
            average=self._uniform(len(one), 1) < self.shares["averaged"],
            # An offspring of one parent is its copy, with the genes that are disabled there.
            stays_disabled=(self._uniform(*one_shape) < stays) | alone.unsqueeze(1),
            stays_disabled_second=self._uniform(*two_shape) < stays,
        )
        born = cross(first, second, choices)
        # Genes of both parents might hold more nodes than there is room for: those take the fitter one's graph.
        _, held = hidden_nodes(born, self.inputs + 1 + self.outputs)
        full = (held.sum(1) > self.nodes - self.outputs).unsqueeze(1)
        if not bool(full.any()):
            return born
        return cross(first, second, replace(choices, keep=choices.keep | full, take=choices.take & ~full))

    def _mutated(self, table: GeneTable, free: Tensor) -> GeneTable:
        """Mutation of the genomes that are free to change."""
        rows = len(table)
        splits = free & (self._uniform(rows) < self.shares["node_rate"])
        joins = free & ~splits & (self._uniform(rows) < self.shares["connection_rate"])
        # What a new node or connection is worth shows with the weights that the parents had.
        moves = free & ~splits & ~joins & (self._uniform(rows) < self.shares["weight_rate"])
        table = self._move_weights(table, table.present & moves.unsqueeze(1), self._uniform)
        counts = (self._newest_node, self._newest_marking)
        table, counts = split_connections(table, splits, self._drawn(splits), counts, *self._sizes)
        new = self.spread * (2.0 * self._drawn(joins) - 1.0)
        table, counts = add_connections(table, joins, self._drawn(joins), new, counts, *self._sizes)
        self._newest_node, self._newest_marking = counts
        return table

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return self.inputs, self.outputs, self.nodes

    def _drawn(self, rows: Tensor) -> Tensor:
        """A number uniform in [0, 1) for each row that is named."""
        return self._uniform(int(rows.sum())).double()

    def state_dict(self) -> dict[str, Any]:
        """The genes of the population and the species' records, with the counts of every search."""
        own = {"member_of": self._member_of.clone(), "record": self._record.clone(), "since": self._since.clone()}
        counts = {"waited": self._waited, "newest": [self._newest_node, self._newest_marking]}
        return (
            super().state_dict()
            | {"genes": {name: genes.clone() for name, genes in self._genes.tensors().items()}}
            | own
            | counts
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        super().load_state_dict(state)
        self._genes = GeneTable(**{name: value.clone() for name, value in state["genes"].items()})
        self._member_of = state["member_of"].clone()
        self._record, self._since = state["record"].clone(), state["since"].clone()
        self._waited = state["waited"]
        self._newest_node, self._newest_marking = state["newest"]
