"""The adjoint equation of continuous-time recurrent networks, integrated backward in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.cells.ctrnn import CTRNN
from recurra.cells.integrate import integrate
from recurra.cells.time_step import step_size
from recurra.errors import UsageError
from recurra.learn.rules.cell_calls import CellCall, CellWatch, add_gradient, walk_back, why_not_watched
from recurra.types import Batch, Cost


class Continuous:
    """The gradient of continuous-time recurrent networks (CTRNN) from their adjoint equation.

    Equations:
        forward, by the cell's own method:   dh/dt = F = (-h + W f(h + theta) + V x) / tau,  y = h
        backward in time, with a = lambda / tau:
        dlambda/dt = a - f'(h + theta) * (W^T a),  lambda = 0 at the end, and at each time t_k at which y(t_k) is read
        lambda(t_k-) = lambda(t_k+) + dL/dy(t_k)
        dL/dW = integral of a f(h + theta)^T dt          dL/dV = integral of a x^T dt
        dL/dtheta = integral of f'(h + theta) * (W^T a) dt
        dL/dlog tau = -integral of lambda * F dt          dL/dx over a step, x held there = integral of V^T a dt

    The equation is integrated over the same steps as the network, dt / substeps long, so that a time between steps of
    its own for each step and sequence is taken into account. This differentiates first and discretises then; BPTT
    discretises first, and gives the exact gradient of the discretised network. The two differ by O(dt^order) where the
    network is integrated at least as exactly (O(dt) with Euler's method), and their limit for dt -> 0 is the same.

    What stands below, between and above the cells may be any layers without memory; they are served with the cells.

    Args:
        order: of the method for the adjoint equation, 1 (Euler's) or 2 (Heun's: trapezoidal, with a prediction).

    Shapes:
        the learner's own: CTRNN cells, on their own or stacked, in one direction.

    Raises:
        UsageError: order is neither 1 nor 2; the learner has a memory beside its cells, runs a cell twice a step, or
            changes a sequence's state between steps that count.

    Differs from the paper: inputs and errors stand at the times of the steps and not all along; errors therefore
    enter lambda in jumps. Time constants are learned as logarithms, as the cell holds them.

    Reference:
        B. A. Pearlmutter. Learning state space trajectories in recurrent neural networks. Neural Computation 1 (1989)
        263-269.
        B. A. Pearlmutter. Gradient calculations for dynamic recurrent neural networks: a survey. IEEE Transactions on
        Neural Networks 6 (1995) 1212-1228.

    Example:
        >>> Continuous(order=2)
        Continuous(order=2)
    """

    name = "continuous"
    exact = False
    unbiased = False
    online = False
    one_backward = False

    def __init__(self, order: int = 1):
        if isinstance(order, bool) or order not in (1, 2):
            raise UsageError(
                f"order is {order!r}",
                where="rule continuous(order)",
                need="1 (Euler's method) or 2 (Heun's method)",
                cure="write continuous(2)",
            )
        self.order = order

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """As BPTT, with one or two evaluations a step on the way back."""
        return Cost(float(parameters * self.order), float(hidden * steps), "time O(p) a step, memory O(n T)")

    def supports(self, learner: nn.Module) -> str | None:
        """None, or what in the learner is not a CTRNN."""
        return why_not_watched(learner, lambda cell: type(cell) is CTRNN, self.name, "CTRNN cells alone")

    def init(self, learner: nn.Module) -> None:
        """Nothing is remembered between batches."""
        return None

    def step(self, learner: nn.Module, batch: Batch, memory: Any) -> tuple[Tensor, Any]:
        """Add the batch's gradient to `.grad`; returns the detached loss and the memory."""
        reason = self.supports(learner)
        if reason:
            raise UsageError(reason, where="rule continuous", need="a network of CTRNN cells")
        if batch.steps == 0:
            return learner(batch, 0, 0, None)[0].detach(), memory
        watch, state = CellWatch(learner, self.name), None
        losses: list[Tensor] = []
        moments: list[tuple[list[CellCall], Tensor | None]] = []
        for t in range(batch.steps):
            loss, state, calls = watch.step(batch, t, state)
            walk_back(loss, None, self.name)
            losses.append(loss.detach())
            moments.append((calls, watch.left_out))
        adjoint: list[Tensor] = [torch.zeros_like(call.y.detach()) for call in moments[-1][0]]
        while moments:
            calls, left_out = moments.pop()
            for index in reversed(range(len(calls))):
                call = calls[index]
                if call.y.grad is not None:
                    watch.check(call.y.grad, left_out)
                    adjoint[index] = adjoint[index] + call.y.grad
                with torch.no_grad():
                    adjoint[index], error = self._back(call, adjoint[index])
                walk_back(call.x, error, self.name)
        return torch.stack(losses).sum(), memory

    def _back(self, call: CellCall, adjoint: Tensor) -> tuple[Tensor, Tensor]:
        """Integrate backward over one step and add the weights' parts; the adjoint at its start, and the error at x."""
        cell, equation = call.cell, _Equation.of(call)
        assert isinstance(cell, CTRNN)
        size = step_size(call.dt, cell.dt) / cell.substeps
        states = equation.trajectory(cell, call.before.h, size)
        drive = torch.zeros_like(adjoint)
        for k in reversed(range(cell.substeps)):
            after = equation.rates(states[k + 1], adjoint)
            parts = [(size, after)]
            if self.order == 2:
                before = equation.rates(states[k], adjoint + size * after.change)
                parts = [(size / 2, after), (size / 2, before)]
            for share, rates in parts:
                adjoint = adjoint + share * rates.change
                drive = drive + share * rates.weighted
                add_gradient(cell.weight_hh, (share * rates.weighted).t() @ rates.activity)
                add_gradient(cell.bias_hh, (share * rates.returned).sum(0))
                add_gradient(cell.log_time_constant, -(share * rates.weighted * rates.pull).sum(0))
        add_gradient(cell.weight_ih, drive.t() @ call.x.detach())
        return adjoint, drive @ cell.weight_ih.detach()

    def flush(self, learner: nn.Module, memory: Any) -> Any:
        """Nothing is ever pending."""
        return memory

    def reset(self, memory: Any) -> Any:
        """Nothing is carried over."""
        return memory

    def __repr__(self) -> str:
        return f"Continuous(order={self.order})"


@dataclass(frozen=True)
class _Rates:
    """The adjoint equation at one point, time running backward.

    Attributes:
        change: -dlambda/dt.
        weighted: a = lambda / tau.
        returned: f' * (W^T a).
        activity: f(h + theta).
        pull: -h + W f(h + theta) + V x, that is tau dh/dt.
    """

    change: Tensor
    weighted: Tensor
    returned: Tensor
    activity: Tensor
    pull: Tensor


@dataclass(frozen=True)
class _Equation:
    """A cell's equation over one step, with x held."""

    weight: Tensor
    shift: Tensor | float
    speed: Tensor
    driven: Tensor
    activation: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]

    @staticmethod
    def of(call: CellCall) -> _Equation:
        cell: Cell = call.cell
        assert isinstance(cell, CTRNN)
        sigmoid = cell.nonlinearity == "sigmoid"
        return _Equation(
            cell.weight_hh.detach(),
            0.0 if cell.bias_hh is None else cell.bias_hh.detach(),
            torch.exp(-cell.log_time_constant.detach()),
            cell.project(call.x.detach()),
            torch.sigmoid if sigmoid else torch.tanh,
            (lambda f: f * (1 - f)) if sigmoid else (lambda f: 1 - f**2),
        )

    def pull(self, h: Tensor) -> Tensor:
        return self.driven + self.activation(h + self.shift) @ self.weight.t() - h

    def trajectory(self, cell: CTRNN, h: Tensor, size: Tensor | float) -> list[Tensor]:
        """The states after 0, 1 ... substeps, as the cell's method takes them."""
        states = [h]
        gone = -torch.expm1(-size * self.speed)
        for _ in range(cell.substeps):
            h = states[-1]
            if cell.method == "exponential":
                states.append(h + gone * self.pull(h))
            else:
                states.append(integrate(lambda h: self.speed * self.pull(h), h, size, cell.method))
        return states

    def rates(self, h: Tensor, adjoint: Tensor) -> _Rates:
        activity = self.activation(h + self.shift)
        weighted = adjoint * self.speed
        returned = self.slope(activity) * (weighted @ self.weight)
        return _Rates(returned - weighted, weighted, returned, activity, self.pull(h))
