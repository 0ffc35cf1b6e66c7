"""Lyapunov exponents of Henon's map, Lorenz's flow and random networks, beside exact and published values.

    python studies/lyapunov.py [--quick] [--seeds N] [--json FILE]

- Henon's map with a = 1.4 and b = 0.3: the exponents add up to ln 0.3 exactly; published are 0.419 and -1.623.
- Lorenz's flow with sigma = 10, rho = 28 and beta = 8/3: published 0.906, 0 and -14.57 (Sprott 2003); their sum is
  -(sigma + 1 + beta) = -13.6667 exactly. Each is asked to lie within three of the bands measured beside it: a band is
  two standard errors.
- Random networks h' = J tanh(h), J of N x N normal numbers of variance g^2 / N. For a large N the field of a unit is
  normal with variance v = g^2 <tanh(sqrt(v) z)^2>, without memory of the step before, and the product of the
  Jacobians grows like one of independent random matrices; so the exponents are
      lambda(p) = 1/2 ln( g^2 (1 - p) ) - 1/2 ln S(-p),   p from 0 to 1 the share of larger ones,
  S being the S-transform of the squared slopes d = (1 - tanh(sqrt(v) z)^2)^2. At p = 0 this is 1/2 ln(g^2 <d>), the
  known mean-field result (Molgedey, Schuchhardt and Schuster 1992). The upper quarter of the measured spectrum is
  compared with this curve for N = 100, 200 and 400 at g = 2: asked is that the distance from theory falls as N grows,
  that at N = 400 the largest exponent is within 0.03 of it, and that the sum of the positive exponents grows in
  proportion to N (extensive chaos; Engelken, Wolf and Abbott 2023, who have networks in continuous time).

Seeds are those of J and of the first states; nothing was tuned.
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np
import torch
from _data import Claim, claim, finish, parser, threads

from recurra.analysis.lyapunov import LyapunovSpectrum, lyapunov_spectrum
from recurra.analysis.systems import Flow
from recurra.cells import Elman
from recurra.problems.henon import henon_map
from recurra.problems.lorenz import lorenz_field

GAIN = 2.0


def henon(quick: bool) -> list[Claim]:
    """The map's two exponents."""
    start = 0.1 * torch.rand(200 if quick else 1000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = lyapunov_spectrum(henon_map, state=start, steps=300 if quick else 2000)
    say("Henon", found)
    off = abs(float(found.exponents.sum()) - math.log(0.3))
    return [
        claim("Henon: distance of the sum from ln 0.3", "0 exact", "<= 1e-12", off, quick),
        claim("Henon: largest exponent", "0.419", "0.4180 to 0.4205", float(found.exponents[0]), quick),
        claim("Henon: Kaplan-Yorke dimension", "1.258", "1.257 to 1.260", found.dimension or math.nan, quick),
    ]


def lorenz(quick: bool) -> list[Claim]:
    """The flow's three exponents, per unit of time."""
    batch, steps = (100, 500) if quick else (2000, 3000)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(batch, 3, generator=generator, dtype=torch.float64) + torch.tensor([0.0, 0.0, 25.0])
    found = lyapunov_spectrum(Flow(lorenz_field, 0.01), state=start, steps=steps, warmup=steps // 2 if quick else 2000)
    say("Lorenz", found)
    claims = []
    for number, published in enumerate((0.906, 0.0, -14.57)):
        reached, band = float(found.exponents[number]), float(found.band[number])
        # The published digits end at the third or second place.
        room = 3 * band + (0.0005 if number < 2 else 0.005)
        wanted = f"{published - room:.4f} to {published + room:.4f}"
        claims.append(
            claim(f"Lorenz: exponent {number + 1}, band {band:.4f}", f"{published:g}", wanted, reached, quick)
        )
    off = abs(float(found.exponents.sum()) + 10 + 1 + 8 / 3)
    claims.append(claim("Lorenz: distance of the sum from -13.6667", "0 exact", "<= 0.001", off, quick))
    return claims


def slopes(gain: float, count: int = 201) -> tuple[np.ndarray, np.ndarray]:
    """The squared slopes d of the units and their weights, from the mean-field variance."""
    z, weight = np.polynomial.hermite_e.hermegauss(count)
    weight = weight / weight.sum()
    v = 1.0
    for _ in range(2000):
        v = gain**2 * float(weight @ np.tanh(math.sqrt(v) * z) ** 2)
    return (1 - np.tanh(math.sqrt(v) * z) ** 2) ** 2, weight


def theory(gain: float, share: np.ndarray) -> np.ndarray:
    """lambda(p) at shares p above 0 and below 1.

    S(-p) = -u (1 - p) / p, where u < 0 is that at which <u d / (1 - u d)> = -p.
    """
    d, weight = slopes(gain)
    found = []
    for p in share:
        low, high = -40.0, 40.0  # u = -exp(...)
        for _ in range(200):
            middle = 0.5 * (low + high)
            u = -math.exp(middle)
            low, high = (middle, high) if float(weight @ (u * d / (1 - u * d))) > -p else (low, middle)
        s = -math.exp(low) * (1 - p) / -p
        found.append(0.5 * math.log(gain**2 * (1 - p)) - 0.5 * math.log(s))
    return np.array(found)


def network(units: int, seed: int) -> Elman:
    """h' = J tanh(h), written as the simple recurrent network, whose state is tanh(h): the exponents are the same."""
    cell = Elman(1, units, bias=False, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        drawn = torch.randn(units, units, generator=generator, dtype=torch.float64)
        cell.weight_hh.copy_(GAIN / math.sqrt(units) * drawn)
    return cell


def random_networks(seeds: int, quick: bool) -> list[Claim]:
    """Spectra of random networks against theory, at growing size."""
    d, weight = slopes(GAIN)
    first = 0.5 * math.log(GAIN**2 * float(weight @ d))
    claims, off, entropy = [], {}, {}
    for units in (50, 100) if quick else (100, 200, 400):
        count = max(1, units // 4)
        distance, largest, sums = [], [], []
        for seed in range(seeds):
            batch = 1
            found = lyapunov_spectrum(
                network(units, seed), steps=300 if quick else 2000, warmup=100 if quick else 300, count=count, seed=seed
            )
            assert len(found.each) == batch
            share = (np.arange(count) + 0.5) / units
            distance.append(float(np.abs(found.exponents.numpy() - theory(GAIN, share)).mean()))
            largest.append(float(found.exponents[0]))
            sums.append(found.entropy)
            say(f"network, N = {units}, seed {seed}", found)
        off[units], entropy[units] = float(np.mean(distance)), float(np.mean(sums)) / units
        text = f"random network, g = 2, N = {units}: largest exponent"
        wanted = f"{first - 0.03:.4f} to {first + 0.03:.4f}" if units == 400 else "report"
        claims.append(claim(text, f"{first:.4f} theory, N to infinity", wanted, float(np.mean(largest)), quick))
    sizes = sorted(off)
    shrinks = off[sizes[-1]] / off[sizes[0]]
    grows = entropy[sizes[-1]] / entropy[sizes[-2]] if entropy[sizes[-2]] > 0 else math.nan
    text = f"mean distance of the upper quarter from theory, N = {sizes[-1]} over N = {sizes[0]}"
    claims.append(claim(text, "to 0 for N to infinity", "<= 0.8", shrinks, quick))
    text = f"sum of positive exponents per unit, N = {sizes[-1]} over N = {sizes[-2]}"
    claims.append(claim(text, "to 1 for N to infinity", "0.85 to 1.3", grows, quick))
    return claims


def say(name: str, found: LyapunovSpectrum) -> None:
    first = ", ".join(
        f"{float(v):.4f} +- {float(b):.4f}" for v, b in list(zip(found.exponents, found.band, strict=True))[:3]
    )
    print(f"{name}: {first} ({time.monotonic() - BEGUN:.0f} s)", flush=True)


BEGUN = time.monotonic()


def main(arguments: list[str] | None = None) -> int:
    options = parser(__doc__ or "", seeds=3).parse_args(arguments)
    threads(1)
    seeds = 1 if options.quick else options.seeds
    claims = henon(options.quick) + lorenz(options.quick) + random_networks(seeds, options.quick)
    return finish("Lyapunov exponents", claims, options.json)


if __name__ == "__main__":
    sys.exit(main())
