"""The liquid of a liquid state machine: a reservoir of spiking units, as a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.sparse import SparseWeight
from recurra.cells.time_step import check_fraction, check_not_negative, check_positive
from recurra.errors import UsageError

# By kind, excitatory and inhibitory: the row is the unit that is reached, the column the one that reaches.
CHANCES = torch.tensor([[0.3, 0.4], [0.2, 0.1]], dtype=torch.float64)


class LiquidState(NamedTuple):
    """The state of a liquid.

    Attributes:
        voltage: membrane potentials above rest, (batch, hidden_size).
        current: synaptic currents, (batch, hidden_size).
        silent: time left in which a unit cannot fire, (batch, hidden_size).
        spikes: 1 where a unit fired in the last step, (batch, hidden_size).
        trace: spikes, filtered, (batch, hidden_size).
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
        v_t = e^(-dt/membrane) v_{t-1} + (1 - e^(-dt/membrane)) (i_t + W_in x_t + b), and `reset` while silent;
        s_t = 1 where v_t >= threshold, then v_t = reset and the unit is silent for the time `refractory`;
        y_t = e^(-dt/trace) y_{t-1} + s_t, which is what a readout sees.
        Units stand on the points of a box; unit j reaches unit i with the chance C e^(-(distance / reach)^2), where
        C is 0.3 from excitatory to excitatory units, 0.2 from excitatory to inhibitory, 0.4 from inhibitory to
        excitatory and 0.1 between inhibitory ones; weights of inhibitory units are negative.

    All weights are frozen. A spike has no derivative: gradients go through the filter that follows it, and not through
    it. Which units are linked is drawn from `wiring_seed` and saved with the weights.

    Args:
        input_size: features of x_t, currents or spikes.
        hidden_size: units.
        bias: whether b, a current of the background, exists.
        shape: points of the box along its three sides, hidden_size of them; when absent a column 3 points wide and 3
            deep, as high as it takes, whose last layer may be filled in part.
        wiring_seed: of the links; liquids of the same sizes and seed have the same ones, of other strengths.
        inhibitory: share of inhibitory units.
        reach: the length over which links thin out, in points; 0 leaves the units unlinked.
        weight_scale: mean size of the recurrent weights, which are drawn from a gamma distribution of shape 1.
        input_scale: input weights are drawn uniform between 0 and it; as it stands, an input of 1 lifts a unit by about
            the distance from its background to the threshold in one step.
        input_share: share of the units that each input reaches.
        background: b.
        reset: the potential after a spike.
        start: the potential before the first step.
        membrane, synapse, trace, refractory: times, in the unit of dt.
        threshold: the potential at which a unit fires; all potentials are above the resting one.
        dt: the step.
        generator: of the weights' random numbers; torch's own when absent.
        device, dtype: where and in which number format the weights are held.

    Shapes:
        x (batch, input_size), y and each part of the state (batch, hidden_size); weight_ih (hidden_size, input_size),
        bias_ih (hidden_size,), weight_hh a `SparseWeight`; sign (hidden_size,), 1 for excitatory units and -1 for
        inhibitory ones.

    Raises:
        UsageError: an argument is out of range.
        ShapeError: x or the state does not fit.

    Differs from the paper: synapses do not tire with use, and so are weaker by default, that activity may die out after
    the input; they carry no delay; one mean strength, one time constant and one time of silence serve all kinds of
    units; currents are in the threshold's unit; every potential starts alike; the last layer of the column may be
    filled in part.

    Reference:
        W. Maass, T. Natschlaeger, H. Markram. Real-time computing without stable states: a new framework for neural
        computation based on perturbations. Neural Computation 14 (2002) 2531-2560.

    Example:
        >>> from recurra.unroll import unroll
        >>> cell = Liquid(1, 45, generator=torch.Generator().manual_seed(0))
        >>> y, state = unroll(cell, torch.ones(100, 2, 1))
        >>> cell.shape, y.shape, bool(y.max() > 0), bool((y[-1] == state.trace).all())
        ((3, 3, 5), torch.Size([100, 2, 45]), True, True)
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    weight_ih: Tensor
    bias_ih: Tensor | None
    weight_hh: SparseWeight
    sign: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        shape: Sequence[int] | None = None,
        wiring_seed: int = 0,
        inhibitory: float = 0.2,
        reach: float = 2.0,
        weight_scale: float = 3.0,
        input_scale: float = 100.0,
        input_share: float = 0.3,
        background: float = 13.5,
        reset: float = 13.5,
        start: float = 13.5,
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
        super().__init__(input_size, hidden_size)
        where = "Liquid"
        self.shape, self.generator = _sides(shape, hidden_size), generator
        self.inhibitory = check_fraction(inhibitory, "inhibitory", where)
        self.input_share = check_fraction(input_share, "input_share", where)
        self.reach = check_not_negative(reach, "reach", where)
        self.weight_scale = check_not_negative(weight_scale, "weight_scale", where)
        self.input_scale = check_not_negative(input_scale, "input_scale", where)
        self.background = check_not_negative(background, "background", where)
        self.refractory = check_not_negative(refractory, "refractory", where)
        self.threshold, self.dt = check_positive(threshold, "threshold", where), check_positive(dt, "dt", where)
        self.reset, self.start = (
            _below(reset, "reset", self.threshold),
            _below(start, "start", self.threshold),
        )
        self.kept = {
            name: math.exp(-self.dt / check_positive(value, name, where))
            for name, value in (("membrane", membrane), ("synapse", synapse), ("trace", trace))
        }
        dtype = dtype or torch.get_default_dtype()
        for name, size in (("weight_ih", (hidden_size, input_size)), ("bias_ih", (hidden_size,))):
            empty = torch.empty(size, device=device, dtype=dtype)
            wanted = bias or name != "bias_ih"
            self.register_parameter(name, nn.Parameter(empty, requires_grad=False) if wanted else None)
        sign, linked = self._wiring(torch.Generator().manual_seed(wiring_seed))
        self.register_buffer("sign", sign.to(device=device, dtype=dtype))
        self.weight_hh = SparseWeight(linked * sign, device, dtype)
        self.reset_parameters()

    def _wiring(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The sign of each unit, and whether a unit (the row) is reached by another (the column)."""
        units, (wide, deep, high) = self.hidden_size, self.shape
        # Layer by layer from the bottom: where the box has more points than there are units, the last ones stay empty.
        points = torch.cartesian_prod(torch.arange(high), torch.arange(wide), torch.arange(deep))[:units].double()
        quiet = torch.zeros(units, dtype=torch.long)
        quiet[torch.randperm(units, generator=generator)[: round(self.inhibitory * units)]] = 1
        chances = CHANCES[quiet][:, quiet]
        near = torch.exp(-(torch.cdist(points, points) / self.reach).square()) if self.reach else torch.zeros(1)
        drawn = torch.rand(units, units, generator=generator, dtype=torch.float64)
        linked = (drawn < chances * near) & ~torch.eye(units, dtype=torch.bool)
        return 1.0 - 2.0 * quiet.double(), linked

    def reset_parameters(self) -> None:
        """Draw all weights anew; the links stay."""
        values, like = self.weight_hh.values, self.weight_ih

        def drawn(*size: int) -> Tensor:
            return torch.rand(*size, generator=self.generator, dtype=torch.float64)

        with torch.no_grad():
            sizes = -self.weight_scale * torch.log1p(-drawn(len(values)))  # a gamma distribution of shape 1
            values.copy_(sizes.to(values) * self.sign[self.weight_hh.column])
            reached = drawn(*like.shape) < self.input_share
            like.copy_(self.input_scale * reached * drawn(*like.shape))
            if self.bias_ih is not None:
                self.bias_ih.fill_(self.background)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LiquidState:
        """Every potential at `start`, and no spike under way."""
        zeros = [self._zeros(batch_size, self.hidden_size, dtype, device) for _ in range(5)]
        return LiquidState(zeros[0] + self.start, *zeros[1:])

    def project(self, x: Tensor) -> Tensor:
        """W_in x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: LiquidState) -> tuple[Tensor, LiquidState]:
        """The step from W_in x + b on."""
        membrane, synapse, trace = (self.kept[name] for name in ("membrane", "synapse", "trace"))
        # What comes in from outside is a current that lasts as long as it is given; only spikes leave one behind.
        current = synapse * state.current + self.weight_hh(state.spikes)
        voltage = membrane * state.voltage + (1.0 - membrane) * (current + projected)
        at_reset = torch.full_like(voltage, self.reset)
        voltage = torch.where(state.silent > 0, at_reset, voltage)
        fires = voltage >= self.threshold
        spikes = fires.to(voltage)
        silent = torch.where(fires, torch.full_like(voltage, self.refractory), (state.silent - self.dt).relu())
        y = trace * state.trace + spikes
        return y, LiquidState(torch.where(fires, at_reset, voltage), current, silent, spikes, y)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "generator": None}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, shape={self.shape}"


def _below(value: Any, name: str, threshold: float) -> float:
    """A number below the threshold, or a UsageError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < threshold:
        need = f"a number below {threshold:g}, the threshold"
        raise UsageError(f"{name} is {value!r}", where="Liquid", need=need)
    return float(value)


def _sides(shape: Any, units: int) -> tuple[int, int, int]:
    """The points of the box along its sides, as given or as many as the units take."""
    if shape is None:
        return 3, 3, math.ceil(units / 9)
    sides = tuple(shape)
    if len(sides) != 3 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise UsageError(f"shape is {shape!r}", where="Liquid", need="three positive whole numbers")
    if math.prod(sides) != units:
        raise UsageError(
            f"shape is {sides}, {math.prod(sides)} points", where="Liquid", need=f"{units}, as hidden_size says"
        )
    return sides[0], sides[1], sides[2]
