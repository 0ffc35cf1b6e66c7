"""Searches: weights found without gradients. `SEARCHES` lists them; names load on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from recurra.learn.search.registry import GRAPH_SEARCHES, SEARCHES, make_search

if TYPE_CHECKING:
    from recurra.learn.search.annealing import SimulatedAnnealing
    from recurra.learn.search.architecture import ArchitectureSearch
    from recurra.learn.search.architecture_cell import GraphCell
    from recurra.learn.search.architecture_graph import CellGraph, GraphBuilder, elman_graph, gru_graph, lstm_graph
    from recurra.learn.search.architecture_training import ShortTraining
    from recurra.learn.search.base import Best, Search
    from recurra.learn.search.cma_es import CMAES
    from recurra.learn.search.cosyne import CoSyNE
    from recurra.learn.search.esp import ESP
    from recurra.learn.search.evaluation import FITNESSES, evaluate, fitness_of
    from recurra.learn.search.genetic import GA
    from recurra.learn.search.neat import NEAT
    from recurra.learn.search.neat_cell import NeatCell
    from recurra.learn.search.openai_es import OpenAIES
    from recurra.learn.search.particle_swarm import ParticleSwarm
    from recurra.learn.search.random_guess import RandomGuess
    from recurra.learn.search.restarts import Restarts
    from recurra.learn.search.run import Outcome, run_search
    from recurra.learn.search.stopping import (
        LearnedFraction,
        MaxEvaluations,
        MaxGenerations,
        MinFitness,
        MinMSE,
        Progress,
        Stagnation,
        Stop,
    )
    from recurra.learn.search.weight_vector import WeightVector, learner_loss

_WHERE = {
    "ArchitectureSearch": "architecture",
    "Best": "base",
    "CMAES": "cma_es",
    "CellGraph": "architecture_graph",
    "CoSyNE": "cosyne",
    "ESP": "esp",
    "FITNESSES": "evaluation",
    "GA": "genetic",
    "GraphBuilder": "architecture_graph",
    "GraphCell": "architecture_cell",
    "LearnedFraction": "stopping",
    "MaxEvaluations": "stopping",
    "MaxGenerations": "stopping",
    "MinFitness": "stopping",
    "MinMSE": "stopping",
    "NEAT": "neat",
    "NeatCell": "neat_cell",
    "OpenAIES": "openai_es",
    "Outcome": "run",
    "ParticleSwarm": "particle_swarm",
    "Progress": "stopping",
    "RandomGuess": "random_guess",
    "Restarts": "restarts",
    "Search": "base",
    "ShortTraining": "architecture_training",
    "SimulatedAnnealing": "annealing",
    "Stagnation": "stopping",
    "Stop": "stopping",
    "WeightVector": "weight_vector",
    "elman_graph": "architecture_graph",
    "evaluate": "evaluation",
    "fitness_of": "evaluation",
    "gru_graph": "architecture_graph",
    "learner_loss": "weight_vector",
    "lstm_graph": "architecture_graph",
    "run_search": "run",
}

__all__ = [
    "CMAES",
    "ESP",
    "FITNESSES",
    "GA",
    "GRAPH_SEARCHES",
    "NEAT",
    "SEARCHES",
    "ArchitectureSearch",
    "Best",
    "CellGraph",
    "CoSyNE",
    "GraphBuilder",
    "GraphCell",
    "LearnedFraction",
    "MaxEvaluations",
    "MaxGenerations",
    "MinFitness",
    "MinMSE",
    "NeatCell",
    "OpenAIES",
    "Outcome",
    "ParticleSwarm",
    "Progress",
    "RandomGuess",
    "Restarts",
    "Search",
    "ShortTraining",
    "SimulatedAnnealing",
    "Stagnation",
    "Stop",
    "WeightVector",
    "elman_graph",
    "evaluate",
    "fitness_of",
    "gru_graph",
    "learner_loss",
    "lstm_graph",
    "make_search",
    "run_search",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
