"""The liquid state machine: a reservoir of spiking units, as a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.time_step import check_fraction, check_not_negative, check_positive
from recurra.errors import UsageError
from recurra.reservoir.sparse import SparseWeight


class LiquidState(NamedTuple):
    """The state of a liquid.

    Attributes:
        voltage: membrane potentials above rest, (batch, units).
        current: synaptic currents, (batch, units).
        silent: time left in which a unit cannot fire, (batch, units).
        spikes: 1 where a unit fired in the last step, (batch, units).
        trace: spikes, filtered, (batch, units).
    """

    voltage: Tensor
    current: Tensor
    silent: Tensor
    spikes: Tensor
    trace: Tensor


class Liquid(Cell):
    """Liquid of a liquid state machine: leaky integrate-and-fire units in space, linked the more the nearer they are.

    Equations:
        i_t = e^(-dt/synapse) i_{t-1} + W s_{t-1};
        v_t = e^(-dt/membrane) v_{t-1} + (1 - e^(-dt/membrane)) (i_t + W_in x_t + b), and 0 while silent;
        s_t = 1 where v_t >= threshold, then v_t = 0 and the unit is silent for the time `refractory`;
        y_t = e^(-dt/trace) y_{t-1} + s_t, which is what a readout sees.
        Units stand on the points of a box; unit j reaches unit i with the chance C e^(-(distance / reach)^2), where
        C is 0.3 from excitatory to excitatory units, 0.2 from excitatory to inhibitory, 0.4 from inhibitory to
        excitatory and 0.1 between inhibitory ones; weights of inhibitory units are negative.

    All weights are frozen. A spike has no derivative: gradients do not go through it.

    Args:
        input_size: features of x_t, currents or spikes.
        shape: points of the box along its three sides.
        inhibitory: share of inhibitory units.
        reach: the length over which links thin out, in points; 0 leaves the units unlinked.
        weight_scale: mean size of the recurrent weights, which are drawn from a gamma distribution of shape 1.
        input_scale: input weights are drawn uniform between 0 and it.
        input_share: share of the units that each input reaches.
        background: b, drawn uniform between 0 and it.
        membrane, synapse, trace, refractory: times, in the unit of dt.
        threshold: above the resting potential.
        dt: the step.
        generator: of random numbers; torch's own when absent.
        device, dtype: where and in which number format the weights are held.

    Shapes:
        x (batch, input_size), y (batch, units), units the product of `shape`; weight_ih (units, input_size), bias_ih
        (units,), weight_hh a `SparseWeight`.

    Raises:
        UsageError: an argument is out of range.
        ShapeError: x or the state does not fit.

    Differs from the paper: synapses do not change with use and carry no delay; one time constant serves all of them;
    currents are in the
        threshold's unit; the background current differs from unit to unit.

    Reference:
        W. Maass, T. Natschlaeger, H. Markram. Real-time computing without stable states: a new framework for neural
        computation based on perturbations. Neural Computation 14 (2002) 2531-2560.

    Example:
        >>> from recurra.unroll import unroll
        >>> cell = Liquid(1, (3, 3, 5), generator=torch.Generator().manual_seed(0))
        >>> y, state = unroll(cell, torch.ones(100, 2, 1))
        >>> y.shape, bool(y.max() > 0), bool((y[-1] == state.trace).all())
        (torch.Size([100, 2, 45]), True, True)
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    weight_ih: Tensor
    bias_ih: Tensor
    weight_hh: SparseWeight

    def __init__(
        self,
        input_size: int,
        shape: Sequence[int] = (3, 3, 15),
        inhibitory: float = 0.2,
        reach: float = 2.0,
        weight_scale: float = 10.0,
        input_scale: float = 30.0,
        input_share: float = 0.3,
        background: float = 13.5,
        membrane: float = 30.0,
        synapse: float = 3.0,
        trace: float = 30.0,
        refractory: float = 3.0,
        threshold: float = 15.0,
        dt: float = 1.0,
        generator: torch.Generator | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        where = "Liquid"
        sides = tuple(shape)
        if len(sides) != 3 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise UsageError(f"shape is {shape!r}", where=where, need="three positive whole numbers")
        super().__init__(input_size, math.prod(sides))
        self.shape, self.generator = sides, generator
        self.inhibitory = check_fraction(inhibitory, "inhibitory", where)
        self.input_share = check_fraction(input_share, "input_share", where)
        self.reach, self.weight_scale = (
            check_not_negative(reach, "reach", where),
            check_not_negative(weight_scale, "weight_scale", where),
        )
        self.input_scale = check_not_negative(input_scale, "input_scale", where)
        self.background = check_not_negative(background, "background", where)
        self.refractory = check_not_negative(refractory, "refractory", where)
        self.threshold, self.dt = check_positive(threshold, "threshold", where), check_positive(dt, "dt", where)
        self.kept = {
            name: math.exp(-self.dt / check_positive(value, name, where))
            for name, value in (("membrane", membrane), ("synapse", synapse), ("trace", trace))
        }
        dtype = dtype or torch.get_default_dtype()
        units = self.hidden_size
        for name, size in (("weight_ih", (units, input_size)), ("bias_ih", (units,))):
            empty = torch.empty(size, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(empty, requires_grad=False))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        units, g = self.hidden_size, self.generator

        def drawn(*size: int) -> Tensor:
            return torch.rand(*size, generator=g, dtype=torch.float64)

        a, b, c = self.shape
        points = torch.cartesian_prod(torch.arange(a), torch.arange(b), torch.arange(c)).double()
        quiet = torch.zeros(units, dtype=torch.bool)
        quiet[torch.randperm(units, generator=g)[: round(self.inhibitory * units)]] = True
        # The chances by kind: the row is the unit reached, the column the unit that reaches.
        chances = torch.tensor([[0.3, 0.4], [0.2, 0.1]], dtype=torch.float64)[quiet.long()][:, quiet.long()]
        near = torch.exp(-(torch.cdist(points, points) / self.reach).square()) if self.reach else torch.zeros(1)
        linked = (drawn(units, units) < chances * near) & ~torch.eye(units, dtype=torch.bool)
        sizes = -self.weight_scale * torch.log1p(-drawn(units, units))  # a gamma distribution of shape 1
        like = self.weight_ih
        self.weight_hh = SparseWeight(linked * torch.where(quiet, -sizes, sizes), like.device, like.dtype)
        with torch.no_grad():
            reached = drawn(units, self.input_size) < self.input_share
            like.copy_(self.input_scale * reached * drawn(units, self.input_size))
            self.bias_ih.copy_(self.background * drawn(units))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LiquidState:
        """At rest."""
        return LiquidState(*(self._zeros(batch_size, self.hidden_size, dtype, device) for _ in range(5)))

    def project(self, x: Tensor) -> Tensor:
        """W_in x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: LiquidState) -> tuple[Tensor, LiquidState]:
        """The step from W_in x + b on."""
        membrane, synapse, trace = (self.kept[name] for name in ("membrane", "synapse", "trace"))
        # What comes in from outside is a current that lasts as long as it is given; only spikes leave one behind.
        current = synapse * state.current + self.weight_hh(state.spikes)
        voltage = membrane * state.voltage + (1.0 - membrane) * (current + projected)
        awake = (state.silent <= 0).to(voltage)
        voltage = voltage * awake
        spikes = (voltage >= self.threshold).to(voltage)
        silent = torch.where(spikes > 0, torch.full_like(voltage, self.refractory), (state.silent - self.dt).relu())
        y = trace * state.trace + spikes
        return y, LiquidState(voltage * (1.0 - spikes), current, silent, spikes, y)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "generator": None}
