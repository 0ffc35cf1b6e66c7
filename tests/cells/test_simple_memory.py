"""What the papers say of how long simple cells remember: norms that are kept, bounds, averages, residual weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import jacrev

from recurra.cells import HiddenState, IndRNN, cell_class
from recurra.cells.fast_rnn import FastGRNN, FastRNN
from recurra.cells.orthogonal import OrthogonalRNN
from recurra.cells.rows import simple
from recurra.cells.scrn import SCRN
from recurra.cells.unitary import ComplexState, UnitaryRNN
from recurra.errors import UsageError
from recurra.nn import Recurrent
from recurra.unroll import unroll

DOUBLE: Any = {"dtype": torch.float64}
METHODS = pytest.mark.parametrize("method", ["exponential", "cayley"])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def without_threshold(cell: Any) -> Any:
    with torch.no_grad():
        cell.threshold.zero_()
    return cell


@METHODS
@pytest.mark.parametrize("hidden", [1, 6, 7])
def test_the_matrix_stays_orthogonal_while_training(method: str, hidden: int) -> None:
    torch.manual_seed(0)
    cell, eye = OrthogonalRNN(2, hidden, method=method, **DOUBLE), torch.eye(hidden, **DOUBLE)
    first = cell.recurrent_matrix().detach()
    close(first @ first.T, eye)
    optimiser = torch.optim.SGD(cell.parameters(), 0.05)
    for seed in range(10):
        optimiser.zero_grad()
        unroll(cell, draw(5, 3, 2, seed=seed))[0].square().mean().backward()
        optimiser.step()
    matrix = cell.recurrent_matrix().detach()
    close(matrix @ matrix.T, eye)
    assert hidden == 1 or (matrix - first).abs().max() > 0.01
    sign = 1.0 if method == "exponential" else (-1.0) ** (hidden // 2)
    assert torch.linalg.det(matrix).item() == pytest.approx(sign)


@METHODS
def test_an_orthogonal_network_keeps_the_length_of_its_state_and_of_its_gradient(method: str) -> None:
    torch.manual_seed(0)
    cell = without_threshold(OrthogonalRNN(2, 6, bias=False, method=method, **DOUBLE))
    start = draw(3, 6).requires_grad_()
    y, _ = unroll(cell, torch.zeros(400, 3, 2, **DOUBLE), HiddenState(start))
    close(y[-1].norm(dim=1), start.norm(dim=1), 1e-11)
    outside = draw(3, 6, seed=1)
    (gradient,) = torch.autograd.grad(y[-1], start, outside)
    close(gradient.norm(dim=1), outside.norm(dim=1), 1e-11)


def test_a_skew_matrix_of_two_units_is_a_rotation() -> None:
    angle = 0.7
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], **DOUBLE)
    cell = OrthogonalRNN(1, 2, **DOUBLE)
    scaled = OrthogonalRNN(1, 2, method="cayley", negative=0, **DOUBLE)
    with torch.no_grad():
        cell.weight_skew[0, 1] = angle
        scaled.weight_skew[0, 1] = math.tan(angle / 2.0)
    close(cell.recurrent_matrix().detach(), turn)
    close(scaled.recurrent_matrix().detach(), turn.T)


def test_orthogonal_networks_begin_as_rotations_of_planes() -> None:
    torch.manual_seed(0)
    skew = OrthogonalRNN(2, 7, method="cayley").weight_skew.detach()
    assert [tuple(place) for place in skew.nonzero().tolist()] == [(0, 1), (2, 3), (4, 5)]
    assert bool((skew >= 0).all()) and bool((skew <= 1).all())
    assert OrthogonalRNN(2, 400).weight_skew.abs().max().item() == pytest.approx(math.pi, rel=0.05)


def test_modrelu_has_a_dead_zone() -> None:
    cell = OrthogonalRNN(1, 1, bias=False, **DOUBLE)
    cell.load_state_dict(
        {"weight_ih": torch.ones(1, 1), "weight_skew": torch.zeros(1, 1), "threshold": torch.tensor([-0.5])}
    )
    x = torch.tensor([[-2.0], [-0.4], [0.0], [0.4], [2.0]], **DOUBLE)
    y, _ = cell(x, cell.initial_state(5))
    close(y.detach(), torch.tensor([[-1.5], [0.0], [0.0], [0.0], [1.5]], **DOUBLE))


@pytest.mark.parametrize("hidden", [1, 6, 7])
def test_the_product_of_a_unitary_network_is_unitary(hidden: int) -> None:
    torch.manual_seed(0)
    cell = UnitaryRNN(2, hidden, **DOUBLE)
    eye = torch.eye(hidden, **DOUBLE)
    re, im = cell.evolve(eye, torch.zeros_like(eye))
    matrix = torch.complex(re, im).detach()
    close(matrix @ matrix.conj().T, eye.to(matrix.dtype))
    re, im = cell.evolve(torch.zeros_like(eye), eye)
    close(torch.complex(re, im).detach(), 1j * matrix)


def test_a_unitary_network_keeps_the_length_of_its_state_and_of_its_gradient() -> None:
    torch.manual_seed(0)
    cell = without_threshold(UnitaryRNN(2, 5, bias=False, **DOUBLE))
    re, im = draw(3, 5).requires_grad_(), draw(3, 5, seed=1).requires_grad_()
    y, _ = unroll(cell, torch.zeros(400, 3, 2, **DOUBLE), ComplexState(re, im))
    close(y[-1].norm(dim=1), torch.cat([re, im], 1).norm(dim=1), 1e-11)
    outside = draw(3, 10, seed=2)
    gradient = torch.cat(torch.autograd.grad(y[-1], [re, im], outside), 1)
    close(gradient.norm(dim=1), outside.norm(dim=1), 1e-11)


def test_a_complex_zero_has_a_finite_gradient() -> None:
    cell = UnitaryRNN(2, 3, **DOUBLE)
    x = torch.zeros(1, 2, **DOUBLE, requires_grad=True)
    y, _ = cell(x, cell.initial_state(1))
    gradients = torch.autograd.grad(y.sum(), [x, *cell.parameters()])
    assert not y.any() and all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_indrnns_recurrent_weights_keep_to_the_bound() -> None:
    torch.manual_seed(0)
    cell = IndRNN(2, 500, longest=10, **DOUBLE)
    bound = 2.0 ** (1.0 / 10.0)
    assert cell.bound == bound
    assert 0.0 <= cell.weight_hh.min() and 1.0 < cell.weight_hh.max() <= bound
    with torch.no_grad():
        cell.weight_hh += torch.linspace(-4.0, 4.0, 500)
    inside = cell.weight_hh.abs() <= bound
    kept = cell.weight_hh.detach().clone()
    cell.constrain()
    assert cell.weight_hh.abs().max().item() == bound
    assert torch.equal(cell.weight_hh[inside], kept[inside]) and 0 < inside.sum() < 500


def test_at_the_bound_the_gradient_doubles_over_the_longest_sequence() -> None:
    cell = IndRNN(1, 1, bias=False, longest=32, **DOUBLE)
    cell.load_state_dict({"weight_ih": torch.zeros(1, 1), "weight_hh": torch.tensor([9.0])})
    cell.constrain()
    start = torch.ones(1, 1, **DOUBLE, requires_grad=True)
    y, _ = unroll(cell, torch.zeros(32, 1, 1, **DOUBLE), HiddenState(start))
    assert torch.autograd.grad(y[-1].sum(), start)[0].item() == pytest.approx(2.0, rel=1e-12)


def test_indrnn_without_a_longest_sequence_is_not_clipped() -> None:
    torch.manual_seed(3)
    cell = IndRNN(3, 4)
    torch.manual_seed(3)
    wanted = [torch.empty(4, 3).uniform_(-0.5, 0.5), torch.empty(4).uniform_(-1, 1), torch.empty(4).uniform_(-0.5, 0.5)]
    assert all(torch.equal(weight, draw) for weight, draw in zip(cell.parameters(), wanted, strict=True))
    with torch.no_grad():
        cell.weight_hh.fill_(7.0)
    cell.constrain()
    assert cell.bound is None and bool((cell.weight_hh == 7.0).all())


def test_a_layer_of_indrnns_is_constrained_after_each_step() -> None:
    torch.manual_seed(0)
    layer = Recurrent("indrnn", 2, 5, num_layers=2, longest=20)
    optimiser = torch.optim.SGD(layer.parameters(), 10.0)
    x = torch.randn(20, 3, 2)
    past = 0.0
    for _ in range(3):
        optimiser.zero_grad()
        (-layer(x)[0].square().mean()).backward()
        optimiser.step()
        past = max(past, max(cell.weight_hh.abs().max().item() for cell in layer.stack_cells()))  # type: ignore
        for cell in layer.stack_cells():
            cell.constrain()  # type: ignore[attr-defined]
            assert cell.weight_hh.abs().max() <= 2.0**0.05 + 1e-6
    assert past > 2.0**0.05


def test_a_layer_of_tanh_indrnns_computes_tanh() -> None:
    torch.manual_seed(0)
    layer, x = Recurrent("indrnn_tanh", 2, 5), torch.randn(7, 3, 2)
    torch.testing.assert_close(layer(x)[0], unroll(layer.stack_cells()[0], x)[0])
    assert layer(x)[0].min() < 0.0


def test_a_context_unit_is_an_exponential_average() -> None:
    torch.manual_seed(0)
    cell = SCRN(2, 3, context_size=4, decay=0.9, **DOUBLE)
    x = draw(50, 1, 2)
    y, state = unroll(cell, x)
    inputs = x[:, 0].numpy() @ cell.weight_sx.detach().numpy().T
    wanted = sum(0.1 * 0.9 ** (49 - t) * inputs[t] for t in range(50))
    np.testing.assert_allclose(state.s[0].detach(), wanted, rtol=1e-10)
    close(y[-1, :, 3:], state.s)
    constant, _ = unroll(cell, torch.ones(400, 1, 2, **DOUBLE))
    close(constant[-1, 0, 3:], cell.weight_sx.sum(1))


def test_learnt_decays_begin_at_the_fixed_one() -> None:
    torch.manual_seed(0)
    fixed, learnt = SCRN(2, 3, decay=0.8, **DOUBLE), SCRN(2, 3, decay=0.8, learn_decay=True, **DOUBLE)
    learnt.load_state_dict({**learnt.state_dict(), **fixed.state_dict()})
    x = draw(6, 2, 2)
    close(unroll(learnt, x)[0], unroll(fixed, x)[0])
    gradient = torch.autograd.grad(unroll(learnt, x)[0].square().sum(), learnt.decay_logit)[0]
    assert bool((gradient != 0).all())


def test_fast_rnn_begins_close_to_the_identity_and_has_its_limits() -> None:
    torch.manual_seed(0)
    cell, state, x = FastRNN(2, 4, **DOUBLE), HiddenState(draw(1, 4)), draw(1, 2, seed=1)

    def step(h: Tensor) -> Tensor:
        return cell(x, HiddenState(h))[0][0]

    jacobian = jacrev(step)(state.h)[:, 0]
    assert (jacobian - torch.eye(4, **DOUBLE)).abs().max() < 0.15
    with torch.no_grad():
        cell.alpha.fill_(-60.0)
        cell.beta.fill_(60.0)
    close(cell(x, state)[0].detach(), state.h)
    with torch.no_grad():
        cell.alpha.fill_(60.0)
        cell.beta.fill_(-60.0)
    assert cell.bias_ih is not None
    plain = torch.tanh(x @ cell.weight_ih.T + state.h @ cell.weight_hh.T + cell.bias_ih)
    close(cell(x, state)[0], plain)


def test_fast_grnn_of_low_rank_is_the_full_one_with_the_products_of_its_factors() -> None:
    torch.manual_seed(0)
    low, full = FastGRNN(3, 5, input_rank=2, hidden_rank=1, **DOUBLE), FastGRNN(3, 5, **DOUBLE)
    weights = {name: weight.detach() for name, weight in low.named_parameters()}
    weights["weight_ih"] = weights["weight_ih"] @ weights.pop("weight_ih_right")
    weights["weight_hh"] = weights["weight_hh"] @ weights.pop("weight_hh_right")
    full.load_state_dict(weights)
    x = draw(6, 2, 3)
    close(unroll(low, x)[0], unroll(full, x)[0])
    assert sum(weight.numel() for weight in low.parameters()) == 5 * 2 + 2 * 3 + 5 + 5 + 10 + 2


def test_fast_grnn_keeps_where_its_gate_is_open_and_nu_is_shut() -> None:
    cell, h = FastGRNN(2, 4, **DOUBLE), draw(3, 4)
    assert cell.bias_ih is not None
    with torch.no_grad():
        cell.bias_ih[:4] = 60.0
        cell.nu.fill_(-60.0)
    close(cell(draw(3, 2, seed=1), HiddenState(h))[0].detach(), h)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IndRNN(3, 4, longest=0), "IndRNN: longest is 0. Needed: a positive whole number."),
        (lambda: IndRNN(3, 4, nonlinearity="elu"), "IndRNN: nonlinearity is 'elu'. Needed: 'relu' or 'tanh'."),
        (
            lambda: OrthogonalRNN(3, 4, method="givens"),
            "OrthogonalRNN: method is 'givens'. Needed: 'exponential' or 'cayley'.",
        ),
        (
            lambda: OrthogonalRNN(3, 4, negative=1),
            "OrthogonalRNN: negative is 1. Needed: None, as it belongs to method='cayley'.",
        ),
        (
            lambda: OrthogonalRNN(3, 4, method="cayley", negative=5),
            "OrthogonalRNN: negative is 5. Needed: a whole number from 0 to 4.",
        ),
        (lambda: UnitaryRNN(3, 0), "UnitaryRNN: hidden_size is 0. Needed: a positive whole number."),
        (lambda: UnitaryRNN(3, 2.5), "UnitaryRNN: hidden_size is 2.5. Needed: a positive whole number."),  # type: ignore
        (lambda: SCRN(3, 4, decay=1.0), "SCRN: decay is 1.0. Needed: a number between 0 and 1."),
        (lambda: SCRN(3, 4, context_size=0), "SCRN: context_size is 0. Needed: a positive whole number."),
        (
            lambda: FastGRNN(3, 4, input_rank=4),
            "FastGRNN: input_rank is 4. Needed: None (full), or a whole number from 1 to 3.",
        ),
        (
            lambda: FastRNN(3, 4, nonlinearity="linear"),
            "FastRNN: nonlinearity is 'linear'. Needed: 'tanh' or 'relu' or 'sigmoid'.",
        ),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message


def test_cells_of_any_size_are_made_and_on_the_meta_device() -> None:
    for name in [*(row.name for row in simple.ROWS), "fast_rnn", "fast_grnn"]:
        kind, arguments = cell_class(name)
        for hidden in (1, 2):
            cell = kind(2, hidden, **arguments)
            y, _ = unroll(cell, torch.randn(3, 2, 2))
            assert y.shape == (3, 2, cell.output_size) and bool(y.isfinite().all())
        meta = kind(2, 3, **arguments, device="meta")
        assert all(tensor.is_meta for tensor in meta.state_dict().values())
        assert unroll(meta, torch.zeros(3, 2, 2, device="meta"))[0].shape == (3, 2, meta.output_size)
