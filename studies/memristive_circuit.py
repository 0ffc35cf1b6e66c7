"""Memristive circuits: the equation against Kirchhoff's laws, sparse solving against the dense formula, mazes, memory.

    python studies/memristive_circuit.py [--quick] [--seeds N] [--json FILE]

Published (Caravelli, Traversa and Di Ventra 2017): the internal memory of a memristive circuit obeys
dw/dt = alpha w - (1/beta) (I + xi Omega W)^-1 Omega S exactly; with the other sign convention,
dx/dt = -alpha x + (1/beta) (I - chi Omega X)^-1 Omega S. Measured here, each figure over random circuits, one a seed:

- the largest difference, over the largest entry, between either formula with its dense inverse, Ohm's and Kirchhoff's
laws
  written out as one dense system, and the library's sparse nodal solving; memristors alone, and among resistors;
- how many times faster the sparse solving is than the formula on 1,500 branches and 600 nodes. The formula's inverse is
  not even formed, but a linear system solved, with Omega known beforehand;
- the largest rise of the Lyapunov function in a step along motions that meet no wall;
- mazes of 10 x 10 and 20 x 20 places: the share in which exactly one shortest way is left switched on. Pershin and
  Di Ventra (2011) solve mazes with one way; with loops this is a heuristic.
- memory of a random input, read linearly from all branches: of the input one to ten steps back, and of products of
  it one to four steps back (the sum over targets of 1 - squared error / variance on held-out steps, cut at 0). Beside
  the memristive circuit stands one of resistors and capacitors on the same graph with the same inputs: its motion is
  linear, so that no product can be read from it.

The memristive circuit takes Euler steps. Input strength, beta, alpha and RC were chosen on other seeds than those
reported, from a few tries by hand.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
import torch
from _data import Claim, claim, finish, parser, threads

from recurra.circuits import (
    MemristiveNetwork,
    NodalSolver,
    ResistorCapacitorNetwork,
    perfect_maze,
    random_circuit,
    simulate,
    solve_maze,
)
from recurra.learn.closed import Ridge

ON, OFF, DECAY, SCALE = 1.0, 100.0, 0.3, 2.0


def formula(network: MemristiveNetwork, omega: np.ndarray, state: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The published right-hand side with its dense matrices, resistors weighted in."""
    base = network.on_resistance if network.memory == "off" else network.off_resistance
    other = network.off_resistance if network.memory == "off" else network.on_resistance
    size = np.eye(len(state))
    inner = np.linalg.solve(size + omega * ((other - base) / base * state), omega @ (sources / np.sqrt(base)))
    push = np.sqrt(base) * inner / network.scale
    rate = network.decay * state - push if network.memory == "off" else push - network.decay * state
    return np.where(network.is_memristor, rate, 0.0)


def projector(incidence: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The projection on D^(1/2) times the currents that obey the current law."""
    _, values, vectors = np.linalg.svd(incidence.T)
    loops = vectors[(values > 1e-9).sum() :].T
    basis, _ = np.linalg.qr(np.sqrt(base)[:, None] * loops)
    return basis @ basis.T


def laws(network: MemristiveNetwork, incidence: np.ndarray, state: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The same from Ohm's law on every branch and the current law at every node but one."""
    cut = incidence[:, 1:]
    nodes = cut.shape[1]
    on, off = network.on_resistance, network.off_resistance
    resistance = on + (off - on) * (state if network.memory == "off" else 1.0 - state)
    system = np.block([[np.diag(resistance), -cut], [cut.T, np.zeros((nodes, nodes))]])
    current = np.linalg.solve(system, np.append(sources, np.zeros(nodes)))[: len(state)]
    if network.memory == "off":
        rate = network.decay * state - on * current / network.scale
    else:
        rate = off * current / network.scale - network.decay * state
    return np.where(network.is_memristor, rate, 0.0)


def equation(seeds: int, sizes: list[tuple[int, int]], mixed: bool) -> float:
    """The largest relative difference of the three."""
    worst = 0.0
    for seed in range(seeds):
        chance = np.random.default_rng(seed)
        for nodes, branches in sizes:
            circuit = random_circuit(nodes, branches, seed)
            resistors = np.where(chance.random(branches) < 0.4, 0.5 + chance.random(branches), np.nan)
            for memory in ("off", "on"):
                network = MemristiveNetwork(
                    circuit, ON, OFF, decay=DECAY, scale=SCALE, memory=memory, resistors=resistors if mixed else None
                )
                state = np.where(network.is_memristor, chance.random(branches), 0.0)
                sources = chance.standard_normal(branches)
                incidence = circuit.incidence.toarray()
                base = network.on_resistance if memory == "off" else network.off_resistance
                found = network.derivative(state, sources)
                for other in (
                    formula(network, projector(incidence, base), state, sources),
                    laws(network, incidence, state, sources),
                ):
                    worst = max(worst, float(np.abs(found - other).max() / np.abs(other).max()))
    return worst


def fastest(run: Callable[[], object], times: int) -> float:
    """Seconds of one thread's processor time of the fastest of several runs: other work on the machine adds nothing."""
    found = []
    for _ in range(times):
        started = time.process_time()
        run()
        found.append(time.process_time() - started)
    return min(found)


def speed(branches: int, nodes: int, times: int) -> float:
    """How many times the formula takes as long as the sparse solving."""
    circuit = random_circuit(nodes, branches, 0)
    network = MemristiveNetwork(circuit, ON, OFF, decay=DECAY, scale=SCALE)
    chance = np.random.default_rng(0)
    state, sources = chance.random(branches), chance.standard_normal(branches)
    omega = NodalSolver(circuit).projector()
    dense = fastest(lambda: formula(network, omega, state, sources), max(times // 4, 2))
    sparse = fastest(lambda: network.derivative(state, sources), times)
    print(f"{branches} branches: dense formula {1e3 * dense:.1f} ms, sparse nodal {1e3 * sparse:.2f} ms", flush=True)
    return dense / sparse


def lyapunov_rise(seeds: int) -> float:
    """The largest rise in a step, over the whole fall; motions within the walls alone."""
    worst = -np.inf
    for seed in range(seeds):
        circuit = random_circuit(20, 50, seed)
        network = MemristiveNetwork(circuit, 1.0, 10.0, decay=0.4, scale=8.0)
        sources = 2.0 * np.random.default_rng(seed).standard_normal(50)
        states = simulate(network, sources, 0.01, steps=200).states
        inside = ((states > 0) & (states < 1)).all(1)
        met = len(inside) if inside.all() else int(np.argmin(inside))
        energy = network.lyapunov(states[:met], sources)
        worst = max(worst, float(np.diff(energy).max() / (energy[0] - energy[-1])))
    return worst


def mazes(side: int, extra: int, seeds: int) -> float:
    """The share of mazes solved exactly."""
    solved = 0
    for seed in range(seeds):
        maze = perfect_maze(side, side, extra=extra, seed=seed)
        answer = solve_maze(maze)
        solved += answer.is_path and answer.length == maze.shortest()
    return solved / seeds


def capacities(states: np.ndarray, x: np.ndarray, washout: int) -> tuple[float, float]:
    """Memory of the input itself and of its products, each the sum over targets of what a linear readout explains."""

    def delayed(steps: int) -> np.ndarray:
        return np.concatenate([np.zeros(steps), x[: len(x) - steps]])

    inputs = [delayed(k) for k in range(1, 11)]
    products = [delayed(a) * delayed(b) for a, b in combinations_with_replacement(range(1, 5), 2)]
    features, targets = torch.from_numpy(states), torch.from_numpy(np.stack(inputs + products, 1))
    half = washout + (len(x) - washout) // 2
    readout = Ridge(penalty=1e-6).fit(features[washout:half], targets[washout:half])
    error = (readout.predict(features[half:]) - targets[half:]).square().mean(0) / targets[half:].var(0)
    explained = (1.0 - error).clamp(min=0.0)
    return float(explained[:10].sum()), float(explained[10:].sum())


def memory(seeds: int, steps: int, first_seed: int = 0) -> list[tuple[float, float]]:
    """Mean capacities of the memristive circuit and of that of capacitors."""
    found = []
    for seed in range(first_seed, first_seed + seeds):
        chance = np.random.default_rng(seed)
        circuit = random_circuit(25, 60, seed)
        x = chance.uniform(-1.0, 1.0, steps)
        sources = x[:, None] * chance.uniform(-1.0, 1.0, 60) + chance.uniform(-1.0, 1.0, 60)
        memristive = MemristiveNetwork(circuit, 1.0, 10.0, decay=1.0, scale=4.0)
        charges = chance.uniform(0.3, 3.0, 60)
        capacitive = ResistorCapacitorNetwork(circuit, 1.0, charges)
        row = []
        for network, method in ((memristive, "euler"), (capacitive, "rk4")):
            states = simulate(network, sources, 0.5, method=method).states[1:]
            row.append(capacities(states, x, 100))
        found.append(row)
        print(
            f"seed {seed}: memristive {row[0][0]:.2f} + {row[0][1]:.2f}, capacitive {row[1][0]:.2f} + {row[1][1]:.2f}"
        )
    mean = np.array(found).mean(0)
    return [(float(a), float(b)) for a, b in mean]


def main(arguments: list[str] | None = None) -> int:
    options = parser(__doc__ or "", seeds=10).parse_args(arguments)
    threads(1)
    quick, seeds = options.quick, 2 if options.quick else options.seeds
    sizes = [(4, 8), (25, 60)] if quick else [(4, 8), (25, 60), (120, 300)]
    claims: list[Claim] = []

    def add(text: str, published: str, wanted: str, reached: float) -> None:
        claims.append(claim(text, published, wanted, reached, quick))

    for mixed in (False, True):
        what = "memristors among resistors" if mixed else "memristors"
        worst = equation(seeds, sizes, mixed)
        # Shown in units of 1e-12, as the table has four decimals.
        add(f"{what}: equation, Kirchhoff and sparse solving, largest difference, 1e-12", "exact", "<= 1", 1e12 * worst)
    branches, nodes = (300, 120) if quick else (1500, 600)
    add(f"{branches} branches: dense formula / sparse solving, time", "not given", ">= 20", speed(branches, nodes, 20))
    add("Lyapunov function: largest rise in a step / whole fall", "<= 0", "<= 0", lyapunov_rise(seeds))
    add("mazes 10 x 10 with one way, solved exactly", "all", ">= 1", mazes(10, 0, seeds))
    for side, extra in ((10, 10), (20, 40), (10, 60)) if not quick else ((10, 10),):
        add(f"mazes {side} x {side} with {extra} loops, shortest way", "not given", "report", mazes(side, extra, seeds))
    memristive, capacitive = memory(seeds, 700 if quick else 2000)
    add("memristive circuit, memory of products, of 10", "not given", ">= 1", memristive[1])
    add("resistors and capacitors, memory of products, of 10", "0 (linear)", "<= 0.2", capacitive[1])
    add("memristive circuit, memory of inputs, of 10", "not given", "report", memristive[0])
    add("resistors and capacitors, memory of inputs, of 10", "not given", "report", capacitive[0])
    return finish("Memristive circuits", claims, options.json)


if __name__ == "__main__":
    sys.exit(main())
