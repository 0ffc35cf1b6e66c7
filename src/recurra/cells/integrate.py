"""Steps of explicit one-step methods for ordinary differential equations."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Derivative = Callable[[Tensor], Tensor]
"""The rate of change of the hidden units, from the hidden units; what drives them is held over the step."""
Step = Tensor | float


def euler(derivative: Derivative, h: Tensor, dt: Step) -> Tensor:
    """Euler's method: order 1, one evaluation."""
    return h + dt * derivative(h)


def midpoint(derivative: Derivative, h: Tensor, dt: Step) -> Tensor:
    """The midpoint method, a Runge-Kutta method of order 2, two evaluations."""
    return h + dt * derivative(h + 0.5 * dt * derivative(h))


def runge_kutta_4(derivative: Derivative, h: Tensor, dt: Step) -> Tensor:
    """The classical Runge-Kutta method: order 4, four evaluations."""
    first = derivative(h)
    second = derivative(h + 0.5 * dt * first)
    third = derivative(h + 0.5 * dt * second)
    fourth = derivative(h + dt * third)
    return h + dt / 6 * (first + 2 * second + 2 * third + fourth)


METHODS: dict[str, Callable[[Derivative, Tensor, Step], Tensor]] = {
    "euler": euler,
    "rk2": midpoint,
    "rk4": runge_kutta_4,
}


def integrate(derivative: Derivative, h: Tensor, dt: Step, method: str = "euler", substeps: int = 1) -> Tensor:
    """The hidden units after the time dt.

    Args:
        derivative: the right-hand side.
        h: the hidden units at the start, (batch, hidden_size).
        dt: the time, a number or (batch, 1).
        method: "euler", "rk2" or "rk4".
        substeps: equal steps of dt / substeps that are taken.

    Example:
        >>> import torch
        >>> float(integrate(lambda h: -h, torch.ones(1, 1), 1.0, "euler", 2))
        0.25
    """
    step = dt / substeps
    for _ in range(substeps):
        h = METHODS[method](derivative, h, step)
    return h
