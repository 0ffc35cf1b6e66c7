"""How the layers of a stack are joined: plainly, with residual or highway connections, or densely."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

CONNECTIONS = ("plain", "residual", "highway", "dense")


class Highway(nn.Module):
    """A gate that mixes what a layer reads with what it gives.

    Equations:
        t = sigmoid(W x + b),  z = t * y + (1 - t) * x.

    Args:
        features: of x and y.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x, y and z (..., features). b begins at -2, so that a new layer passes most of x on.

    Reference:
        R. K. Srivastava, K. Greff, J. Schmidhuber. Training very deep networks. NIPS (2015) 2377-2385.
    """

    def __init__(self, features: int, device: Any = None, dtype: Any = None):
        super().__init__()
        self.gate = nn.Linear(features, features, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew; the bias is -2."""
        self.gate.reset_parameters()
        nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """z."""
        return x + torch.sigmoid(self.gate(x)) * (y - x)


class Residual(nn.Module):
    """The sum of what a layer reads and what it gives.

    Equations:
        z = x + y.

    Reference:
        K. He, X. Zhang, S. Ren, J. Sun. Deep residual learning for image recognition. CVPR (2016) 770-778.
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """z."""
        return x + y


class Dense(nn.Module):
    """What a layer reads and what it gives, side by side, so that each layer reads all those below.

    Equations:
        z = [x; y].

    Reference:
        G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger. Densely connected convolutional networks. CVPR (2017)
        4700-4708.
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """z."""
        return torch.cat([x, y], dim=-1)


class Plain(nn.Module):
    """What a layer gives, and nothing else."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """y."""
        return y


def make_joint(connection: str, reads: int, gives: int, device: Any, dtype: Any) -> tuple[nn.Module, int]:
    """The joint after a layer, and the features that it gives.

    Residual and highway connections stand where a layer gives as many features as it reads, and nowhere else.
    """
    if connection == "dense":
        return Dense(), reads + gives
    if connection == "residual" and reads == gives:
        return Residual(), gives
    if connection == "highway" and reads == gives:
        return Highway(gives, device, dtype), gives
    return Plain(), gives
