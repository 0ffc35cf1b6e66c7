"""What the papers say of networks that feed back outputs, units or products of units and inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.cells import Elman, HiddenState
from recurra.cells.fully_recurrent import FullyRecurrent
from recurra.cells.jordan import Jordan
from recurra.cells.multiplicative_rnn import MultiplicativeRNN
from recurra.cells.narx import NARX, NARXState
from recurra.cells.recurrent_mlp import RecurrentMLP
from recurra.cells.second_order import SecondOrderRNN
from recurra.errors import UsageError
from recurra.unroll import unroll

DOUBLE: Any = {"dtype": torch.float64}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_jordans_context_is_the_geometric_sum_of_the_outputs() -> None:
    torch.manual_seed(0)
    cell = Jordan(3, 4, output_size=2, mu=0.6, output_nonlinearity="linear", **DOUBLE)
    y, state = unroll(cell, draw(7, 2, 3))
    wanted = sum(0.6 ** (6 - t) * y[t] for t in range(7))
    close(state.context, wanted)  # type: ignore[arg-type]


def test_narx_with_one_output_delay_is_jordans_network() -> None:
    torch.manual_seed(0)
    narx = NARX(3, 4, input_delays=0, output_delays=1, output_size=2, **DOUBLE)
    jordan = Jordan(3, 4, output_size=2, nonlinearity="tanh", output_nonlinearity="linear", **DOUBLE)
    jordan.load_state_dict(narx.state_dict())
    x = draw(6, 2, 3)
    (y, state), (wanted, wanted_state) = unroll(narx, x), unroll(jordan, x)
    close(y, wanted)
    close(state.outputs, wanted_state.context)
    assert state.inputs.shape == (2, 0)


def test_a_narx_gradient_jumps_over_the_output_delays() -> None:
    """With the K-th delay alone, K steps are one nonlinear step: six steps back the gradient has two factors."""
    torch.manual_seed(0)
    cell = NARX(1, 4, input_delays=1, output_delays=3, output_size=1, bias=False, **DOUBLE)
    with torch.no_grad():
        cell.weight_hh[:, :2] = 0.0
        cell.weight_ih.zero_()
    first = torch.tensor([[0.0, 0.0, 0.7]], dtype=torch.float64, requires_grad=True)
    y, _ = unroll(cell, torch.zeros(6, 1, 1, dtype=torch.float64), NARXState(first, torch.zeros(1, 1, **DOUBLE)))
    (found,) = torch.autograd.grad(y[3, 0, 0], first)
    u, v = cell.weight_hh[:, 2].detach().numpy(), cell.weight_out[0].detach().numpy()
    value, slope = 0.7, 1.0
    for _ in range(2):
        h = np.tanh(u * value)
        slope, value = slope * float(v @ ((1 - h**2) * u)), float(v @ h)
    np.testing.assert_allclose(y[3, 0, 0].item(), value, rtol=1e-12)
    np.testing.assert_allclose(found.numpy(), [[0.0, 0.0, slope]], rtol=1e-12)


def test_a_fully_recurrent_network_of_tanh_units_is_elmans_with_one_bias() -> None:
    torch.manual_seed(0)
    cell, elman = FullyRecurrent(3, 5, output_size=2, nonlinearity="tanh", **DOUBLE), Elman(3, 5, **DOUBLE)
    elman.load_state_dict({**cell.state_dict(), "bias_hh": torch.zeros(5, **DOUBLE)})
    x = draw(6, 2, 3)
    (y, state), (wanted, wanted_state) = unroll(cell, x), unroll(elman, x)
    close(y, wanted[..., :2])
    close(state.h, wanted_state.h)


def test_a_second_order_network_is_a_finite_automaton() -> None:
    """Giles et al.: with large weights a step on one-hot codes is a transition, for as long as one likes."""
    following = np.array([[1, 0], [2, 1], [0, 2]])  # state, symbol -> state: counts the zeros modulo 3
    cell = SecondOrderRNN(2, 3, bias=False, **DOUBLE)
    weights = np.full((2, 3, 3), -30.0)
    for state in range(3):
        for symbol in range(2):
            weights[symbol, following[state, symbol], state] = 30.0
    cell.load_state_dict({"weight_hh": torch.from_numpy(weights.reshape(6, 3))})
    symbols = np.random.default_rng(0).integers(0, 2, 300)
    y, _ = unroll(cell, torch.from_numpy(np.eye(2)[symbols])[:, None])
    state, wanted = 0, []
    for symbol in symbols:
        state = following[state, symbol]
        wanted.append(state)
    assert y[:, 0].argmax(-1).tolist() == wanted


def test_the_multiplicative_network_with_enough_factors_is_the_second_order_one() -> None:
    torch.manual_seed(0)
    second = SecondOrderRNN(2, 3, first_order=True, nonlinearity="tanh", **DOUBLE)
    factored = MultiplicativeRNN(2, 3, factor_size=6, **DOUBLE)
    with torch.no_grad():
        second.weight_first.zero_()
    matrices = second.weight_hh.detach().reshape(2, 3, 3)
    factored.load_state_dict(
        {
            "weight_ih": second.weight_ih.detach(),
            "bias_ih": second.state_dict()["bias_ih"],
            "weight_fx": torch.eye(2, **DOUBLE).repeat_interleave(3, 0),
            "weight_fh": torch.eye(3, **DOUBLE).repeat(2, 1),
            "weight_hf": torch.cat(list(matrices), 1),
        }
    )
    x, state = draw(5, 4, 2), HiddenState(draw(4, 3, seed=1))
    close(unroll(factored, x, state)[0], unroll(second, x, state)[0])


def test_a_recurrent_mlp_without_feedforward_layers_is_a_stack_of_elmans() -> None:
    torch.manual_seed(0)
    cell = RecurrentMLP(3, 4, subnetworks=2, feedforward_layers=0, **DOUBLE)
    wanted = x = draw(6, 2, 3)
    for k in range(2):
        elman = Elman(wanted.shape[-1], 4, **DOUBLE)
        weights = {"weight_ih": getattr(cell, f"weight_{k + 1}_1"), "bias_ih": getattr(cell, f"bias_{k + 1}_1")}
        weights |= {"weight_hh": cell.weight_hh[4 * k : 4 * k + 4], "bias_hh": torch.zeros(4, **DOUBLE)}
        elman.load_state_dict({name: weight.detach() for name, weight in weights.items()})
        wanted = unroll(elman, wanted)[0]
    close(unroll(cell, x)[0], wanted)


def test_a_recurrent_mlp_without_feedback_is_a_multilayer_perceptron() -> None:
    torch.manual_seed(0)
    cell = RecurrentMLP(3, 4, subnetworks=2, feedforward_layers=1, **DOUBLE)
    with torch.no_grad():
        cell.weight_hh.zero_()
    x = draw(5, 2, 3)
    wanted = x.numpy()
    for name in ("1_1", "1_2", "2_1", "2_2"):
        weight, bias = (getattr(cell, f"{kind}_{name}").detach().numpy() for kind in ("weight", "bias"))
        wanted = np.tanh(wanted @ weight.T + bias)
    np.testing.assert_allclose(unroll(cell, x)[0].detach(), wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Jordan(3, 4, mu=1.0), "Jordan: mu is 1.0. Needed: a number from 0 up to, but not, 1."),
        (lambda: Jordan(3, 4, output_size=0), "Jordan: output_size is 0. Needed: a positive whole number."),
        (
            lambda: Jordan(3, 4, output_nonlinearity="relu"),
            "Jordan: output_nonlinearity is 'relu'. Needed: 'sigmoid' or 'tanh' or 'linear'.",
        ),
        (
            lambda: FullyRecurrent(3, 4, output_size=5),
            "FullyRecurrent: output_size is 5. Needed: a whole number from 1 to 4, as the outputs are units among the "
            "hidden_size.",
        ),
        (
            lambda: SecondOrderRNN(3, 4, nonlinearity="relu"),
            "SecondOrderRNN: nonlinearity is 'relu'. Needed: 'sigmoid' or 'tanh'.",
        ),
        (
            lambda: MultiplicativeRNN(3, 4, factor_size=-1),
            "MultiplicativeRNN: factor_size is -1. Needed: a positive whole number.",
        ),
        (
            lambda: NARX(3, 4, output_delays=0),
            "NARX: output_delays is 0. Needed: a whole number of steps, at least 1.",
        ),
        (
            lambda: NARX(3, 4, input_delays=-1),
            "NARX: input_delays is -1. Needed: a whole number of steps, at least 0.",
        ),
        (
            lambda: RecurrentMLP(3, 4, feedforward_layers=-1),
            "RecurrentMLP: feedforward_layers is -1. Needed: a whole number of layers, at least 0.",
        ),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message
