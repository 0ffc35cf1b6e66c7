"""Anti-Hebbian learning: lateral connections that drive units apart."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recurra.errors import ShapeError
from recurra.learn.closed.oja import check_inputs
from recurra.learn.closed.patterns import without_diagonal


class LateralWeights(NamedTuple):
    """The weights of linear units with lateral connections.

    Attributes:
        forward: Q, from the inputs, (units, inputs).
        lateral: C, between the units, (units, units), with a zero diagonal.
    """

    forward: Tensor
    lateral: Tensor


def anti_hebbian(weights: LateralWeights, x: Tensor, rate: float, lateral_rate: float) -> LateralWeights:
    """One step of Hebbian learning from the inputs and anti-Hebbian learning between the units.

    Equations:
        y = Q x + C y, settled: y = (I - C)^-1 Q x
        dc_ij = -lateral_rate y_i y_j for i other than j:  units that are active together come to inhibit each other
        dq_ij = rate (y_i x_j - q_ij y_i^2):               Oja's rule

    The units' outputs become uncorrelated, and span the first principal components. Over a batch the change is the mean
    of the samples' changes.

    Args:
        weights: Q and C as they are; C begins at zero.
        x: inputs with mean zero, a sample or a batch.
        rate: of the forward weights.
        lateral_rate: of the lateral ones.

    Shapes:
        as in `LateralWeights`; x (inputs,) or (batch, inputs).

    Raises:
        ShapeError: x or the lateral weights do not fit.

    Reference:
        P. Foldiak. Adaptive network for optimal linear feature extraction. International Joint Conference on Neural
        Networks (1989) vol. 1, 401-405.

    Example:
        >>> weights = LateralWeights(torch.tensor([[1.0, 0.0], [1.0, 0.5]]), torch.zeros(2, 2))
        >>> anti_hebbian(weights, torch.tensor([1.0, 0.0]), 0.1, 0.1).lateral.tolist()
        [[0.0, -0.10000000149011612], [-0.10000000149011612, 0.0]]
    """
    forward, lateral = weights
    y = lateral_outputs(weights, x).reshape(-1, forward.shape[0])
    batch = check_inputs(forward, x, "anti_hebbian")
    together = y.mT @ y / len(batch)
    hebb = y.mT @ batch / len(batch) - together.diagonal().unsqueeze(-1) * forward
    return LateralWeights(forward + rate * hebb, lateral - lateral_rate * without_diagonal(together))


def lateral_outputs(weights: LateralWeights, x: Tensor) -> Tensor:
    """What the units settle to: (I - C)^-1 Q x, of the shape of x with units in place of inputs."""
    forward, lateral = weights
    batch = check_inputs(forward, x, "lateral_outputs")
    units = forward.shape[0]
    if lateral.shape != (units, units):
        raise ShapeError(
            f"lateral has shape {tuple(lateral.shape)}", where="lateral_outputs", need=f"({units}, {units})"
        )
    eye = torch.eye(units, dtype=lateral.dtype, device=lateral.device)
    y = torch.linalg.solve(eye - lateral, forward @ batch.mT).mT
    return y.reshape(*x.shape[:-1], units)
