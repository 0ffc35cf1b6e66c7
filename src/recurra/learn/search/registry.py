"""The table of searches: one row a search. Importing this file imports no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from recurra.errors import UsageError
from recurra.learn.search.spelling import name_and_rest, named_arguments
from recurra.options import closest


@dataclass(frozen=True)
class SearchEntry:
    """A row: where the class is and what it does."""

    name: str
    path: str
    summary: str
    reference: str


_ROOM = "recurra.learn.search"

SEARCHES: dict[str, SearchEntry] = {
    row.name: row
    for row in (
        SearchEntry(
            "ga", f"{_ROOM}.genetic:GA", "genetic algorithm on real-coded weights", "Goldberg 1989; Blanco 2001"
        ),
        SearchEntry("cosyne", f"{_ROOM}.cosyne:CoSyNE", "a subpopulation for every weight", "Gomez et al. 2008"),
        SearchEntry("esp", f"{_ROOM}.esp:ESP", "a subpopulation for every neuron", "Gomez and Miikkulainen 1997"),
        SearchEntry("cma-es", f"{_ROOM}.cma_es:CMAES", "adapts the covariance of its steps", "Hansen 2001"),
        SearchEntry("openai-es", f"{_ROOM}.openai_es:OpenAIES", "climbs an estimated gradient", "Salimans et al. 2017"),
        SearchEntry("pso", f"{_ROOM}.particle_swarm:ParticleSwarm", "particle swarm", "Kennedy and Eberhart 1995"),
        SearchEntry("annealing", f"{_ROOM}.annealing:SimulatedAnnealing", "simulated annealing", "Kirkpatrick 1983"),
        SearchEntry("random", f"{_ROOM}.random_guess:RandomGuess", "random guessing, the baseline", "Schmidhuber 2001"),
    )
}

GRAPH_SEARCHES: dict[str, SearchEntry] = {
    row.name: row
    for row in (
        SearchEntry(
            "neat", f"{_ROOM}.neat:NEAT", "evolves the graph of a recurrent network", "Stanley and Miikkulainen 2002"
        ),
        SearchEntry(
            "architecture",
            f"{_ROOM}.architecture:ArchitectureSearch",
            "changes the expressions of a cell's step",
            "Jozefowicz et al. 2015; Bayer et al. 2009",
        ),
    )
}
"""Searches that find the network as well: they take no length of a vector, and so no `make_search` makes them."""


def make_search(spec: str, dimension: int, **arguments: Any) -> Any:
    """A search from its text, `cosyne` or `ga(population=80, selection=rank)`, for vectors of a given length.

    Raises:
        UsageError: the text names no search, or its arguments are not those that the search takes.

    Example:
        >>> make_search("cosyne(population=20)", dimension=4, seed=1)
        CoSyNE(dimension=4, population=20, generation=0, evaluations=0)
    """
    found = name_and_rest(spec)
    name = found[0].lower() if found else spec
    if found is None or name not in SEARCHES:
        cure = closest(name, SEARCHES) or None
        raise UsageError(f"{spec!r} is not a search", where="search", need="one of " + ", ".join(SEARCHES), cure=cure)
    named = named_arguments(found[1], spec, "search")
    module, _, attribute = SEARCHES[name].path.partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    try:
        return kind(dimension, **{**arguments, **named})
    except TypeError as error:
        raise UsageError(
            f"the arguments {sorted({**arguments, **named})} do not fit",
            where=f"search {name}",
            need=f"those of {kind.__name__}, by their names",
        ) from error
