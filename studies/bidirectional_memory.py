"""Bidirectional associative memories: how many pairs they hold, and what their chances are.

    python studies/bidirectional_memory.py [--quick] [--seeds N] [--json FILE]

- Capacity: random pairs of 100 and 80 units, recalled from the first side as it was stored; the share of pairs that
  come back exactly on both sides. Kosko (1988) gives min(100, 80) pairs as a bound, which is far off for random pairs.
  A unit of the second side follows the sum of a M, whose crosstalk from P - 1 pairs has a variance of about
  100 (P - 1), so that it errs with probability erfc(sqrt(100 / (2 (P - 1)))) / 2, and a first step leaves a pair whole
  with the probability that none of its 80 + 100 units errs: the estimate beside the figure, which takes units for
  independent and lets no error be mended.
- Stochastic, by Gibbs sampling: 5 and 4 units with random weights at a temperature, many chains at once. The distance
  in total variation between the states met and the exact Boltzmann distribution of all 512 states, beside the same
  distance for as many independent draws from that distribution: what sampling alone makes.
- Annealing: recall of 12 pairs of 100 and 80 units with a quarter of the cue flipped, without noise and with a
  temperature that falls from 10 to 0 in 30 steps. On seeds 100 to 139, of 5, 10, 20 and 40 as beginnings, 5 and 10 were
  as good as no noise and the others worse: with so short a way from cue to pair there is little for noise to help.
- Stochastic, by Markov jumps: two modes of a delayed network with noise, and the rate at which its mean square falls
  against the rate that is guaranteed.
"""

from __future__ import annotations

import itertools
import math
import sys

import torch
from _data import Claim, claim, finish, parser, threads
from torch import Tensor

from recurra.memory import BidirectionalMemory, JumpMode, MarkovJumpingMemory

FIRST, SECOND = 100, 80


def draw(rows: int, units: int, generator: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(0, 2, (rows, units), generator=generator, dtype=torch.float64) - 1.0


def capacity(pairs: int, seeds: int) -> float:
    """Share of pairs that come back exactly."""
    right = []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(1000 * pairs + seed)
        a, b = draw(pairs, FIRST, generator), draw(pairs, SECOND, generator)
        memory = BidirectionalMemory(FIRST, SECOND, dtype=torch.float64)
        memory.store(a, b)
        found = memory.recall(a).state
        right.append(float(((found.first == a).all(1) & (found.second == b).all(1)).double().mean()))
    return sum(right) / seeds


def estimate(pairs: int) -> float:
    """The share of pairs that one step there and back leaves whole, units taken for independent."""
    whole = 1.0
    for seen, units in ((FIRST, SECOND), (SECOND, FIRST)):
        whole *= (1 - 0.5 * math.erfc(math.sqrt(seen / (2 * (pairs - 1))))) ** units
    return whole


def boltzmann(chains: int, rounds: int) -> tuple[float, float]:
    """Distances in total variation from the exact distribution: of the memory's states, and of independent draws."""
    generator = torch.Generator().manual_seed(0)
    memory = BidirectionalMemory(5, 4, dtype=torch.float64)
    memory.connections.learned = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    states = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=9)), dtype=torch.float64)
    temperature = 3.0
    exact = torch.softmax(-memory.energy(states[:, :5], states[:, 5:]) / temperature, 0)
    binary = 2.0 ** torch.arange(8, -1, -1, dtype=torch.float64)
    counts, state = torch.zeros(512, dtype=torch.float64), (draw(chains, 5, generator), draw(chains, 4, generator))
    for turn in range(rounds + 1):
        # The first stretch is left out; the later ones are long enough for their ends to count as new draws.
        steps = 200 if turn == 0 else 80
        state = memory.recall(state, "gibbs", steps=steps, temperature=temperature, generator=generator).state
        if turn:
            places = ((torch.cat(state, 1) + 1) / 2 @ binary).long()
            counts += torch.bincount(places, minlength=512).double()
    drawn = torch.multinomial(exact, chains * rounds, replacement=True, generator=generator)
    floor = torch.bincount(drawn, minlength=512).double() / (chains * rounds)
    return float((counts / counts.sum() - exact).abs().sum() / 2), float((floor - exact).abs().sum() / 2)


def annealed(beginning: float, seeds: range) -> tuple[float, float]:
    """Share of 12 pairs recalled from a quarter flipped: without noise, and with a falling temperature."""
    plain, slow = [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        a, b = draw(12, FIRST, generator), draw(12, SECOND, generator)
        memory = BidirectionalMemory(FIRST, SECOND, dtype=torch.float64)
        memory.store(a, b)
        cue = torch.where(torch.rand(a.shape, generator=generator).argsort(1).argsort(1) < FIRST // 4, -a, a)
        falling = torch.linspace(beginning, 0.0, 30)
        first = memory.recall(cue).state.second
        second = memory.recall(cue, "gibbs", steps=30, temperature=falling, generator=generator).state.second
        plain.append(float((first == b).all(1).double().mean()))
        slow.append(float((second == b).all(1).double().mean()))
    return sum(plain) / len(plain), sum(slow) / len(slow)


def jumping(rows: int) -> tuple[float, float]:
    """The rate at which the mean square falls, measured, and the rate that is guaranteed."""
    generator = torch.Generator().manual_seed(0)

    def mode(decay: float, strength: float, delay: float, noise: float) -> JumpMode:
        weight = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        weight = strength * weight / torch.linalg.matrix_norm(weight, 2)
        return JumpMode(weight, decay=decay, delay=delay, noise=noise)

    memory = MarkovJumpingMemory([mode(1.5, 0.6, 0.4, 0.5), mode(2.0, 0.9, 0.4, 0.3)], [[-1.0, 1.0], [2.0, -2.0]])
    first = torch.randn(rows, 4, generator=generator, dtype=torch.float64)
    second = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    run = memory.simulate(first, second, 6.0, dt=0.02, generator=generator)
    # The mean is over noise and jumps; the slope from time 1 to 5.
    logarithm = run.mean_square.log()
    start, stop = round(1.0 / 0.02), round(5.0 / 0.02)
    return float((logarithm[start] - logarithm[stop]) / 4.0), memory.guaranteed_rate()


def main(arguments: list[str] | None = None) -> int:
    options = parser(__doc__ or "", seeds=20).parse_args(arguments)
    threads(1)
    quick, seeds = options.quick, 3 if options.quick else options.seeds
    claims: list[Claim] = []
    wanted = {4: ">= 0.99", 8: ">= 0.95", 12: "0.7 to 0.95", 16: "report", 20: "0 to 0.25", 30: "<= 0.02"}
    for pairs, want in wanted.items():
        text = f"share of {pairs} random pairs of {FIRST} x {SECOND} recalled exactly"
        claims.append(claim(text, f"{estimate(pairs):.3f} (estimate)", want, capacity(pairs, 10 * seeds), quick))
    reached, floor = boltzmann(2000 if quick else 20_000, 5 if quick else 50)
    text = "total variation from the exact Boltzmann distribution over that of independent draws"
    claims.append(claim(text, "1 (exact)", "<= 1.25", reached / floor, quick))
    claims.append(
        claim("total variation from the exact Boltzmann distribution", f"{floor:.5f} (draws)", "report", reached, quick)
    )
    plain, slow = annealed(10.0, range(seeds))
    claims.append(claim("12 pairs, a quarter flipped, recalled without noise", "not given", "report", plain, quick))
    claims.append(claim("12 pairs, a quarter flipped, recalled by annealing", "not given", "report", slow, quick))
    measured, guaranteed = jumping(500 if quick else 4000)
    text = "Markov jumps: rate at which the mean square falls"
    claims.append(claim(text, f"at least {guaranteed:.3f} (guaranteed)", f">= {guaranteed:.4f}", measured, quick))
    return finish("Bidirectional associative memories", claims, options.json)


if __name__ == "__main__":
    sys.exit(main())
