"""Description lengths in bits, edit distance and label error rate: against sums written out, and texts of errors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from recurra.errors import RecurraError, UsageError
from recurra.learn.objectives import (
    edit_distance,
    gaussian_bits,
    label_error_rate,
    labelling_bits,
    parameter_bits,
    round_weights,
    sequence_bits,
    train_ngram,
    two_part_length,
)

words = st.text("abc", max_size=8)


@settings(max_examples=150, deadline=None)
@given(words, words)
def test_the_edit_distance_is_that_of_the_recursion(one: str, other: str) -> None:
    @functools.cache
    def d(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (one[i - 1] != other[j - 1]))

    assert edit_distance(one, other) == d(len(one), len(other)) == edit_distance(other, one)
    assert edit_distance(list(one), tuple(other)) == d(len(one), len(other))


def test_the_label_error_rate_weighs_sequences_by_their_lengths() -> None:
    assert label_error_rate([[1, 2], []], [[1, 2, 3, 4], [5]]) == 3 / 5
    assert label_error_rate([[1, 2, 3]], [[4]]) == 3.0
    assert label_error_rate([[], [1]], [[], [1]]) == 0.0


def test_bits_of_sequences_of_classes() -> None:
    logits, target = torch.randn(5, 3, 4, dtype=torch.float64), torch.randint(0, 4, (5, 3))
    target[1, 0] = -100
    logits[4, 1] = float("nan")
    mask = torch.rand(5, 3) < 0.8
    bits = sequence_bits(logits, target, [5, 3, 0], mask)
    probs = torch.softmax(logits, -1)
    for b, n in enumerate((5, 3, 0)):
        seen = [t for t in range(n) if mask[t, b] and target[t, b] >= 0]
        wanted = -sum(math.log2(probs[t, b, target[t, b]]) for t in seen)
        np.testing.assert_allclose(bits[b], wanted, rtol=1e-12, atol=1e-12)


def test_bits_of_labellings() -> None:
    model = train_ngram([[1, 2, 1], [2, 2]], 3, order=2)
    np.testing.assert_allclose(labelling_bits([1, 2], model), -model.log_prob([1, 2]) / math.log(2))
    # Kraft: codes that are that long exist.
    every = [[], *[[a] for a in (1, 2)], *[[a, b] for a in (1, 2) for b in (1, 2)]]
    assert sum(2 ** -labelling_bits(labels, model) for labels in every) < 1


def test_bits_of_real_numbers() -> None:
    value = torch.tensor([0.0, 0.5, -3.0, 12.0, -37.0], dtype=torch.float64)
    for mean, deviation, resolution in ((0.3, 1.0, 0.5), (-1.0, 2.5, 0.01), (0.0, 0.7, 2.0)):
        # On the side where the distribution function is small, so that differences keep their digits.
        low, high = (-(value - mean).abs() + sign * resolution / 2 for sign in (-1, 1))
        p = stats.norm.cdf(high / deviation) - stats.norm.cdf(low / deviation)
        keep = p > 1e-290
        wanted = -np.log2(np.where(keep, p, 1.0))
        assert keep.sum() >= 3
        found = gaussian_bits(value, mean, deviation, resolution).numpy()
        np.testing.assert_allclose(found[keep], wanted[keep], rtol=1e-7)
        assert np.isfinite(found).all()
    # A code: the lengths of all multiples of the resolution fill Kraft's inequality.
    every = torch.arange(-4000, 4001, dtype=torch.float64) * 0.01
    np.testing.assert_allclose((2 ** -gaussian_bits(every, 0.123, 1.7, 0.01)).sum(), 1.0, rtol=1e-12)


def test_narrow_intervals_join_the_wide_ones_without_a_step() -> None:
    value = torch.tensor([0.0, 1.0, 5.0, 30.0], dtype=torch.float64)
    below, above = (gaussian_bits(value, 0.0, 1.0, resolution) for resolution in (0.99999e-5, 1.00001e-5))
    torch.testing.assert_close(below - above, torch.full_like(value, math.log2(1.00001 / 0.99999)), rtol=0, atol=1e-9)
    assert bool(gaussian_bits(value, 0.0, 1.0, 1e-12).isfinite().all())
    # So far out that the density falls over one interval: the side that is nearer the mean holds it all.
    far = gaussian_bits(torch.tensor(1e7, dtype=torch.float64), 0.0, 1.0, 9e-6)
    nearer = -torch.special.log_ndtr(torch.tensor(4.5e-6 - 1e7, dtype=torch.float64)) / math.log(2)
    torch.testing.assert_close(far, nearer, rtol=1e-12, atol=0)


def test_two_part_codes() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    rounded = round_weights(layer, 2**-5)
    weights = torch.cat([part.detach().flatten() for part in rounded.parameters()]).double().numpy()
    assert (weights * 32 == np.round(weights * 32)).all() and not torch.equal(rounded.weight, layer.weight)
    assert np.abs(weights - torch.cat([part.detach().flatten() for part in layer.parameters()]).numpy()).max() <= 2**-6
    spread = math.sqrt((weights**2).mean())
    p = stats.norm.cdf((weights + 2**-6) / spread) - stats.norm.cdf((weights - 2**-6) / spread)
    length = two_part_length(rounded, torch.tensor([10.0, 20.0]), step=2**-5)
    np.testing.assert_allclose(length.model, 64 - np.log2(p).sum(), rtol=1e-9)
    assert length.data == 30.0 and length.total == length.model + 30.0
    # Coarser weights are told in fewer bits.
    coarse = two_part_length(round_weights(layer, 0.25), 0.0, step=0.25)
    assert coarse.model < length.model
    assert two_part_length(nn.Identity(), 5.0, step=0.1) == (64.0, 5.0)
    zeros = round_weights(layer, 1e3)
    assert two_part_length(zeros, 0.0, step=1e3).model == 64.0
    # A step that single precision does not hold exactly.
    assert two_part_length(round_weights(layer, 0.01), 0.0, step=0.01).model > 64.0


def test_the_shorter_description_names_the_better_model() -> None:
    torch.manual_seed(1)
    n = 400
    x = torch.randn(n, 4, dtype=torch.float64)
    y = torch.round((x[:, 0] * 2 + 0.3 * torch.randn(n, dtype=torch.float64)) / 0.1) * 0.1

    def length(columns: int, step: float) -> float:
        layer = nn.Linear(max(columns, 1), 1, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.zero_()
            if columns:
                layer.weight.copy_(torch.linalg.lstsq(x[:, :columns], y[:, None]).solution.T)
            layer = round_weights(layer, step)
            error = (layer(x[:, : max(columns, 1)])[:, 0] - y).square().mean().sqrt()
            bits = gaussian_bits(y, layer(x[:, : max(columns, 1)])[:, 0], error, 0.1)
        return two_part_length(layer, bits, step).total

    assert length(1, 0.05) < length(4, 0.05) < length(0, 0.05)
    assert length(1, 0.05) < min(length(1, 1e-9), length(1, 3.0))
    assert parameter_bits(3, 2**10) == 15.0 and parameter_bits(0, 5) == 0.0


MESSAGES: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: gaussian_bits(torch.zeros(1), 0.0, 1.0, 0.0),
        "gaussian_bits: resolution is 0.0. Needed: a positive number.",
    ),
    (
        lambda: gaussian_bits(torch.zeros(1), 0.0, torch.tensor([1.0, -1.0]), 0.1),
        "gaussian_bits: deviation holds -1.0. Needed: positive numbers.",
    ),
    (lambda: parameter_bits(-1, 5), "parameter_bits: parameters is -1. Needed: a whole number from 0."),
    (lambda: parameter_bits(1, 0), "parameter_bits: observations is 0. Needed: a whole number from 1."),
    (lambda: round_weights(nn.Linear(1, 1), 0), "round_weights: step is 0. Needed: a positive number."),
    (
        lambda: two_part_length(nn.PReLU(init=0.3), 0.0, step=0.25),
        "two_part_length: a weight is 0.3. Needed: multiples of the step, 0.25. Cure: measure the data's bits with "
        "round_weights(module, step), and give that module.",
    ),
    (
        lambda: two_part_length(nn.PReLU(init=0.5), float("nan"), step=0.25),
        "two_part_length: data_bits holds NaN. Needed: lengths in bits.",
    ),
    (
        lambda: label_error_rate([[1]], []),
        "label_error_rate: decoded holds 1 labellings. Needed: 0, as many as are wanted.",
    ),
    (lambda: label_error_rate([[1]], [[]]), "label_error_rate: wanted holds no label. Needed: at least one label."),
]


@pytest.mark.parametrize(("call", "text"), MESSAGES, ids=[str(n) for n in range(len(MESSAGES))])
def test_messages(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(RecurraError) as caught:
        call()
    assert isinstance(caught.value, UsageError) and str(caught.value) == text
