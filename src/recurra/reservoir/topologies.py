"""Recurrent weights of reservoirs: who hears whom, and how strongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
import torch

from recurra.cells.base import check_size
from recurra.cells.sparse import sparse_array
from recurra.cells.time_step import check_choice, check_fraction, check_not_negative
from recurra.errors import UsageError
from recurra.reservoir.spectral_radius import spectral_radius

Matrix = Any
"""One of scipy's sparse matrices, in compressed rows."""
Generator = torch.Generator | None
DISTRIBUTIONS = ("uniform", "normal", "sign")


def draw(count: int, distribution: str, generator: Generator) -> np.ndarray:
    """Numbers uniform in +-1, standard normal, or -1 and 1 with even chances."""
    if distribution == "normal":
        return torch.randn(count, generator=generator, dtype=torch.float64).numpy()
    numbers = 2.0 * torch.rand(count, generator=generator, dtype=torch.float64).numpy() - 1.0
    return np.where(numbers < 0, -1.0, 1.0) if distribution == "sign" else numbers


def places(size: int, count: int, generator: Generator) -> np.ndarray:
    """`count` different whole numbers below `size`, in no order."""
    if count * 4 > size:
        return torch.randperm(size, generator=generator)[:count].numpy()
    found = np.zeros(0, dtype=np.int64)
    while len(found) < count:
        more = torch.randint(size, (count + count // 4 + 8,), generator=generator).numpy()
        both = np.concatenate([found, more])
        found = both[np.sort(np.unique(both, return_index=True)[1])]
    return found[:count]


def random_weights(
    units: int, density: float | None = None, distribution: str = "uniform", generator: Generator = None
) -> Matrix:
    """A share `density` of all units^2 weights, drawn at random places.

    Without a density it is 0.1, or, in networks of less than 100 units, as much as 10 links a unit are: with fewer,
    chance may leave no cycle.

    Reference:
        H. Jaeger. The "echo state" approach to analysing and training recurrent neural networks. GMD report 148 (2001).
    """
    density = (
        min(1.0, max(0.1, 10.0 / units)) if density is None else check_fraction(density, "density", "random_weights")
    )
    check_choice(distribution, "distribution", DISTRIBUTIONS, "random_weights")
    where = places(units * units, round(density * units * units), generator)
    values = draw(len(where), distribution, generator)
    return scipy.sparse.coo_array((values, (where // units, where % units)), shape=(units, units)).tocsr()


def fixed_links(units: int, links: int = 10, distribution: str = "uniform", generator: Generator = None) -> Matrix:
    """Every unit hears exactly `links` units, itself perhaps among them, so that cost grows as the units alone.

    Reference:
        M. Lukosevicius. A practical guide to applying echo state networks. In: Neural Networks: Tricks of the Trade.
        Springer (2012) 659-686.
    """
    links = min(check_size(links, "links", "fixed_links"), units)
    check_choice(distribution, "distribution", DISTRIBUTIONS, "fixed_links")
    heard = np.concatenate([places(units, links, generator) for _ in range(units)])
    values = draw(len(heard), distribution, generator)
    row = np.repeat(np.arange(units), links)
    return scipy.sparse.coo_array((values, (row, heard)), shape=(units, units)).tocsr()


def ring(units: int, weight: float = 1.0, generator: Generator = None) -> Matrix:
    """Each unit hears the one before it, and the first the last, all with one weight: nothing is random.

    Reference:
        A. Rodan, P. Tino. Minimum complexity echo state network. IEEE Transactions on Neural Networks 22 (2011)
        131-144.
    """
    unit = np.arange(units)
    return scipy.sparse.coo_array((np.full(units, weight), (unit, (unit - 1) % units)), shape=(units, units)).tocsr()


def ring_with_jumps(
    units: int, weight: float = 1.0, jump_weight: float = 0.5, jump: int = 5, generator: Generator = None
) -> Matrix:
    """A ring with links in both directions between units a fixed jump apart.

    Reference:
        A. Rodan, P. Tino. Simple deterministically constructed cycle reservoirs with regular jumps. Neural Computation
        24 (2012) 1822-1852.
    """
    check_size(jump, "jump", "ring_with_jumps")
    stops = np.arange(0, units - units % jump + 1, jump)
    pairs = [(int(a), int(b) % units) for a, b in zip(stops, stops[1:], strict=False)]
    if units % jump and len(stops) > 1:
        pairs.append((int(stops[-1]) % units, 0))
    made = scipy.sparse.lil_array(ring(units, weight))
    for a, b in pairs:
        if a != b:
            made[a, b] = made[b, a] = jump_weight
    return made.tocsr()


def delay_line(units: int, weight: float = 1.0, backward: float = 0.0, generator: Generator = None) -> Matrix:
    """Each unit hears the one before it, and with `backward` also the one after it.

    Without backward links the spectral radius is 0, and it cannot be scaled.

    Reference:
        A. Rodan, P. Tino. Minimum complexity echo state network. IEEE Transactions on Neural Networks 22 (2011)
        131-144.
    """
    bands = [np.full(units - 1, weight), np.full(units - 1, backward)]
    return sparse_array(scipy.sparse.diags_array(bands, offsets=[-1, 1], shape=(units, units)), "delay_line")


def small_world(
    units: int,
    neighbours: int = 6,
    rewiring: float = 0.1,
    distribution: str = "uniform",
    generator: Generator = None,
) -> Matrix:
    """A ring in which each unit hears its nearest neighbours, some of these links moved to units anywhere.

    Args:
        units: of the reservoir.
        neighbours: whom each unit hears, half of them on either side.
        rewiring: the chance that a link is moved.
        distribution: of the weights, "uniform", "normal" or "sign".
        generator: of random numbers; torch's own when absent.

    Reference:
        D. J. Watts, S. H. Strogatz. Collective dynamics of 'small-world' networks. Nature 393 (1998) 440-442.
    """
    where = "small_world"
    check_size(neighbours, "neighbours", where)
    if neighbours % 2 or neighbours >= units:
        raise UsageError(f"neighbours is {neighbours}", where=where, need=f"an even number below {units}, the units")
    check_fraction(rewiring, "rewiring", where)
    check_choice(distribution, "distribution", DISTRIBUTIONS, where)
    offsets = np.concatenate([np.arange(1, neighbours // 2 + 1), -np.arange(1, neighbours // 2 + 1)])
    row, heard = [], []
    for unit in range(units):
        own = (unit + offsets) % units
        moved = torch.rand(neighbours, generator=generator).numpy() < rewiring
        free = np.setdiff1d(np.arange(units), np.append(own, unit))
        count = min(int(moved.sum()), len(free))
        chosen = np.flatnonzero(moved)[:count]
        own[chosen] = free[places(len(free), count, generator)] if count else own[chosen]
        row.append(np.full(neighbours, unit))
        heard.append(own)
    values = draw(units * neighbours, distribution, generator)
    return scipy.sparse.coo_array((values, (np.concatenate(row), np.concatenate(heard))), shape=(units, units)).tocsr()


def orthogonal(units: int, generator: Generator = None) -> Matrix:
    """A dense orthogonal matrix, drawn evenly from all: no direction of the state fades before another.

    Reference:
        O. L. White, D. D. Lee, H. Sompolinsky. Short-term memory in orthogonal neural networks. Physical Review Letters
        92 (2004) 148102.
    """
    q, r = torch.linalg.qr(torch.randn(units, units, generator=generator, dtype=torch.float64))
    return sparse_array((q * torch.sign(r.diagonal())).numpy(), "orthogonal")


def permutation(units: int, signs: bool = True, generator: Generator = None) -> Matrix:
    """Each unit hears one other, each heard by one, with weights of 1 or of either sign: orthogonal and as sparse as
    can be.

    Reference:
        M. A. Hajnal, A. Lorincz. Critical echo state networks. ICANN (2006) 658-667.
    """
    heard = torch.randperm(units, generator=generator).numpy()
    values = draw(units, "sign", generator) if signs else np.ones(units)
    return scipy.sparse.coo_array((values, (np.arange(units), heard)), shape=(units, units)).tocsr()


TOPOLOGIES: dict[str, Callable[..., Matrix]] = {
    "random": random_weights,
    "fixed_links": fixed_links,
    "ring": ring,
    "ring_with_jumps": ring_with_jumps,
    "delay_line": delay_line,
    "small_world": small_world,
    "orthogonal": orthogonal,
    "permutation": permutation,
}
"""The recurrent initialisers by name; each is called with the units, its own arguments and a generator."""


def reservoir_weights(
    topology: str, units: int, radius: float | None = None, generator: Generator = None, **arguments: Any
) -> Matrix:
    """Recurrent weights of a named topology, scaled to a spectral radius.

    Args:
        topology: "random", "fixed_links", "ring", "ring_with_jumps", "delay_line", "small_world", "orthogonal" or
            "permutation".
        units: of the reservoir.
        radius: the spectral radius wanted; the weights stay as they are drawn when absent.
        generator: of random numbers; torch's own when absent.
        arguments: of the topology's own function.

    Returns:
        (units, units), in compressed rows; row i holds what unit i hears.

    Raises:
        UsageError: the topology is not known, an argument is out of range, or there is no cycle to scale.

    Example:
        >>> weights = reservoir_weights("ring", 100, radius=0.9)
        >>> round(spectral_radius(weights), 12), weights.nnz
        (0.9, 100)
    """
    check_choice(topology, "topology", tuple(TOPOLOGIES), "reservoir_weights")
    units = check_size(units, "units", "reservoir_weights")
    made = sparse_array(TOPOLOGIES[topology](units, generator=generator, **arguments), "reservoir_weights")
    return made if radius is None else scaled_to(made, radius, "reservoir_weights")


def scaled_to(matrix: Matrix, radius: float, where: str) -> Matrix:
    """The matrix times what gives it this spectral radius."""
    radius = check_not_negative(radius, "spectral_radius", where)
    now = spectral_radius(matrix)
    if now == 0.0 and radius > 0:
        raise UsageError(
            "the recurrent weights have a spectral radius of 0, as no unit hears itself by any way",
            where=where,
            need="a cycle, or no scaling",
            cure="spectral_radius=None, which leaves the weights as they are, or a higher density",
        )
    return matrix * (radius / now if now else 0.0)
