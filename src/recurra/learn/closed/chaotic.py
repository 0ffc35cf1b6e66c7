"""Random rate networks that are chaotic by themselves."""

from __future__ import annotations

import math

import torch

from recurra.cells.base import check_size
from recurra.cells.ctrnn import CTRNN
from recurra.cells.time_step import check_not_negative, check_positive
from recurra.errors import UsageError


def chaotic_network(
    inputs: int,
    outputs: int,
    hidden_size: int,
    gain: float = 1.5,
    density: float = 0.1,
    feedback: float = 1.0,
    time_constant: float = 1.0,
    dt: float = 0.1,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> CTRNN:
    """A sparse random network of rate units, with feedback weights: the generator network of FORCE learning.

    Equations:
        tau dh/dt = -h + J tanh(h) + V u + F z,  by Euler steps of dt;
        J_ij = 0 with probability 1 - density, else drawn from a normal distribution of variance
        gain^2 / (density hidden_size); F uniform in +-feedback; V standard normal.

    Without input, a large network is silent for gain < 1 and chaotic above; 1.5 is the paper's choice.

    Args:
        inputs: external inputs u, 0 or more.
        outputs: outputs z that are fed back, 1 or more.
        hidden_size: units.
        gain: the strength of the recurrent weights.
        density: the share of units that each unit hears.
        feedback: the bound of the feedback weights.
        time_constant: tau.
        dt: the step, in the unit of tau.
        generator: of random numbers; torch's own when absent.
        dtype: the weights' number format.

    Returns:
        A `CTRNN` with input_size = inputs + outputs, no bias, and weights that ask for no gradient. Its output is h:
        the rates are tanh(h).

    Raises:
        UsageError: a number is out of range.

    Reference:
        D. Sussillo, L. F. Abbott. Generating coherent patterns of activity from chaotic neural networks. Neuron 63
        (2009) 544-557.
        H. Sompolinsky, A. Crisanti, H. J. Sommers. Chaos in random neural networks. Physical Review Letters 61 (1988)
        259-262.

    Example:
        >>> cell = chaotic_network(0, 1, 50, generator=torch.Generator().manual_seed(0))
        >>> cell.input_size, cell.weight_hh.shape, 0.05 < (cell.weight_hh != 0).double().mean().item() < 0.15
        (1, torch.Size([50, 50]), True)
    """
    where = "chaotic_network"
    if isinstance(inputs, bool) or not isinstance(inputs, int) or inputs < 0:
        raise UsageError(f"inputs is {inputs!r}", where=where, need="a whole number, 0 or more")
    check_size(outputs, "outputs", where)
    if not 0 < check_positive(density, "density", where) <= 1:
        raise UsageError(f"density is {density!r}", where=where, need="a number above 0 and at most 1")
    check_not_negative(gain, "gain", where)
    check_not_negative(feedback, "feedback", where)
    made = CTRNN(
        inputs + outputs, hidden_size, False, time_constant=time_constant, nonlinearity="tanh", dt=dt, dtype=dtype
    )
    heard = torch.rand(hidden_size, hidden_size, generator=generator, dtype=dtype) < density
    drawn = torch.randn(hidden_size, hidden_size, generator=generator, dtype=dtype)
    external = torch.randn(hidden_size, inputs, generator=generator, dtype=dtype)
    back = feedback * (2.0 * torch.rand(hidden_size, outputs, generator=generator, dtype=dtype) - 1.0)
    with torch.no_grad():
        made.weight_hh.copy_(heard * drawn * (gain / math.sqrt(density * hidden_size)))
        made.weight_ih.copy_(torch.cat([external, back], -1))
    made.requires_grad_(False)
    return made
