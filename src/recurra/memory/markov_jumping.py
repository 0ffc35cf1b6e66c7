"""Bidirectional memories in continuous time with noise, delays, and weights that jump among modes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recurra.cells.time_step import check_not_negative, check_positive
from recurra.errors import ShapeError, UsageError
from recurra.memory.spins import check_rows


@dataclass(frozen=True)
class JumpMode:
    """The constants of the network while it is in one mode.

    Attributes:
        first_weight: W, what the first side hears of the second, (first_size, second_size).
        second_weight: V, what the second side hears of the first, (second_size, first_size); W^T when absent.
        decay: a, of all units.
        delay: tau, the age at which either side hears the other, in the unit of time; 0 or more.
        noise: c, the strength of noise in proportion to a unit's own value.
    """

    first_weight: Tensor
    second_weight: Tensor | None = None
    decay: float = 1.0
    delay: float = 0.0
    noise: float = 0.0


class JumpRun(NamedTuple):
    """A simulated run.

    Attributes:
        time: (steps + 1,).
        first: x, (steps + 1, batch, first_size).
        second: y, (steps + 1, batch, second_size).
        mode: the mode in force from each time on, (steps + 1, batch).
    """

    time: Tensor
    first: Tensor
    second: Tensor
    mode: Tensor

    @property
    def mean_square(self) -> Tensor:
        """The mean over the batch of |x|^2 + |y|^2, (steps + 1,): what stability in mean square is about."""
        return (self.first.square().sum(-1) + self.second.square().sum(-1)).mean(-1)


class MarkovJumpingMemory(nn.Module):
    """Stochastic bidirectional associative memory with Markovian jumping and delays.

    Equations:
        dx = (-a_r x + W_r f(y(t - tau_r)) + I) dt + c_r x dB_1
        dy = (-a_r y + V_r f(x(t - tau_r)) + J) dt + c_r y dB_2,  f = tanh, B_1 and B_2 Brownian motions of all units,
        where the mode r(t) is a Markov chain: P(r(t + dt) = j | r(t) = i) = q_ij dt for j other than i.
        E_r(x, y) = -f(x) W_r f(y) - I f(x) - J f(y) + a_r sum over both of (x f(x) - ln cosh x), where V_r = W_r^T,
        falls along every run without delay, noise and jumps.

    With I = J = 0 the mean square of (x, y) falls at least as exp(-rate t), where rate solves
    rate = alpha - D w e^(rate tau), provided that alpha > D w. alpha is the least 2 a_r - c_r^2 - w_r of all modes, w_r
    the larger spectral norm of W_r and V_r, w the largest w_r, tau the longest delay and D the number of different
    delays. (Halanay's inequality for the sum of squares, the same function in all modes.) This is sufficient, not
    necessary.

    Args:
        modes: the constants of each mode.
        rates: q_ij, how often the chain goes from mode i to mode j; the diagonal makes each row's sum 0.
        first_input, second_input: I and J, the same in all modes; 0 when absent.

    Shapes:
        first x (batch, first_size), second y (batch, second_size), rates (modes, modes); time in any unit.

    Raises:
        UsageError: a number is out of range, or the rates are not those of a Markov chain.
        ShapeError: weights, inputs or states do not fit.

    Differs from the paper: one decay, one delay and one strength of noise for all units in a mode, and a condition on
    norms that is plainer and stricter than the papers' linear matrix inequalities. Stochastic equations are Ito's.

    Reference:
        Q. Zhu, J. Cao. Stability analysis of Markovian jump stochastic BAM neural networks with impulse control and
        mixed time delays. IEEE Transactions on Neural Networks and Learning Systems 23 (2012) 467-479.
        A. Halanay. Differential equations: stability, oscillations, time lags. Academic Press (1966).
        B. Kosko. Bidirectional associative memories. IEEE Transactions on Systems, Man, and Cybernetics 18 (1988)
        49-60.

    Example:
        >>> import torch
        >>> calm, wild = JumpMode(0.2 * torch.ones(2, 2)), JumpMode(-0.3 * torch.ones(2, 2), noise=0.5)
        >>> memory = MarkovJumpingMemory([calm, wild], [[-1.0, 1.0], [2.0, -2.0]])
        >>> round(memory.guaranteed_rate(), 3)
        0.55
        >>> run = memory.simulate(torch.ones(100, 2), torch.ones(100, 2), 5.0)
        >>> bool(run.mean_square[-1] < run.mean_square[0] * 0.1)
        True
    """

    first_weights: Tensor
    second_weights: Tensor
    rates: Tensor
    first_input: Tensor
    second_input: Tensor

    def __init__(
        self,
        modes: Sequence[JumpMode],
        rates: Any,
        first_input: Tensor | None = None,
        second_input: Tensor | None = None,
    ):
        super().__init__()
        where = "MarkovJumpingMemory"
        if not modes:
            raise UsageError("modes is empty", where=where, need="one mode or more")
        like = modes[0].first_weight
        if like.dim() != 2:
            need = "(first_size, second_size)"
            raise ShapeError(f"first_weight has shape {tuple(like.shape)}", where=where, need=need)
        self.first_size, self.second_size = like.shape
        backward = []
        for index, mode in enumerate(modes):
            second = mode.first_weight.mT if mode.second_weight is None else mode.second_weight
            for name, weight, shape in (
                ("first_weight", mode.first_weight, tuple(like.shape)),
                ("second_weight", second, tuple(like.mT.shape)),
            ):
                if weight.shape != shape:
                    given = f"{name} of mode {index} has shape {tuple(weight.shape)}"
                    raise ShapeError(given, where=where, need=f"{shape}")
            check_positive(mode.decay, f"decay of mode {index}", where)
            check_not_negative(mode.delay, f"delay of mode {index}", where)
            check_not_negative(mode.noise, f"noise of mode {index}", where)
            backward.append(second)
        self.modes = tuple(modes)
        self.register_buffer("first_weights", torch.stack([mode.first_weight for mode in modes]))
        self.register_buffer("second_weights", torch.stack(backward).to(like))
        self.register_buffer("rates", _check_rates(rates, len(modes), where))
        self.register_buffer("first_input", _check_constant(first_input, "first_input", like.shape[0], like))
        self.register_buffer("second_input", _check_constant(second_input, "second_input", like.shape[1], like))

    @torch.no_grad()
    def simulate(
        self,
        first: Tensor,
        second: Tensor,
        duration: float,
        dt: float = 0.01,
        mode: int = 0,
        generator: torch.Generator | None = None,
    ) -> JumpRun:
        """Run the network by the Euler-Maruyama method, each row of the batch with noise and jumps of its own.

        Args:
            first, second: x and y at time 0, and at all times before.
            duration: how long.
            dt: the step; delays are rounded to whole steps. Jumps between steps follow the chain exactly.
            mode: the mode at time 0.
            generator: of noise and jumps; torch's own when absent.
        """
        where = "MarkovJumpingMemory.simulate"
        dt, duration = check_positive(dt, "dt", where), check_positive(duration, "duration", where)
        if isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode < len(self.modes):
            raise UsageError(f"mode is {mode!r}", where=where, need=f"0 to {len(self.modes) - 1}")
        x = check_rows(first, self.first_size, "first", "batch", self.first_weights, where)
        y = check_rows(second, self.second_size, "second", "batch", self.first_weights, where)
        if len(x) != len(y):
            raise ShapeError(f"first has {len(x)} rows and second {len(y)}", where=where, need="as many")
        steps, batch = max(1, round(duration / dt)), len(x)
        decay, noise = (
            x.new_tensor([getattr(each, name) for each in self.modes]).unsqueeze(-1) for name in ("decay", "noise")
        )
        ages = torch.tensor([round(each.delay / dt) for each in self.modes], device=x.device)
        chances = torch.linalg.matrix_exp(self.rates * dt).clamp(min=0).cumsum(-1)
        rows = torch.arange(batch, device=x.device)
        now = torch.full((batch,), mode, device=x.device)
        xs, ys, modes = x.new_empty(steps + 1, *x.shape), y.new_empty(steps + 1, *y.shape), [now]
        xs[0], ys[0] = x, y
        for step in range(steps):
            heard = (step - ages[now]).clamp(min=0)
            a, c = decay[now], noise[now]
            from_second = _by_mode(self.first_weights, torch.tanh(ys[heard, rows]), now)
            from_first = _by_mode(self.second_weights, torch.tanh(xs[heard, rows]), now)
            kicks = [torch.randn(part.shape, generator=generator, dtype=part.dtype).to(part) for part in (x, y)]
            x = x + (-a * x + from_second + self.first_input) * dt + c * x * math.sqrt(dt) * kicks[0]
            y = y + (-a * y + from_first + self.second_input) * dt + c * y * math.sqrt(dt) * kicks[1]
            xs[step + 1], ys[step + 1] = x, y
            drawn = torch.rand(batch, 1, generator=generator, dtype=torch.float64).to(x.device)
            now = (drawn >= chances[now]).sum(-1).clamp(max=len(self.modes) - 1)
            modes.append(now)
        return JumpRun(torch.arange(steps + 1, device=x.device) * dt, xs, ys, torch.stack(modes))

    def energy(self, first: Tensor, second: Tensor, mode: int = 0) -> Tensor:
        """E of the mode for each pair of states, (batch,); its weights must be each other's transposes."""
        if not torch.equal(self.first_weights[mode], self.second_weights[mode].mT):
            need = "second_weight the transpose of first_weight, for there to be an energy"
            raise UsageError(f"mode {mode} hears differently in the two directions", where="energy", need=need)
        f, g = torch.tanh(first), torch.tanh(second)
        bowl = sum((u * torch.tanh(u) - _log_cosh(u)).sum(-1) for u in (first, second))
        heard = ((f @ self.first_weights[mode]) * g).sum(-1)
        return self.modes[mode].decay * bowl - heard - f @ self.first_input - g @ self.second_input

    def guaranteed_rate(self) -> float:
        """The rate at which the mean square is sure to fall without inputs; 0 where nothing is guaranteed."""
        norms = [
            max(float(torch.linalg.matrix_norm(weight, 2)) for weight in pair)
            for pair in zip(self.first_weights, self.second_weights, strict=True)
        ]
        alpha = min(2 * mode.decay - mode.noise**2 - norm for mode, norm in zip(self.modes, norms, strict=True))
        delays = {mode.delay for mode in self.modes}
        heard, longest = len(delays) * max(norms), max(delays)
        if alpha <= heard:
            return 0.0
        low, high = 0.0, alpha
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if middle < alpha - heard * math.exp(middle * longest) else (low, middle)
        return low


def _by_mode(weights: Tensor, x: Tensor, mode: Tensor) -> Tensor:
    """Each row times the weights of its mode: all modes are computed and one is kept, which beats copies of weights."""
    every = torch.einsum("kij,bj->kbi", weights, x)
    return every[mode, torch.arange(len(x), device=x.device)]


def _log_cosh(x: Tensor) -> Tensor:
    size = x.abs()
    return size + torch.log1p(torch.exp(-2 * size)) - math.log(2)


def _check_rates(rates: Any, modes: int, where: str) -> Tensor:
    given = torch.as_tensor(rates, dtype=torch.float64)
    if given.shape != (modes, modes):
        raise ShapeError(
            f"rates has shape {tuple(given.shape)}", where=where, need=f"({modes}, {modes}), as many as modes"
        )
    off = given - torch.diag(given.diagonal())
    if bool((off < 0).any()) or bool((given.sum(1).abs() > 1e-9 * given.abs().sum(1).clamp(min=1)).any()):
        need = "rates of 0 or more off the diagonal, and rows that sum to 0"
        raise UsageError("rates is not that of a Markov chain", where=where, need=need)
    return given


def _check_constant(given: Tensor | None, name: str, size: int, like: Tensor) -> Tensor:
    value = like.new_zeros(size) if given is None else given.to(like)
    if value.shape != (size,):
        given_shape = f"{name} has shape {tuple(value.shape)}"
        raise ShapeError(given_shape, where="MarkovJumpingMemory", need=f"({size},)")
    return value
