"""Sparse recurrent weights with a fixed pattern, and their product with hidden units."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from recurra.cells.base import in_transform
from recurra.errors import ShapeError


class SparseWeight(nn.Module):
    """A sparse matrix of weights: the entries that are not zero, and where they stand.

    Equations:
        y = W h.

    The entries are frozen when made; with `requires_grad_(True)` they, and only they, are learned as any weight.

    Args:
        matrix: W, a dense tensor or any of scipy's sparse matrices.
        device, dtype: where and in which number format the entries are held.

    Shapes:
        W (rows, columns), h (batch, columns), y (batch, rows); values (entries,), a weight; row and column (entries,),
        buffers.

    Raises:
        ShapeError: the matrix has not two dimensions, or holds a number that is not finite.

    Example:
        >>> weight = SparseWeight(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))
        >>> weight(torch.tensor([[5.0, 7.0]])).tolist(), len(weight.values)
        ([[14.0, 0.0]], 1)
    """

    row: Tensor
    column: Tensor

    def __init__(self, matrix: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        if isinstance(matrix, Tensor):
            dtype = dtype or matrix.dtype
            matrix = matrix.detach().cpu().numpy()
        found = sparse_array(matrix, "SparseWeight").tocoo()
        self.shape = tuple(int(size) for size in found.shape)
        self.values = nn.Parameter(
            torch.as_tensor(found.data, dtype=dtype or torch.get_default_dtype(), device=device).clone(),
            requires_grad=False,
        )
        for name, places in (("row", found.coords[0]), ("column", found.coords[1])):
            self.register_buffer(name, torch.as_tensor(places.astype(np.int64), device=device))
        self._compressed: tuple[Any, dict[bool, Tensor]] | None = None

    def forward(self, h: Tensor) -> Tensor:
        """W h for h (batch, columns)."""
        if self.needs_plain():
            return self.plain(h)
        return _Product.apply(h, self, False) if h.requires_grad and torch.is_grad_enabled() else self._times(h, False)

    def added(self, total: Tensor, h: Tensor) -> Tensor:
        """total + W h, in one pass where no gradient is asked for."""
        if torch.is_grad_enabled() or in_transform() or torch.compiler.is_compiling():
            return total + self(h)
        matrix = self._rows(False)
        if h.shape[0] == 1:
            return torch.addmv(total[0], matrix, h[0]).unsqueeze(0)
        return torch.addmm(total.mT, matrix, h.mT).mT

    def needs_plain(self) -> bool:
        """Whether only plain operations will do: inside a transform, or where the entries are learned."""
        learned = torch.is_grad_enabled() and self.values.requires_grad
        return learned or in_transform() or torch.compiler.is_compiling()

    def plain(self, h: Tensor) -> Tensor:
        """W h in plain operations, which every transform knows; it is slower and takes entries times batch numbers."""
        zeros = h.new_zeros(*h.shape[:-1], self.shape[0])
        return zeros.index_add(-1, self.row, h.index_select(-1, self.column) * self.values.to(h.dtype))

    def dense(self) -> Tensor:
        """W as a dense tensor."""
        flat = self.values.new_zeros(self.shape[0] * self.shape[1])
        return flat.index_add(0, self.row * self.shape[1] + self.column, self.values).reshape(self.shape)

    def rows(self) -> Tensor:
        """W as a tensor of compressed rows, which is kept until the entries change: not to be written to."""
        return self._rows(False)

    def _times(self, h: Tensor, transposed: bool) -> Tensor:
        matrix = self._rows(transposed)
        if h.shape[0] == 1:
            return (matrix @ h[0]).unsqueeze(0)
        # The product wants the batch last; `contiguous` costs nothing where a cell has laid it out so.
        return (matrix @ h.mT.contiguous()).mT

    def _rows(self, transposed: bool) -> Tensor:
        """W, or its transpose, in compressed rows; kept until the entries change or move."""
        values = self._parameters["values"]
        assert values is not None
        key = (values.data_ptr(), 0 if values.is_inference() else values._version, values.dtype)
        if self._compressed is None or self._compressed[0] != key:
            self._compressed = (key, {})
        kept = self._compressed[1]
        if transposed not in kept:
            at, along = (self.column, self.row) if transposed else (self.row, self.column)
            size = self.shape[::-1] if transposed else self.shape
            order = torch.argsort(at * size[1] + along)
            starts = torch.zeros(size[0] + 1, dtype=torch.long, device=at.device)
            starts[1:] = torch.bincount(at, minlength=size[0]).cumsum(0)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
                # 32 bits, which the product's kernels read without converting them at every call.
                kept[transposed] = torch.sparse_csr_tensor(
                    starts.int(), along[order].int(), values.detach()[order], size, check_invariants=False
                )
        return kept[transposed]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compressed": None}

    def extra_repr(self) -> str:
        return f"{self.shape[0]}, {self.shape[1]}, entries={len(self.values)}"


class _Product(torch.autograd.Function):
    """The product where a gradient goes through the hidden units; its gradient is a product too, to any order."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: SparseWeight, transposed: bool) -> Tensor:
        ctx.weight, ctx.transposed = weight, transposed
        return weight._times(h, transposed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return _Product.apply(gradient, ctx.weight, not ctx.transposed), None, None


def sparse_array(matrix: Any, where: str) -> scipy.sparse.csr_array:
    """Any matrix as compressed rows without stored zeros, or a ShapeError."""
    if isinstance(matrix, SparseWeight):
        places = (matrix.row.cpu().numpy(), matrix.column.cpu().numpy())
        matrix = scipy.sparse.coo_array((matrix.values.detach().cpu().numpy(), places), shape=matrix.shape)
    if isinstance(matrix, Tensor):
        matrix = matrix.detach().cpu().numpy()
    if not scipy.sparse.issparse(matrix):
        matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2:
        raise ShapeError(f"the matrix has shape {tuple(matrix.shape)}", where=where, need="two dimensions")
    found = scipy.sparse.csr_array(matrix).astype(np.float64)
    found.sum_duplicates()
    found.eliminate_zeros()
    if not np.isfinite(found.data).all():
        raise ShapeError("the matrix holds a number that is not finite", where=where, need="finite numbers")
    return found
