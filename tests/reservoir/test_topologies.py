"""Who hears whom, and the spectral radius of it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch

from recurra.errors import ShapeError, UsageError
from recurra.reservoir import TOPOLOGIES, effective_spectral_radius, input_weights, reservoir_weights, spectral_radius


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", sorted(set(TOPOLOGIES) - {"delay_line"}))
@pytest.mark.parametrize("units", [7, 60])
def test_every_topology_gets_the_radius_asked_for(name: str, units: int) -> None:
    weights = reservoir_weights(name, units, 0.8, seeded())
    assert np.abs(np.linalg.eigvals(weights.toarray())).max() == pytest.approx(0.8, rel=1e-9)
    again = reservoir_weights(name, units, 0.8, seeded())
    assert (weights != again).nnz == 0


def test_structures() -> None:
    assert reservoir_weights("random", 50, generator=seeded(), density=0.1).nnz == 250
    assert [reservoir_weights("random", units, generator=seeded()).nnz for units in (5, 50, 200)] == [25, 500, 4000]
    links = reservoir_weights("fixed_links", 50, generator=seeded(), links=4)
    assert (np.diff(links.indptr) == 4).all()
    ring = reservoir_weights("ring", 5, weight=0.5).toarray()
    np.testing.assert_array_equal(ring, 0.5 * np.roll(np.eye(5), 1, axis=0))
    line = reservoir_weights("delay_line", 4, weight=2.0, backward=0.5).toarray()
    np.testing.assert_array_equal(line, 2.0 * np.eye(4, k=-1) + 0.5 * np.eye(4, k=1))
    orthogonal = reservoir_weights("orthogonal", 20, generator=seeded()).toarray()
    np.testing.assert_allclose(orthogonal @ orthogonal.T, np.eye(20), atol=1e-13)
    permutation = np.abs(reservoir_weights("permutation", 20, generator=seeded()).toarray())
    assert (permutation.sum(0) == 1).all() and (permutation.sum(1) == 1).all()
    world = reservoir_weights("small_world", 40, generator=seeded(), neighbours=4, rewiring=0.5)
    assert (np.diff(world.indptr) == 4).all() and not world.diagonal().any()
    lattice = reservoir_weights("small_world", 10, generator=seeded(), neighbours=2, rewiring=0.0).toarray() != 0
    assert (lattice == (np.roll(np.eye(10), 1, 0) + np.roll(np.eye(10), -1, 0) > 0)).all()


def test_jumps_are_symmetric_and_close_the_ring() -> None:
    for units, stops in ((9, [(0, 3), (3, 6), (6, 0)]), (10, [(0, 3), (3, 6), (6, 9), (9, 0)])):
        made = reservoir_weights("ring_with_jumps", units, weight=0.0, jump_weight=0.25, jump=3).toarray()
        assert {(a, b) for a, b in zip(*np.nonzero(made), strict=True)} == {
            pair for a, b in stops for pair in ((a, b), (b, a))
        }


@pytest.mark.parametrize("distribution", ["uniform", "normal", "sign"])
def test_distributions(distribution: str) -> None:
    values = reservoir_weights("random", 200, generator=seeded(), distribution=distribution).data
    second = {"uniform": 1 / 3, "normal": 1.0, "sign": 1.0}[distribution]
    assert abs(values.mean()) < 0.05 and (values**2).mean() == pytest.approx(second, rel=0.1)
    assert distribution != "sign" or set(np.unique(values)) == {-1.0, 1.0}


def test_a_large_sparse_radius_is_exact() -> None:
    weights = reservoir_weights("random", 600, generator=seeded(3), density=0.02)
    assert spectral_radius(weights) == pytest.approx(np.abs(np.linalg.eigvals(weights.toarray())).max(), rel=1e-11)


def test_radii_where_iteration_goes_wrong() -> None:
    """Nilpotent, a single long cycle, and blocks that do not reach one another."""
    rng = np.random.default_rng(0)
    triangle = np.triu(rng.normal(size=(500, 500)), 1)
    assert spectral_radius(triangle) == 0.0
    cycle = scipy.sparse.csr_array(np.roll(np.diag(rng.uniform(0.5, 2.0, 900)), 1, axis=0))
    assert spectral_radius(cycle) == pytest.approx(np.exp(np.log(cycle.data).mean()), rel=1e-13)
    block = rng.normal(size=(5, 5))
    both = scipy.sparse.block_diag([block, 3.0 * np.roll(np.eye(4), 1, 0), [[-7.0]]])
    assert spectral_radius(both) == 7.0
    assert spectral_radius(torch.zeros(3, 3)) == 0.0


def test_effective_radius() -> None:
    weights = reservoir_weights("random", 30, 0.9, seeded())
    expected = np.abs(np.linalg.eigvals(0.7 * np.eye(30) + 0.3 * weights.toarray())).max()
    assert effective_spectral_radius(weights, 0.3) == pytest.approx(expected, rel=1e-10)


def test_input_weights() -> None:
    assert set(input_weights("sign", 40, 2, seeded()).unique().tolist()) == {-1.0, 1.0}
    each = input_weights("one_input_each", 7, 3, seeded())
    assert ((each != 0).sum(1) == 1).all() and ((each != 0).sum(0) >= 2).all()
    assert input_weights("first_unit", 3, 2, seeded()).tolist() == [[1, 0], [0, 1], [0, 0]]
    assert input_weights("uniform", 500, 2, seeded()).abs().max() <= 1
    assert input_weights("normal", 500, 2, seeded()).std().item() == pytest.approx(1, rel=0.1)


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="density is 2. Needed: a number from 0 to 1"):
        reservoir_weights("random", 10, density=2)
    with pytest.raises(UsageError, match="neighbours is 3. Needed: an even number below 10, the units"):
        reservoir_weights("small_world", 10, neighbours=3)
    with pytest.raises(UsageError, match="distribution is 'cauchy'"):
        reservoir_weights("random", 10, distribution="cauchy")
    with pytest.raises(ShapeError, match=r"the matrix has shape \(2, 3\). Needed: a square matrix"):
        spectral_radius(torch.zeros(2, 3))
    with pytest.raises(UsageError, match="rate is 2. Needed: a number above 0 and at most 1"):
        effective_spectral_radius(torch.eye(2), 2)
    with pytest.raises(UsageError, match="there are 3 inputs for 2 units"):
        input_weights("first_unit", 2, 3)
