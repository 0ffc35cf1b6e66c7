"""Networks whose recurrent matrices have a form of their own, and the network with a delay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import jacrev

from recurra.cells.antisymmetric_rnn import AntisymmetricRNN
from recurra.cells.lipschitz_rnn import LipschitzRNN
from recurra.cells.state import HiddenState
from recurra.cells.tau_gru import TauGRU
from recurra.unroll import unroll


def made(kind: Any, *sizes: int, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return kind(*sizes, **arguments, dtype=torch.float64)


@pytest.mark.parametrize("gamma", [0.0, 0.3])
def test_antisymmetric_eigenvalues_are_imaginary_but_for_the_diffusion(gamma: float) -> None:
    values = torch.linalg.eigvals(made(AntisymmetricRNN, 3, 7, gamma=gamma).matrix())
    torch.testing.assert_close(values.real, torch.full((7,), -gamma, dtype=torch.float64), rtol=0, atol=1e-12)
    assert values.imag.abs().max() > 0.5


def test_the_antisymmetric_system_neither_grows_nor_shrinks_anywhere() -> None:
    """The Jacobian of dh/dt has imaginary eigenvalues at every state, since tanh only scales the matrix's rows."""
    cell = made(AntisymmetricRNN, 3, 6, gamma=0.0)
    x = torch.randn(1, 3, dtype=torch.float64)

    def rate(h: Tensor) -> Tensor:
        return (cell(x, HiddenState(h.unsqueeze(0)))[0][0] - h) / cell.dt

    values = torch.linalg.eigvals(jacrev(rate)(torch.randn(6, dtype=torch.float64)))
    assert values.real.abs().max() < 1e-9
    assert values.imag.abs().max() > 0.1


def test_an_open_gate_makes_the_gated_network_the_plain_one_and_a_shut_one_keeps_the_state() -> None:
    plain = made(AntisymmetricRNN, 3, 5, dt=0.2)
    gated = made(AntisymmetricRNN, 3, 5, dt=0.2, gated=True)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    start = HiddenState(torch.randn(2, 5, dtype=torch.float64))
    for bias, wanted in ((200.0, unroll(plain, x, start)[0]), (-200.0, start.h.expand(6, 2, 5))):
        with torch.no_grad():
            gated.weight_hh.copy_(plain.weight_hh)
            gated.weight_ih.copy_(torch.cat([plain.weight_ih, torch.zeros(5, 3)]))
            gated.bias_ih.copy_(torch.cat([plain.bias_ih, torch.full((5,), bias)]))
        torch.testing.assert_close(unroll(gated, x, start)[0], wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("beta", [0.0, 0.35, 1.0])
def test_the_lipschitz_matrix_has_the_parts_of_the_decomposition(beta: float) -> None:
    cell = made(LipschitzRNN, 3, 6, beta=beta, gamma=0.4)
    m, a = cell.weight_linear, cell.matrix(cell.weight_linear)
    symmetric, skew = (a + a.T) / 2, (a - a.T) / 2
    torch.testing.assert_close(symmetric + 0.4 * torch.eye(6, dtype=torch.float64), (1 - beta) * (m + m.T))
    torch.testing.assert_close(skew, beta * (m - m.T))
    # The eigenvalues of a matrix lie between those of its symmetric part.
    bounds, real = torch.linalg.eigvalsh(symmetric), torch.linalg.eigvals(a).real
    assert real.min() >= bounds[0] - 1e-12 and real.max() <= bounds[-1] + 1e-12


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("rk2", 2)])
def test_the_lipschitz_network_follows_its_linear_system(method: str, order: int) -> None:
    errors = []
    for steps in (64, 128):
        cell = made(LipschitzRNN, 1, 5, method=method, dt=1.0 / steps, gamma=0.0, bias=False)
        with torch.no_grad():
            cell.weight_ih.zero_()
            cell.weight_hh.zero_()
            cell.weight_linear.mul_(5)
        start = torch.ones(1, 5, dtype=torch.float64)
        found = unroll(cell, torch.zeros(steps, 1, 1, dtype=torch.float64), HiddenState(start))[1].h
        wanted = start @ torch.linalg.matrix_exp(cell.matrix(cell.weight_linear)).T
        errors.append((found - wanted).abs().max().item())
    assert 0.9 * 2**order < errors[0] / errors[1] < 1.1 * 2**order
    assert errors[1] < 0.1


def test_the_damped_antisymmetric_lipschitz_network_forgets_where_it_began() -> None:
    """With beta = 1 and a small W the damping wins, and two starts come together under the same input."""
    cell = made(LipschitzRNN, 2, 6, beta=1.0, gamma=0.9, dt=0.1)
    with torch.no_grad():
        cell.weight_hh.mul_(0.1)
    x, starts = torch.randn(400, 1, 2, dtype=torch.float64), 3 * torch.randn(2, 1, 6, dtype=torch.float64)
    ends = [unroll(cell, x, HiddenState(start))[1].h for start in starts]
    assert (starts[0] - starts[1]).norm() > 1
    assert (ends[0] - ends[1]).norm() < 1e-6


@pytest.mark.parametrize("delay", [1, 3])
def test_what_is_fed_back_comes_back_after_the_delay_and_at_no_other_time(delay: int) -> None:
    cell = made(TauGRU, 2, 4, delay=delay)
    with torch.no_grad():
        cell.weight_hh.zero_()
        cell.bias_ih[4:8] = 200.0
        cell.weight_delayed.mul_(4)
    x = torch.randn(12, 1, 2, dtype=torch.float64)
    other = torch.cat([x[:1] + 1, x[1:]])
    changed = (unroll(cell, x)[0] - unroll(cell, other)[0]).abs().amax((1, 2)) > 1e-9
    assert changed.nonzero().flatten().tolist() == list(range(0, 12, delay + 1))


def test_without_the_feedback_the_delayed_units_reach_nothing() -> None:
    cell = made(TauGRU, 2, 4, delay=2)
    with torch.no_grad():
        cell.bias_ih[8:12] = -200.0
    x, start = torch.randn(5, 3, 2, dtype=torch.float64), cell.initial_state(3)
    far = start._replace(past=torch.randn(3, 2, 4, dtype=torch.float64))
    torch.testing.assert_close(unroll(cell, x, far)[0], unroll(cell, x, start)[0], rtol=1e-12, atol=1e-14)
