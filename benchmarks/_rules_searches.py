"""Searches on the two poles without velocities: ours, and three packages as their users run them."""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recurra.learn.search import CoSyNE
from recurra.learn.search.neat import NEAT
from recurra.problems.double_pole import DOUBLE_POLE
from recurra.problems.pole_controllers import RecurrentController
from recurra.problems.pole_graph_controller import GraphController
from recurra.problems.pole_trials import PoleTrials, balance

LIMIT = 1000
"""Control steps at which a trial ends."""

Act = Callable[[Sequence[float]], float]
"""What a network does at a control step: three observations to a push in [-1, 1]."""


@dataclass
class Work:
    """What was done: networks tried, and control steps balanced by all of them together."""

    evaluations: int = 0
    steps: int = 0

    def add(self, steps: int) -> int:
        self.evaluations += 1
        self.steps += steps
        return steps


def _change(s: list[float], force: float) -> list[float]:
    """Derivatives of (x, angle, angle, x', angle', angle'), in plain numbers, as one writes it for a single cart."""
    pull = force - DOUBLE_POLE.cart_friction * math.copysign(1.0, s[3]) * (s[3] != 0.0)
    mass = DOUBLE_POLE.cart_mass
    torques = []
    for pole in (0, 1):
        m, half = DOUBLE_POLE.pole_masses[pole], DOUBLE_POLE.half_lengths[pole]
        sine, cosine = math.sin(s[1 + pole]), math.cos(s[1 + pole])
        torque = DOUBLE_POLE.hinge_friction * s[4 + pole] / (m * half) - DOUBLE_POLE.gravity * sine
        pull += m * half * s[4 + pole] ** 2 * sine + 0.75 * m * cosine * torque
        mass += m * (1.0 - 0.75 * cosine * cosine)
        torques.append((torque, cosine, half))
    speed = pull / mass
    return [s[3], s[4], s[5], speed, *(-0.75 / half * (speed * cosine + torque) for torque, cosine, half in torques)]


def advance(state: list[float], output: float) -> list[float]:
    """One control step of one cart: fourth-order Runge-Kutta, twice .01 s."""
    force = 10.0 * output
    if abs(force) < DOUBLE_POLE.smallest_force:
        force = math.copysign(DOUBLE_POLE.smallest_force, force)
    h = DOUBLE_POLE.integration_step
    for _ in range(DOUBLE_POLE.substeps):
        k1 = _change(state, force)
        k2 = _change([a + 0.5 * h * b for a, b in zip(state, k1, strict=True)], force)
        k3 = _change([a + 0.5 * h * b for a, b in zip(state, k2, strict=True)], force)
        k4 = _change([a + h * b for a, b in zip(state, k3, strict=True)], force)
        state = [a + h / 6.0 * (p + 2.0 * q + 2.0 * r + t) for a, p, q, r, t in zip(state, k1, k2, k3, k4, strict=True)]
    return state


def trial(act: Act) -> int:
    """Control steps that one network balances, of at most LIMIT."""
    bound = math.radians(DOUBLE_POLE.failure_angle)
    state = [0.0, math.radians(DOUBLE_POLE.first_angles[0]), 0.0, 0.0, 0.0, 0.0]
    for step in range(LIMIT):
        state = advance(state, act((state[0] / DOUBLE_POLE.track, state[1] / bound, state[2] / bound)))
        if not (abs(state[0]) <= DOUBLE_POLE.track and abs(state[1]) <= bound and abs(state[2]) <= bound):
            return step
    return LIMIT


def one_unit(weights: Sequence[float]) -> Act:
    """The network of the fixed comparison: one tanh unit that hears the three positions and itself."""
    a, b, c, back = (float(weight) for weight in weights)
    last = 0.0

    def act(seen: Sequence[float]) -> float:
        nonlocal last
        last = math.tanh(a * seen[0] + b * seen[1] + c * seen[2] + back * last)
        return last

    return act


def physics_error() -> float:
    """The largest difference of the plain cart's states from our batch's, over 50 steps under random pushes."""
    chance = np.random.default_rng(0)
    outputs = chance.uniform(-1.0, 1.0, (50, 8))
    outputs[::7] *= 1e-3  # pushes below the smallest
    batch = DOUBLE_POLE.initial(8)
    carts = [batch[:, cart].tolist() for cart in range(8)]
    worst = 0.0
    for push in outputs:
        batch = DOUBLE_POLE.advance(batch, DOUBLE_POLE.force(push))
        carts = [advance(cart, float(p)) for cart, p in zip(carts, push, strict=True)]
        worst = max(worst, float(np.abs(batch - np.array(carts).T).max()))
    rows = chance.uniform(-10.0, 10.0, (20, 4))
    steps = balance(PoleTrials(DOUBLE_POLE, RecurrentController(3), LIMIT), rows).steps.tolist()
    if steps != [trial(one_unit(row)) for row in rows]:
        return math.inf
    return worst


def ours_fixed(population: int, generations: int, seed: int) -> Work:
    """CoSyNE, a whole population in one simulation."""
    controller = RecurrentController(inputs=3)
    search = CoSyNE(controller.dimension, population=population, spread=10.0, seed=seed)
    return _ours(search, controller, generations)


def ours_neat(population: int, generations: int, seed: int) -> Work:
    """NEAT, a whole population of graphs in one simulation."""
    search = NEAT(inputs=3, nodes=8, population=population, seed=seed)
    return _ours(search, GraphController(3, 8), generations)


def _ours(search: Any, controller: Any, generations: int) -> Work:
    work = Work()
    for _ in range(generations):
        steps = balance(PoleTrials(DOUBLE_POLE, controller, LIMIT), search.ask().numpy()).steps
        search.tell(torch.from_numpy(steps.astype(float)))
        work.evaluations += len(steps)
        work.steps += int(steps.sum())
    return work


def pygad(population: int, generations: int, seed: int) -> Work:
    """PyGAD's genetic algorithm with its own defaults, one network after another."""
    import pygad as package

    work = Work()
    search = package.GA(
        num_generations=generations - 1,  # it evaluates the first population besides
        num_parents_mating=population // 2,
        fitness_func=lambda ga, solution, index: float(work.add(trial(one_unit(solution)))),
        sol_per_pop=population,
        num_genes=4,
        init_range_low=-10.0,
        init_range_high=10.0,
        mutation_num_genes=1,
        random_seed=seed,
        suppress_warnings=True,
    )
    search.run()
    return work


def evotorch(population: int, generations: int, seed: int) -> Work:
    """EvoTorch's CoSyNE, one network after another, as with an environment that it steps."""
    work = Work()
    return _evotorch(
        lambda row: float(work.add(trial(one_unit(row.tolist())))), False, work, generations, population, seed
    )


def evotorch_on_our_physics(population: int, generations: int, seed: int) -> Work:
    """EvoTorch's CoSyNE with a fitness of whole populations, which is our simulation."""
    work = Work()

    def fitness(rows: torch.Tensor) -> torch.Tensor:
        steps = balance(PoleTrials(DOUBLE_POLE, RecurrentController(inputs=3), LIMIT), rows.numpy()).steps
        work.evaluations += len(steps)
        work.steps += int(steps.sum())
        return torch.from_numpy(steps.astype(float))

    return _evotorch(fitness, True, work, generations, population, seed)


def _evotorch(
    fitness: Callable[..., Any], vectorized: bool, work: Work, generations: int, population: int, seed: int
) -> Work:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evotorch import Problem
        from evotorch.algorithms import Cosyne

        problem = Problem(
            "max",
            fitness,
            solution_length=4,
            initial_bounds=(-10.0, 10.0),
            dtype=torch.float64,
            seed=seed,
            vectorized=vectorized,
        )
        search = Cosyne(problem, popsize=population, tournament_size=4, mutation_stdev=0.3, mutation_probability=0.3)
        search.run(generations, reset_first_step_datetime=False)
    return work


NEAT_PYTHON = """
[NEAT]
fitness_criterion = max
fitness_threshold = 1e9
no_fitness_termination = True
pop_size = {population}
reset_on_extinction = True
seed = {seed}

[DefaultGenome]
activation_default = sigmoid
activation_mutate_rate = 0.0
activation_options = sigmoid
aggregation_default = sum
aggregation_mutate_rate = 0.0
aggregation_options = sum
bias_init_mean = 0.0
bias_init_stdev = 1.0
bias_init_type = gaussian
bias_max_value = 30.0
bias_min_value = -30.0
bias_mutate_power = 0.5
bias_mutate_rate = 0.7
bias_replace_rate = 0.1
compatibility_disjoint_coefficient = 1.0
compatibility_weight_coefficient = 0.5
conn_add_prob = 0.3
conn_delete_prob = 0.0
enabled_default = True
enabled_mutate_rate = 0.01
enabled_rate_to_true_add = 0.0
enabled_rate_to_false_add = 0.0
feed_forward = False
initial_connection = full_direct
node_add_prob = 0.03
node_delete_prob = 0.0
num_hidden = 0
num_inputs = 3
num_outputs = 1
response_init_mean = 1.0
response_init_stdev = 0.0
response_init_type = gaussian
response_max_value = 30.0
response_min_value = -30.0
response_mutate_power = 0.0
response_mutate_rate = 0.0
response_replace_rate = 0.0
single_structural_mutation = False
structural_mutation_surer = default
weight_init_mean = 0.0
weight_init_stdev = 1.0
weight_init_type = gaussian
weight_max_value = 30
weight_min_value = -30
weight_mutate_power = 1.8
weight_mutate_rate = 0.8
weight_replace_rate = 0.1

[DefaultSpeciesSet]
compatibility_threshold = 3.0

[DefaultStagnation]
species_fitness_func = max
max_stagnation = 15
species_elitism = 2

[DefaultReproduction]
elitism = 1
survival_threshold = 0.4
min_species_size = 2
"""


def neat_python(population: int, generations: int, seed: int) -> Work:
    """neat-python with its recurrent networks, one network after another."""
    import neat as package

    work = Work()

    def network(genome: Any, config: Any) -> Act:
        net = package.nn.RecurrentNetwork.create(genome, config)
        return lambda seen: 2.0 * net.activate(seen)[0] - 1.0

    def evaluate(genomes: Any, config: Any) -> None:
        for _, genome in genomes:
            genome.fitness = float(work.add(trial(network(genome, config))))

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        file = Path(folder) / "config"
        file.write_text(NEAT_PYTHON.format(population=population, seed=seed))
        parts = package.DefaultGenome, package.DefaultReproduction, package.DefaultSpeciesSet, package.DefaultStagnation
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            package.Population(package.Config(*parts, str(file))).run(evaluate, generations)
    return work
