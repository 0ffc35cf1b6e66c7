"""Oja's rules: Hebbian learning that keeps its weights bounded and finds principal components."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.cells.time_step import check_choice
from recurra.errors import ShapeError


def oja(weight: Tensor, x: Tensor, rate: float | Tensor, among: str = "alone") -> Tensor:
    """The weights of linear units after one step of Oja's rule, or of a rule that keeps several units apart.

    Equations:
        y = W x;  dW = rate (y x^T - F[y y^T] W), where F keeps of a matrix
        - "alone":  its diagonal:       every unit for itself tends to the first principal component (Oja 1982);
        - "subspace": all of it:        the rows become an orthonormal basis of the first components' space (Oja 1989);
        - "ordered": what is on and below its diagonal:  row i tends to the i-th principal component (Sanger 1989).

    Over a batch the change is the mean of the samples' changes.

    Args:
        weight: W, small and random at the start.
        x: inputs with mean zero, a sample or a batch.
        rate: how far to go; small, or falling, so that W settles.
        among: "alone", "subspace" or "ordered".

    Shapes:
        weight (units, inputs), x (inputs,) or (batch, inputs); the new weights (units, inputs).

    Raises:
        UsageError: `among` is none of those.
        ShapeError: x does not fit the weights.

    Reference:
        E. Oja. A simplified neuron model as a principal component analyzer. Journal of Mathematical Biology 15 (1982)
        267-273.
        E. Oja. Neural networks, principal components, and subspaces. International Journal of Neural Systems 1 (1989)
        61-68.
        T. D. Sanger. Optimal unsupervised learning in a single-layer linear feedforward neural network. Neural Networks
        2 (1989) 459-473.

    Example:
        >>> w = torch.tensor([[0.6, 0.0]])
        >>> for _ in range(200):
        ...     w = oja(w, torch.tensor([1.0, 1.0]), 0.1)
        >>> w.round(decimals=3).tolist()  # of length 1, along (1, 1)
        [[0.7070000171661377, 0.7070000171661377]]
    """
    check_choice(among, "among", ("alone", "subspace", "ordered"), "oja")
    batch = check_inputs(weight, x, "oja")
    y = batch @ weight.mT
    together = y.mT @ y / len(batch)
    if among == "alone":
        together = torch.diag_embed(together.diagonal())
    elif among == "ordered":
        together = together.tril()
    return weight + rate * (y.mT @ batch / len(batch) - together @ weight)


def check_inputs(weight: Tensor, x: Tensor, where: str) -> Tensor:
    """x as a batch of inputs for these weights, or a ShapeError."""
    if weight.dim() != 2:
        raise ShapeError(f"weight has shape {tuple(weight.shape)}", where=where, need="(units, inputs)")
    if x.dim() not in (1, 2) or x.shape[-1] != weight.shape[1] or x.shape[0] == 0:
        inputs = weight.shape[1]
        raise ShapeError(f"x has shape {tuple(x.shape)}", where=where, need=f"({inputs},) or (batch, {inputs})")
    return x.reshape(-1, x.shape[-1])
