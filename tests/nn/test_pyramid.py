"""The pyramidal encoder: each layer on the joined steps of the one below, lengths, padding, messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.nn.pyramid import Pyramid


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def elman(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    h, outputs = np.zeros(w["weight_hh"].shape[0]), []
    for x_t in x:
        h = np.tanh(w["weight_ih"] @ x_t + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"])
        outputs.append(h)
    return np.array(outputs)


def reference(pyramid: Pyramid, x: np.ndarray) -> np.ndarray:
    """One sequence without padding through a pyramid of Elman cells in both directions."""
    for layer, factor in zip(pyramid.layers, pyramid.factors, strict=True):
        joined = []
        for i in range(math.ceil(len(x) / factor)):
            group = list(x[i * factor : (i + 1) * factor])
            group += [np.zeros(x.shape[1])] * (factor - len(group))
            joined.append(np.concatenate(group))
        w = [{name: weight.detach().numpy() for name, weight in cell.named_parameters()} for cell in layer.cells]
        forward, backward = elman(w[0], np.array(joined)), elman(w[1], np.array(joined)[::-1])[::-1]
        x = np.concatenate([forward, backward], 1)
    return x


@pytest.mark.parametrize("factor", [2, 3, (1, 2, 2), (2, 1, 3)])
def test_numbers_are_those_of_the_plain_equations(factor: Any) -> None:
    torch.manual_seed(0)
    pyramid = Pyramid("elman", 3, 4, 3, factor=factor, dtype=torch.float64)
    x, given = numbers(13, 4, 3), [13, 6, 1, 0]
    y, lengths = pyramid(x, lengths=given)
    steps, left = 13, given
    for each in pyramid.factors:
        steps, left = math.ceil(steps / each), [math.ceil(length / each) for length in left]
    assert y.shape == (steps, 4, 8) == (steps, 4, pyramid.output_size) and lengths.tolist() == left
    for b, length in enumerate(given):
        assert bool((y[left[b] :, b] == 0).all())
        if length:
            wanted = reference(pyramid, x[:length, b].numpy())
            np.testing.assert_allclose(y[: left[b], b].detach(), wanted, rtol=1e-12, atol=1e-14)


def test_gradients_agree_with_numeric_ones() -> None:
    torch.manual_seed(0)
    pyramid = Pyramid("gru_reset_before", 2, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: pyramid(x, lengths=[5, 3])[0], numbers(5, 2, 2).requires_grad_())


def test_what_stands_in_the_padding_reaches_nothing() -> None:
    torch.manual_seed(0)
    pyramid = Pyramid("lstm", 3, 4, 2, dtype=torch.float64)
    x = numbers(9, 2, 3)
    clean, _ = pyramid(x, lengths=[9, 5])
    x[5:, 1] = torch.nan
    x.requires_grad_()
    y, _ = pyramid(x, lengths=[9, 5])
    torch.testing.assert_close(y, clean, rtol=0, atol=0)
    y.square().sum().backward()
    assert x.grad is not None and bool((x.grad[5:, 1] == 0).all()) and bool((x.grad[:5, 1] != 0).any())
    assert all(bool(weight.grad.isfinite().all()) for weight in pyramid.parameters() if weight.grad is not None)
    torch.testing.assert_close(pyramid(x[:5, 1:])[0], y[:2, 1:], rtol=1e-12, atol=1e-14)


def test_any_cell_one_direction_batch_first_and_no_steps() -> None:
    torch.manual_seed(0)
    one = Pyramid("indrnn", 3, 4, 2, bidirectional=False, dtype=torch.float64)
    other = Pyramid("indrnn", 3, 4, 2, bidirectional=False, batch_first=True, dtype=torch.float64)
    other.load_state_dict(one.state_dict())
    x = numbers(6, 2, 3)
    y, lengths = one(x)
    assert y.shape == (2, 2, 4) and lengths.tolist() == [2, 2]
    torch.testing.assert_close(other(x.transpose(0, 1))[0], y.transpose(0, 1))
    y, lengths = one(x[:0])
    assert y.shape == (0, 2, 4) and lengths.tolist() == [0, 0]


def test_dropout_acts_between_layers_in_training_only() -> None:
    pyramid, x = Pyramid("gru", 3, 4, 2, dropout=1.0), torch.randn(8, 2, 3)
    nothing = pyramid.layers[1](torch.zeros(2, 2, 16))[0]
    torch.testing.assert_close(pyramid(x)[0], nothing)
    assert not torch.allclose(pyramid.eval()(x)[0], nothing)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Pyramid("gru", 3, 4, 3, factor=(2, 2)), "factor has 2 entries. Needed: a number, or 3, one a layer"),
        (lambda: Pyramid("gru", 3, 4, 2, factor=0), "Pyramid: factor is 0. Needed: a positive whole number"),
        (lambda: Pyramid("gru", 3, 4, 0), "Pyramid: num_layers is 0. Needed: a positive whole number"),
        (lambda: Pyramid("gru", 3, 4, dropout=2), "Pyramid: dropout is 2. Needed: a number from 0 to 1"),
        (lambda: Pyramid("gruu", 3, 4), "'gruu' is not a cell"),
    ],
)
def test_messages_of_the_constructor(build: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()


def test_messages_of_the_call() -> None:
    with pytest.raises(ShapeError, match=r"Pyramid: x has shape \(5, 2, 4\). Needed: \(time, batch, 3\)"):
        Pyramid("gru", 3, 4)(torch.zeros(5, 2, 4))
    with pytest.raises(UsageError, match="Pyramid: lengths holds -1. Needed: whole numbers from 0 to 5"):
        Pyramid("gru", 3, 4)(torch.zeros(5, 2, 3), lengths=[-1, 5])
