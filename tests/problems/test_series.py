"""Superimposed sines term by term, and the Mackey-Glass series against an independent integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from recurra.errors import UsageError
from recurra.problems.mackey_glass import mackey_glass
from recurra.problems.sines import FREQUENCIES, superimposed_sines


def by_steps(delay: float, end: float, first: float) -> np.ndarray:
    """The delay equation at 0, 1, 2 ... by the method of steps: an ordinary equation on each interval of one delay."""
    pieces: list = [lambda t: first]

    def past(t: float) -> float:
        if t <= 0:
            return first
        return float(np.ravel(pieces[int(min(t // delay, len(pieces) - 2)) + 1](t))[0])

    x = first
    for k in range(math.ceil(end / delay)):
        done = solve_ivp(
            lambda t, x: 0.2 * past(t - delay) / (1 + past(t - delay) ** 10) - 0.1 * x,
            (k * delay, (k + 1) * delay),
            [x],
            method="DOP853",
            rtol=1e-9,
            atol=1e-11,
            dense_output=True,
        )
        pieces.append(done.sol)
        x = done.y[0, -1]
    return np.array([past(float(t)) for t in range(int(end))])


@pytest.mark.parametrize(("delay", "end"), [(17.0, 85), (30.0, 90)])
def test_mackey_glass_equals_an_independent_integration(delay: float, end: int) -> None:
    wanted = by_steps(delay, end, 1.2)
    found = mackey_glass(end, delay, skip=0)[:, 0, 0].numpy()
    assert wanted.std() > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_mackey_glass_is_of_fourth_order() -> None:
    errors = []
    exact = mackey_glass(150, skip=0, substeps=80)
    for substeps in (2, 4, 8):
        errors.append(float((mackey_glass(150, skip=0, substeps=substeps) - exact).abs().max()))
    orders = [math.log2(errors[k] / errors[k + 1]) for k in range(2)]
    assert all(3.5 < order < 4.6 for order in orders), (errors, orders)


def test_a_batch_holds_each_series_and_skipping_starts_later() -> None:
    both = mackey_glass(40, initial=[0.5, 1.2], skip=10, sample=2.0, substeps=4)
    assert both.shape == (40, 2, 1)
    for column, first in enumerate((0.5, 1.2)):
        alone = mackey_glass(50, initial=first, skip=0, sample=2.0, substeps=4)
        np.testing.assert_allclose(both[:, column].numpy(), alone[10:, 0].numpy(), rtol=1e-12)
    assert mackey_glass(0, skip=0).shape == (0, 1, 1)


def test_a_short_delay_settles_and_a_long_one_is_chaotic() -> None:
    still = mackey_glass(50, delay=2.0, skip=1000)
    assert (still - 1.0).abs().max() < 1e-6  # the fixed point, where 0.2 / (1 + x^10) = 0.1
    pair = mackey_glass(1500, initial=[1.2, 1.2 + 1e-6], skip=0, substeps=4)[..., 0]
    apart = (pair[:, 0] - pair[:, 1]).abs()
    assert apart[:50].max() < 1e-5 and apart[1000:].max() > 1e-4


@pytest.mark.parametrize("waves", [1, 2, 5, (0.3, 1.7)])
def test_sines_term_by_term(waves: int | tuple[float, ...]) -> None:
    frequencies = FREQUENCIES[:waves] if isinstance(waves, int) else waves
    found = superimposed_sines(20, waves, start=7)
    wanted = [sum(math.sin(w * t) for w in frequencies) for t in range(7, 27)]
    assert found.shape == (20, 1, 1)
    np.testing.assert_allclose(found.flatten().numpy(), wanted, atol=1e-13)


def test_messages() -> None:
    with pytest.raises(UsageError, match="waves is 6. Needed: a whole number from 1 to 5"):
        superimposed_sines(5, 6)
    with pytest.raises(UsageError, match="0 or more steps, and at least one frequency"):
        superimposed_sines(5, [])
    with pytest.raises(UsageError, match="the delay 17 is no multiple of the step of integration 0.3"):
        mackey_glass(5, 17.0, sample=0.3, substeps=1)
    with pytest.raises(UsageError, match="steps is -1"):
        mackey_glass(-1)
    with pytest.raises(UsageError, match="initial is -1.0. Needed: a number from 0 to 10"):
        mackey_glass(5, initial=-1.0)
