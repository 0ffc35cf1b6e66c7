"""The echo state cell and its sparse weights, against the equations written out in numpy."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse
import torch

from recurra.errors import ShapeError, UsageError
from recurra.nn import Recurrent
from recurra.reservoir import EchoState, SparseWeight, reservoir_weights, run, run_blocks
from recurra.unroll import unroll

DOUBLE = torch.float64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reference(cell: EchoState, x: np.ndarray, rate: np.ndarray | float, f) -> np.ndarray:
    """h_t = (1 - a) h + a f(W h + W_in x + b), one unit and one step after another."""
    w, w_in = cell.matrix().detach().numpy(), cell.weight_ih.numpy()
    b = np.zeros(len(w)) if cell.bias_ih is None else cell.bias_ih.numpy()
    steps, batch, _ = x.shape
    found = np.zeros((steps, batch, len(w)))
    for n in range(batch):
        h = np.zeros(len(w))
        for t in range(steps):
            total = np.array([w[i] @ h + w_in[i] @ x[t, n] + b[i] for i in range(len(w))])
            h = (1 - rate) * h + rate * f(total)
            found[t, n] = h
    return found


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("density", [0.15, 1.0])
@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("tanh", np.tanh),
        ("relu", lambda v: np.maximum(v, 0)),
        ("sigmoid", lambda v: 1 / (1 + np.exp(-v))),
        ("linear", lambda v: v),
    ],
)
def test_the_equations(batch: int, density: float, name: str, f) -> None:
    rates = np.linspace(0.2, 1.0, 17)
    cell = EchoState(
        3,
        17,
        rate=rates.tolist(),
        nonlinearity=name,
        topology_arguments={"density": density},
        generator=seeded(),
        dtype=DOUBLE,
    )
    assert isinstance(cell.weight_hh, SparseWeight) == (density < 1)
    x = torch.randn(11, batch, 3, generator=seeded(1), dtype=DOUBLE)
    expected = reference(cell, x.numpy(), rates, f)
    for states in (unroll(cell, x)[0], run(cell, x)[0]):
        np.testing.assert_allclose(states.numpy(), expected, rtol=1e-12, atol=1e-13)


def test_no_bias_and_rate_one() -> None:
    cell = EchoState(2, 9, bias=False, topology="ring", generator=seeded(), dtype=DOUBLE)
    x = torch.randn(7, 3, 2, generator=seeded(1), dtype=DOUBLE)
    np.testing.assert_allclose(run(cell, x)[0].numpy(), reference(cell, x.numpy(), 1.0, np.tanh), rtol=1e-12)


def test_the_weights_are_scaled_as_asked() -> None:
    cell = EchoState(2, 40, spectral_radius=0.7, input_scale=[0.5, 3.0], generator=seeded(), dtype=DOUBLE)
    assert np.abs(np.linalg.eigvals(cell.matrix().numpy())).max() == pytest.approx(0.7, rel=1e-10)
    assert cell.weight_ih[:, 0].abs().max() <= 0.5 < 1.5 < cell.weight_ih[:, 1].abs().max() <= 3.0
    assert not any(weight.requires_grad for weight in cell.parameters())


def test_weights_of_ones_own() -> None:
    w, w_in = torch.randn(6, 6, dtype=DOUBLE), torch.randn(6, 2, dtype=DOUBLE)
    cell = EchoState(2, 6, topology=w, spectral_radius=None, input_weights=w_in, dtype=DOUBLE)
    torch.testing.assert_close(cell.matrix(), w)
    torch.testing.assert_close(cell.weight_ih, w_in, rtol=0, atol=0)
    cell = EchoState(2, 6, topology=scipy.sparse.eye_array(6), spectral_radius=0.5, dtype=DOUBLE)
    torch.testing.assert_close(cell.matrix(), 0.5 * torch.eye(6, dtype=DOUBLE))


def test_a_gradient_goes_through_the_frozen_weights() -> None:
    cell = EchoState(2, 30, rate=0.4, generator=seeded(), dtype=DOUBLE)
    x = torch.randn(6, 4, 2, generator=seeded(1), dtype=DOUBLE, requires_grad=True)
    aim = torch.randn(6, 4, 30, generator=seeded(2), dtype=DOUBLE)
    (gradient,) = torch.autograd.grad((unroll(cell, x)[0] * aim).sum(), x)
    # The same by hand: back through time with the transpose of W.
    w, w_in, b = cell.matrix().numpy(), cell.weight_ih.numpy(), cell.bias_ih.numpy()
    given, wanted = x.detach().numpy(), aim.numpy()
    h = np.zeros((4, 30))
    slopes = []
    for t in range(6):
        z = np.tanh(h @ w.T + given[t] @ w_in.T + b)
        slopes.append(1 - z**2)
        h = 0.6 * h + 0.4 * z
    back, expected = np.zeros((4, 30)), np.zeros_like(given)
    for t in reversed(range(6)):
        back = back + wanted[t]
        total = 0.4 * back * slopes[t]
        expected[t] = total @ w_in
        back = 0.6 * back + total @ w
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-11, atol=1e-13)


def test_the_sparse_product_under_every_transform() -> None:
    weight = SparseWeight(reservoir_weights("random", 12, generator=seeded(), density=0.3), dtype=DOUBLE)
    dense = weight.dense()
    h = torch.randn(5, 12, generator=seeded(1), dtype=DOUBLE, requires_grad=True)
    torch.testing.assert_close(weight(h), h @ dense.mT)
    torch.testing.assert_close(weight(h[:1]), h[:1] @ dense.mT)
    torch.testing.assert_close(weight.plain(h), h @ dense.mT)
    assert torch.autograd.gradcheck(lambda h: weight(h).tanh(), h)
    assert torch.autograd.gradgradcheck(lambda h: weight(h).tanh(), h)
    torch.testing.assert_close(torch.func.vmap(lambda row: weight(row))(h.unsqueeze(1))[:, 0], h @ dense.mT)
    _, tangent = torch.func.jvp(weight, (h,), (torch.ones_like(h),))
    torch.testing.assert_close(tangent, torch.ones_like(h) @ dense.mT)
    torch.testing.assert_close(torch.func.jacrev(weight)(h[:1])[0, :, 0], dense)
    weight.values.requires_grad_(True)
    (gradient,) = torch.autograd.grad(weight(h.detach()).square().sum(), weight.values)
    expected = (2 * (h @ dense.mT).mT @ h)[weight.row, weight.column]
    torch.testing.assert_close(gradient, expected.detach())


def test_changed_entries_are_not_forgotten() -> None:
    weight = SparseWeight(torch.diag(torch.tensor([1.0, 2.0])))
    h = torch.ones(3, 2)
    assert weight(h)[0].tolist() == [1.0, 2.0]
    with torch.no_grad():
        weight.values.mul_(10)
    assert weight(h)[0].tolist() == [10.0, 20.0]
    assert weight.double()(h.double())[0].tolist() == [10.0, 20.0]
    weight.load_state_dict({**weight.state_dict(), "values": torch.tensor([5.0, 6.0])})
    assert weight(h.double())[0].tolist() == [5.0, 6.0]


def test_copies_pickles_and_saves() -> None:
    cell = EchoState(1, 20, generator=seeded(), dtype=DOUBLE)
    x = torch.randn(5, 3, 1, generator=seeded(1), dtype=DOUBLE)
    expected = run(cell, x)[0]
    for other in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert torch.equal(run(other, x)[0], expected)
    loaded = EchoState(1, 20, generator=seeded(5), dtype=DOUBLE)
    loaded.load_state_dict(cell.state_dict())
    assert torch.equal(run(loaded, x)[0], expected)


def test_it_is_driven_by_the_layers() -> None:
    layer = Recurrent(EchoState, 2, 25, num_layers=2, bidirectional=True, generator=seeded(), dtype=DOUBLE)
    x = torch.randn(9, 4, 2, generator=seeded(1), dtype=DOUBLE)
    y, _ = layer(x, lengths=torch.tensor([9, 4, 0, 7]))
    alone, _ = layer(x[:4, 1:2])
    torch.testing.assert_close(y[:4, 1:2], alone)
    assert not y[4:, 1].any() and y.shape == (9, 4, 50)


def test_padding_neighbours_blocks_and_cuts_change_nothing() -> None:
    cell = EchoState(2, 30, rate=0.5, generator=seeded(), dtype=DOUBLE)
    x = torch.randn(20, 6, 2, generator=seeded(1), dtype=DOUBLE)
    lengths = torch.tensor([20, 13, 1, 0, 7, 20])
    x[13:, 1] = torch.nan
    y, state = run(cell, x, lengths=lengths)
    for n, length in enumerate(lengths.tolist()):
        alone, last = run(cell, x[:length, n : n + 1])
        torch.testing.assert_close(y[:length, n : n + 1], alone, rtol=1e-13, atol=1e-14)
        torch.testing.assert_close(state.h[n : n + 1], last.h, rtol=1e-13, atol=1e-14)
    blocks = list(run_blocks(cell, x, lengths=lengths, washout=3, numbers=4 * 6 * 30))
    assert len(blocks) == 5
    torch.testing.assert_close(torch.cat([block.y for block in blocks]), y, rtol=1e-13, atol=1e-14)
    used = torch.cat([block.used for block in blocks])
    assert used.sum(0).tolist() == [17, 10, 0, 0, 4, 17]
    first, between = run(cell, x[:7, :1])
    second, _ = run(cell, x[7:, :1], between)
    torch.testing.assert_close(torch.cat([first, second]), y[:, :1], rtol=1e-13, atol=1e-14)


def test_masked_steps_are_left_out() -> None:
    cell = EchoState(1, 10, generator=seeded(), dtype=DOUBLE)
    x = torch.randn(6, 2, 1, generator=seeded(1), dtype=DOUBLE)
    mask = torch.tensor([1, 0, 1, 1, 0, 1]).bool().unsqueeze(1).expand(6, 2)
    y, state = run(cell, x, mask=mask)
    alone, last = run(cell, x[mask[:, 0]])
    torch.testing.assert_close(y[mask[:, 0]], alone)
    torch.testing.assert_close(state.h, last.h)
    (block,) = run_blocks(cell, x, mask=mask, washout=2)
    assert block.used[:, 0].tolist() == [False, False, True, True, False, True]


def test_no_warning_about_beta_tensors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(EchoState(1, 10), torch.zeros(3, 2, 1))


def test_single_precision_and_float_default() -> None:
    assert EchoState(1, 10).weight_ih.dtype == torch.float32
    assert run(EchoState(1, 10), torch.zeros(3, 2, 1))[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"rate": 0.0}, "EchoState: rate is 0.0. Needed: a positive number of at most 1, or 5 of them"),
        ({"spectral_radius": -1.0}, "spectral_radius is -1.0. Needed: zero or a positive number"),
        ({"topology": "star"}, "topology is 'star'. Needed: 'random', 'fixed_links'"),
        ({"topology": "delay_line"}, "have a spectral radius of 0.*Cure: spectral_radius=None"),
        ({"input_weights": "none"}, "input_weights is 'none'. Needed: 'uniform', 'normal'"),
        ({"input_scale": [1.0, 2.0]}, "input_scale is .1.0, 2.0.. Needed: a number, or 1 of them"),
        ({"nonlinearity": "step"}, "nonlinearity is 'step'"),
    ],
)
def test_wrong_arguments(arguments: dict, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        EchoState(1, 5, **arguments)


def test_wrong_shapes() -> None:
    with pytest.raises(ShapeError, match=r"topology has shape \(4, 4\). Needed: \(5, 5\)"):
        EchoState(1, 5, topology=torch.eye(4))
    with pytest.raises(ShapeError, match=r"input_weights has shape \(5, 2\). Needed: \(5, 1\)"):
        EchoState(1, 5, input_weights=torch.zeros(5, 2))
    with pytest.raises(UsageError, match="washout is -1. Needed: a number of steps, 0 or more"):
        next(run_blocks(EchoState(1, 5), torch.zeros(3, 2, 1), washout=-1))
    with pytest.raises(ShapeError, match="holds a number that is not finite"):
        SparseWeight(torch.tensor([[torch.nan]]))
