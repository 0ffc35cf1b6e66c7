"""The LSTM of 1997: its constant error carousel, its truncated gradient, and what the forget gate added to it."""

from __future__ import annotations

import torch
from lstm_parts import close, made, normal, plain_lstm
from torch.func import jacrev

from recurra.cells.lstm import LSTMState
from recurra.cells.lstm_1997 import LSTM1997
from recurra.unroll import unroll


def test_the_lstm_of_1997_is_the_lstm_with_the_forget_gate_at_one_and_its_squashing() -> None:
    torch.manual_seed(0)
    cell = made(LSTM1997, 3, 5)
    other = plain_lstm(cell, (0, 0, 1, 2))
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih"):
            # 4 sigmoid(a) - 2 is 2 tanh(a / 2): half the argument there, and memory cells of half the size.
            getattr(other, name)[10:15] *= 0.5
            getattr(other, name)[5:10] = 60.0 if name == "bias_ih" else 0.0
    x = normal(9, 2, 3)
    y, state = unroll(cell, x)
    wanted, wanted_state = unroll(other, x)
    close(y, wanted)
    close(state.c, 2.0 * wanted_state.c)


def test_the_error_in_a_memory_cell_of_1997_stays_as_it_is_over_a_thousand_steps() -> None:
    torch.manual_seed(0)
    x, factors = 3.0 * normal(1000, 1, 2), normal(1, 4, seed=1)
    gradients = {}
    for truncated in (True, False):
        torch.manual_seed(0)
        cell = made(LSTM1997, 2, 4, truncated=truncated)
        c = normal(1, 4, seed=2).requires_grad_()
        _, state = unroll(cell, x, LSTMState(torch.zeros_like(c), c))
        (gradients[truncated],) = torch.autograd.grad((factors * state.c).sum(), c)
    assert torch.equal(gradients[True], factors)
    assert not torch.allclose(gradients[False], factors, rtol=1e-3)


def test_one_step_of_the_constant_error_carousel_has_the_identity_as_its_derivative() -> None:
    cell, h, x = made(LSTM1997, 3, 4), normal(1, 4), normal(1, 3)
    jacobian = jacrev(lambda c: cell(x, LSTMState(h, c))[1].c)(normal(1, 4, seed=3))
    assert torch.equal(jacobian.reshape(4, 4), torch.eye(4, dtype=torch.float64))


def test_the_truncated_gradient_is_the_sum_over_steps_that_the_paper_trains_with() -> None:
    torch.manual_seed(1)
    cell, x = made(LSTM1997, 3, 2, truncated=True), normal(7, 1, 3)
    unroll(cell, x)[1].c.sum().backward()
    wanted, state = torch.zeros(2, 3, dtype=torch.float64), cell.initial_state(1)
    for x_t in x:
        i, g, _ = (cell.weight_ih @ x_t[0] + cell.weight_hh @ state.h[0] + cell.bias_ih).detach().chunk(3)
        slope = torch.sigmoid(i) * 4.0 * torch.sigmoid(g) * (1.0 - torch.sigmoid(g))
        wanted = wanted + torch.outer(slope, x_t[0])
        _, state = cell(x_t, state)
    assert cell.weight_ih.grad is not None
    close(cell.weight_ih.grad[2:4], wanted)


def test_truncation_changes_no_output_and_squashing_bounds_hold() -> None:
    torch.manual_seed(0)
    cell = made(LSTM1997, 3, 5)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(20.0)
    x = normal(50, 2, 3)
    y, _, states = unroll(cell, x, all_states=True)
    changes = torch.diff(states.c, dim=0).abs()
    assert bool((y.abs() <= 1.0).all()) and bool((changes <= 2.0).all()) and changes.max().item() > 1.5
    cell.truncated = True
    assert torch.equal(unroll(cell, x)[0], y)
