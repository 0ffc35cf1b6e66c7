"""What is true of layers of filters: convolutions, difference equations, memories that fade or latch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.fir import FIR
from recurra.cells.iir import IIR
from recurra.cells.local_feedback import LocalFeedback
from recurra.errors import UsageError
from recurra.unroll import scan, unroll

DOUBLE: Any = {"dtype": torch.float64}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_a_finite_impulse_layer_unrolls_to_a_convolution() -> None:
    torch.manual_seed(0)
    cell = FIR(3, 5, order=4, **DOUBLE)
    x = draw(11, 2, 3)
    taps = torch.cat([cell.weight_ih, cell.weight_taps], 1).unflatten(1, (5, 3)).flip(1).transpose(1, 2)
    assert cell.bias_ih is not None
    wanted = torch.tanh(F.conv1d(F.pad(x.permute(1, 2, 0), (4, 0)), taps, cell.bias_ih)).permute(2, 0, 1)
    close(unroll(cell, x)[0], wanted)
    close(scan(cell, x)[0], wanted)


def test_two_finite_impulse_layers_see_the_sum_of_their_orders() -> None:
    torch.manual_seed(0)
    first, second = FIR(1, 4, order=2, **DOUBLE), FIR(4, 1, order=3, **DOUBLE)
    x = draw(9, 1, 1).requires_grad_()
    y = unroll(second, unroll(first, x)[0])[0]
    (gradient,) = torch.autograd.grad(y[8].sum(), x)
    assert (gradient[:, 0, 0] != 0).tolist() == [False] * 3 + [True] * 6


@pytest.mark.parametrize("orders", [(0, 1), (1, 2), (3, 3)])
def test_a_synapse_is_the_difference_equation_of_its_coefficients(orders: tuple[int, int]) -> None:
    torch.manual_seed(0)
    moving, feedback = orders
    cell = IIR(3, 2, input_order=moving, feedback_order=feedback, **DOUBLE)
    x = draw(40, 1, 3)
    y, state = unroll(cell, x)
    names = ["weight_ih", "weight_taps"] if moving else ["weight_ih"]
    numerators = torch.cat([getattr(cell, name) for name in names], 1).detach().numpy().reshape(2, moving + 1, 3)
    poles = cell.weight_feedback.detach().numpy().reshape(feedback, 2, 3)
    values = np.zeros((40, 2, 3))
    for n in range(2):
        for m in range(3):
            values[:, n, m] = lfilter(numerators[n, :, m], [1.0, *-poles[:, n, m]], x[:, 0, m].numpy())
    assert cell.bias_ih is not None
    wanted = np.tanh(values.sum(-1) + cell.bias_ih.detach().numpy())
    np.testing.assert_allclose(y[:, 0].detach(), wanted, rtol=1e-10, atol=1e-12)
    last = values[::-1][:feedback].reshape(1, -1)
    np.testing.assert_allclose(state.synapses.detach(), last, rtol=1e-10, atol=1e-12)


def test_infinite_impulse_synapses_without_feedback_are_finite_ones() -> None:
    torch.manual_seed(0)
    fir, iir = FIR(3, 5, order=2, **DOUBLE), IIR(3, 5, input_order=2, **DOUBLE)
    iir.load_state_dict({**fir.state_dict(), "weight_feedback": torch.zeros(2 * 15, **DOUBLE)})
    x = draw(8, 2, 3)
    close(unroll(iir, x)[0], unroll(fir, x)[0])


def test_synapses_are_stable_at_the_start() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        cell = IIR(2, 1, feedback_order=3)
        poles = cell.weight_feedback.detach().reshape(3, -1).double().numpy().T
        assert all(np.abs(np.roots([1.0, *-a])).max() < 1.0 for a in poles)


def test_activation_feedback_of_one_input_is_an_infinite_impulse_synapse() -> None:
    torch.manual_seed(0)
    cell = LocalFeedback(1, 4, order=2, bias=False, **DOUBLE)
    iir = IIR(1, 4, input_order=0, feedback_order=2, bias=False, **DOUBLE)
    iir.load_state_dict({"weight_ih": cell.weight_ih.detach(), "weight_feedback": cell.weight_hh.detach()})
    x = draw(9, 2, 1)
    (y, state), (wanted, wanted_state) = unroll(cell, x), unroll(iir, x)
    close(y, wanted)
    close(state.memory, wanted_state.synapses)


def latch(feedback: str, u: float) -> LocalFeedback:
    cell = LocalFeedback(1, 1, feedback=feedback, bias=False, **DOUBLE)
    cell.load_state_dict({"weight_ih": torch.ones(1, 1, **DOUBLE), "weight_hh": torch.full((1,), u, **DOUBLE)})
    return cell


def test_activations_that_are_fed_back_fade_geometrically() -> None:
    x = torch.zeros(20, 1, 1, **DOUBLE)
    x[0] = 1.0
    y, _ = unroll(latch("activation", 0.8), x)
    close(torch.atanh(y[:, 0, 0]).detach(), 0.8 ** torch.arange(20, **DOUBLE))


def test_outputs_that_are_fed_back_latch_a_bit() -> None:
    x = torch.zeros(200, 2, 1, **DOUBLE)
    x[0, :, 0] = torch.tensor([1.0, -1.0])
    y, _ = unroll(latch("output", 2.0), x)
    final = y[-1, 0, 0].item()
    assert abs(final - np.tanh(2.0 * final)) < 1e-12 and final > 0.9
    assert y[-1, 1, 0].item() == pytest.approx(-final)
    faded, _ = unroll(latch("output", 0.9), x)
    assert faded[-1].abs().max() < 1e-8


def test_only_units_without_a_delay_line_are_elementwise() -> None:
    assert LocalFeedback(2, 3).elementwise and not LocalFeedback(2, 3, order=2).elementwise
    assert IIR(2, 3, feedback_order=1).elementwise and not IIR(2, 3).elementwise


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FIR(3, 4, order=0), "FIR: order is 0. Needed: a whole number of steps, at least 1."),
        (lambda: IIR(3, 4, feedback_order=0), "IIR: feedback_order is 0. Needed: a whole number of steps, at least 1."),
        (lambda: IIR(3, 4, input_order=1.5), "IIR: input_order is 1.5. Needed: a whole number of steps, at least 0."),
        (
            lambda: LocalFeedback(3, 4, feedback="synapse"),
            "LocalFeedback: feedback is 'synapse'. Needed: 'activation' or 'output'.",
        ),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message
