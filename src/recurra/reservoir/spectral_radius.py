"""The spectral radius of sparse and dense matrices, to rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackError, eigs

from recurra.cells.sparse import sparse_array
from recurra.errors import ShapeError, UsageError

DENSE = 400
"""Up to so many units all eigenvalues are computed; above, only those of largest modulus."""


def spectral_radius(matrix: Any) -> float:
    """The largest modulus of a matrix's eigenvalues.

    Equations:
        rho(W) = max |lambda_i(W)|.

    The matrix is first cut into its strongly connected parts, as its eigenvalues are those of the diagonal blocks: a
    matrix without cycles has a radius of exactly 0, and that of a single cycle is the geometric mean of its weights,
    where iterative methods go wrong. Small parts are solved in full; of large ones the eigenvalues of largest modulus
    are found by Arnoldi's method with restarts to the precision of float64, and in full where that does not converge.

    Args:
        matrix: a square matrix: a tensor, an array, a `SparseWeight` or one of scipy's sparse matrices.

    Raises:
        ShapeError: the matrix is not square, or holds a number that is not finite.

    Reference:
        R. B. Lehoucq, D. C. Sorensen, C. Yang. ARPACK Users' Guide. SIAM (1998).

    Example:
        >>> import torch
        >>> spectral_radius(torch.tensor([[0.0, 2.0], [8.0, 0.0]])), spectral_radius(torch.ones(3, 3).triu(1))
        (4.0, 0.0)
    """
    found = sparse_array(matrix, "spectral_radius")
    if found.shape[0] != found.shape[1]:
        raise ShapeError(f"the matrix has shape {found.shape}", where="spectral_radius", need="a square matrix")
    count, labels = connected_components(found, directed=True, connection="strong")
    sizes = np.bincount(labels, minlength=count)
    # Parts of one unit: the weight from the unit to itself.
    radius = float(np.abs(found.diagonal()[sizes[labels] == 1]).max(initial=0.0))
    for label in np.flatnonzero(sizes > 1):
        members = np.flatnonzero(labels == label)
        radius = max(radius, _irreducible(scipy.sparse.csr_array(found[members][:, members])))
    return radius


def effective_spectral_radius(matrix: Any, rate: float) -> float:
    """The spectral radius of a leaky reservoir about its resting state.

    Equations:
        rho((1 - rate) I + rate W).

    Args:
        matrix: W, as in `spectral_radius`.
        rate: the leaking rate, above 0 and at most 1.

    Reference:
        H. Jaeger, M. Lukosevicius, D. Popovici, U. Siewert. Optimization and applications of echo state networks with
        leaky-integrator neurons. Neural Networks 20 (2007) 335-352.

    Example:
        >>> import torch
        >>> effective_spectral_radius(torch.diag(torch.tensor([0.5, -0.5])), 0.5)
        0.75
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:
        raise UsageError(f"rate is {rate!r}", where="effective_spectral_radius", need="a number above 0 and at most 1")
    found = sparse_array(matrix, "effective_spectral_radius")
    identity = scipy.sparse.eye_array(found.shape[0], format="csr")
    return spectral_radius((1.0 - rate) * identity + rate * found)


def _irreducible(matrix: scipy.sparse.csr_array) -> float:
    """The radius of a matrix in which every unit reaches every other."""
    units = matrix.shape[0]
    if matrix.nnz == units:
        # One cycle through all units: lambda^n is the product of its weights.
        return float(np.exp(np.log(np.abs(matrix.data)).mean()))
    if units > DENSE and matrix.nnz < 0.5 * units**2:
        try:
            # A fixed start, so that the same matrix has the same radius; several values, as pairs stand close together.
            start = np.random.default_rng(0).standard_normal(units)
            found = eigs(matrix, k=6, which="LM", v0=start, ncv=64, tol=0.0, maxiter=3000, return_eigenvectors=False)
            return float(np.abs(found).max())
        except ArpackError:
            pass
    return float(np.abs(scipy.linalg.eigvals(matrix.toarray())).max())
