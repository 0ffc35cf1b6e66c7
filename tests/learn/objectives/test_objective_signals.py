"""Objectives with teacher signals: against loops in numpy, masks and NaN, windows in time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recurra.learn.objectives import (
    MAE,
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    SignalObjective,
    equal_sequences,
)

STEPS, BATCH, OUTPUTS = 6, 4, 3
LENGTHS = [6, 3, 0, 1]
NAN = float("nan")


class Case:
    """An objective with random outputs, targets, masks and weights, and its loss and gradient of one signal."""

    def __init__(self, name: str, seed: int = 0):
        self.name, chance = name, np.random.default_rng(seed)
        self.output = chance.standard_normal((STEPS, BATCH, OUTPUTS)) * 2
        self.own = chance.uniform(0.2, 2, OUTPUTS)
        self.positive = chance.uniform(0.2, 2, OUTPUTS)
        self.shared = name in ("classes", "distributions")
        size = (STEPS, BATCH) if self.shared else (STEPS, BATCH, OUTPUTS)
        self.mask = chance.random(size) < 0.7
        self.weights = chance.uniform(0.1, 3, size)
        self.there = chance.random(size) < 0.7
        if name == "classes":
            self.target = np.where(self.there, chance.integers(0, OUTPUTS, size), -100)
        elif name == "distributions":
            drawn = chance.dirichlet(np.ones(OUTPUTS), size)
            drawn[~self.there] = NAN
            self.target = drawn
        else:
            drawn = chance.random(size) if name == "binary" else chance.standard_normal(size)
            self.target = np.where(self.there, drawn, NAN)

    def make(self, form: str) -> SignalObjective:
        if self.name == "binary":
            return BinaryCrossEntropy(form, output_weights=self.own, positive_weights=self.positive)
        if self.shared:
            return CrossEntropy(form, class_weights=self.own, label_smoothing=0.1)
        return (MSE if self.name == "squared" else MAE)(form, output_weights=self.own)

    def one(self, t: int, b: int, f: int) -> tuple[float, float, np.ndarray]:
        """Loss, weight and gradient of one signal, from the equations."""
        z, gradient = self.output[t, b], np.zeros(OUTPUTS)
        if self.shared:
            d = self.target[t, b] if self.name == "distributions" else np.eye(OUTPUTS)[self.target[t, b]]
            q, p = 0.9 * d + 0.1 / OUTPUTS, np.exp(z) / np.exp(z).sum()
            wq = self.own * q
            return float(-(wq * np.log(p)).sum()), float((self.own * d).sum()), p * wq.sum() - wq
        d, w = self.target[t, b, f], self.own[f]
        if self.name == "squared":
            loss, slope = (z[f] - d) ** 2, 2 * (z[f] - d)
        elif self.name == "absolute":
            loss, slope = abs(z[f] - d), np.sign(z[f] - d)
        else:
            s, p = 1 / (1 + math.exp(-z[f])), self.positive[f]
            loss, slope = -p * d * math.log(s) - (1 - d) * math.log(1 - s), -p * d * (1 - s) + (1 - d) * s
        gradient[f] = w * slope
        return float(w * loss), float(w), gradient

    def expected(self, form: str, masked: bool, weighted: bool) -> tuple[float, float, np.ndarray]:
        total, weight, gradient = 0.0, 0.0, np.zeros_like(self.output)
        for b, length in enumerate(LENGTHS):
            for t in range(length - 1 if form == "end" else 0, length):
                if t < 0:
                    continue
                for f in range(1 if self.shared else OUTPUTS):
                    place = (t, b) if self.shared else (t, b, f)
                    if not self.there[place] or (masked and not self.mask[place]):
                        continue
                    loss, own, slope = self.one(t, b, f)
                    factor = self.weights[place] if weighted else 1.0
                    total, gradient[t, b] = total + factor * loss, gradient[t, b] + factor * slope
                    weight += factor * own
        if form == "sequence":
            weight = sum(length > 0 for length in LENGTHS)
        return total, weight, gradient

    def arguments(self, masked: bool, weighted: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"lengths": torch.tensor(LENGTHS)}
        if masked:
            found["mask"] = torch.from_numpy(self.mask)
        if weighted:
            found["weights"] = torch.from_numpy(self.weights)
        return found


NAMES = ["squared", "absolute", "binary", "classes", "distributions"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["step", "sequence", "end"])
@pytest.mark.parametrize(("masked", "weighted"), [(False, False), (True, True)])
def test_sum_weight_and_gradient_are_those_of_a_loop(name: str, form: str, masked: bool, weighted: bool) -> None:
    case = Case(name)
    target, arguments = torch.from_numpy(case.target), case.arguments(masked, weighted)
    output = torch.from_numpy(case.output).requires_grad_()
    loss = case.make(form)(output, target, **arguments)
    total, weight, gradient = case.expected(form, masked, weighted)
    loss.sum.backward()
    assert total != 0 and weight != 0
    np.testing.assert_allclose(loss.sum.item(), total, rtol=1e-12)
    np.testing.assert_allclose(loss.weight.item(), weight, rtol=1e-12)
    np.testing.assert_allclose(output.grad, gradient, rtol=1e-11, atol=1e-13)
    assert not loss.weight.requires_grad
    # Known beforehand, without any output.
    before = case.make(form).weight(target, **arguments)
    np.testing.assert_allclose(before.item(), weight, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
def test_what_does_not_count_reaches_no_gradient(name: str, bad: float) -> None:
    case = Case(name, seed=3)
    arguments, target = case.arguments(True, True), torch.from_numpy(case.target)
    counts = (
        case.there & case.mask & (np.arange(STEPS)[:, None] < LENGTHS).reshape(STEPS, BATCH, *[1] * (not case.shared))
    )
    spoiled = case.output.copy()
    spoiled[~counts] = bad
    arguments["weights"] = torch.where(torch.from_numpy(counts), arguments["weights"], bad)
    output = torch.from_numpy(spoiled).requires_grad_()
    loss = case.make("step")(output, target, **arguments)
    loss.mean.backward()
    total, weight, gradient = case.expected("step", True, True)
    np.testing.assert_allclose([loss.sum.item(), loss.weight.item()], [total, weight], rtol=1e-12)
    np.testing.assert_allclose(output.grad, gradient / weight, rtol=1e-11, atol=1e-13)
    assert bool((output.grad[~torch.from_numpy(counts)] == 0).all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["step", "sequence", "end"])
@pytest.mark.parametrize("cuts", [[2, 5], [1, 1, 6], [0, 4]])
def test_windows_add_up_to_the_whole(name: str, form: str, cuts: list[int]) -> None:
    case = Case(name, seed=1)
    objective, arguments = case.make(form), case.arguments(True, True)
    output, target = torch.from_numpy(case.output).requires_grad_(), torch.from_numpy(case.target)
    whole = objective(output, target, **arguments)
    (gradient,) = torch.autograd.grad(whole.sum, output)
    parts = []
    for start, stop in zip([0, *cuts], [*cuts, STEPS], strict=True):
        here = {key: part if key == "lengths" else part[start:stop] for key, part in arguments.items()}
        parts.append(objective(output[start:stop], target[start:stop], **here, start=start))
    summed = sum(part.sum for part in parts)
    torch.testing.assert_close(summed, whole.sum, rtol=1e-12, atol=0)
    torch.testing.assert_close(sum(part.weight for part in parts), whole.weight, rtol=1e-12, atol=0)
    (other,) = torch.autograd.grad(summed, output)
    torch.testing.assert_close(other, gradient, rtol=1e-12, atol=1e-15)


def test_the_end_form_takes_one_target_a_sequence_whole_or_in_windows() -> None:
    case = Case("squared")
    output, lengths = torch.from_numpy(case.output), torch.tensor(LENGTHS)
    target = torch.randn(BATCH, OUTPUTS, dtype=torch.float64)
    target[1, 2] = NAN
    mask = torch.tensor([True, True, True, False])
    wanted = ((output[5, 0] - target[0]) ** 2).sum() * 2 + ((output[2, 1, :2] - target[1, :2]) ** 2).sum() * 3
    weights = torch.tensor([2.0, 3.0, 5.0, 7.0])
    loss = MSE("end")(output, target, lengths, mask, weights)
    torch.testing.assert_close(loss.sum, wanted)
    assert loss.weight == 2 * 3 + 3 * 2 == MSE("end").weight(target, lengths, mask, weights)
    parts = [MSE("end")(output[a:b], target, lengths, mask, weights, start=a) for a, b in ((0, 2), (2, 3), (3, 6))]
    torch.testing.assert_close(sum(part.sum for part in parts), wanted)
    assert [part.weight.item() for part in parts] == [0, 6, 6]
    # Flags of single outputs, and class numbers of whole sequences.
    single = MSE("end")(output, target, lengths, torch.tensor([[True, False, False]]).expand(BATCH, -1))
    torch.testing.assert_close(
        single.sum, sum((output[n - 1, b, 0] - target[b, 0]) ** 2 for b, n in ((0, 6), (1, 3), (3, 1)))
    )
    classes = CrossEntropy("end")(output, torch.tensor([2, 0, 1, -100]), lengths)
    torch.testing.assert_close(classes.sum, -output[5, 0].log_softmax(0)[2] - output[2, 1].log_softmax(0)[0])
    assert classes.weight == 2
    # Without lengths the last step is that of all.
    torch.testing.assert_close(MSE("end")(output, target).sum, ((output[-1] - target) ** 2).nansum())


def test_means_are_those_of_torch() -> None:
    output, target = torch.randn(5, 3, 4), torch.randn(5, 3, 4)
    torch.testing.assert_close(MSE()(output, target).mean, nn.functional.mse_loss(output, target))
    torch.testing.assert_close(MAE()(output, target).mean, nn.functional.l1_loss(output, target))
    classes, weights = torch.randint(0, 4, (5, 3)), torch.rand(4)
    classes[0, 1] = -100
    flat = (output.flatten(0, 1), classes.flatten(), weights)
    for smoothing in (0.0, 0.3):
        wanted = nn.functional.cross_entropy(*flat, label_smoothing=smoothing)
        mine = CrossEntropy(class_weights=weights, label_smoothing=smoothing)(output, classes)
        torch.testing.assert_close(mine.mean, wanted)
    yes = torch.rand(5, 3, 4)
    wanted = nn.functional.binary_cross_entropy_with_logits(output * 50, yes)
    torch.testing.assert_close(BinaryCrossEntropy()(output * 50, yes).mean, wanted)


def test_sequences_can_count_alike() -> None:
    target = torch.randn(5, 3, 2, dtype=torch.float64)
    target[1:, 1, 0] = NAN
    output, lengths = torch.randn_like(target), torch.tensor([5, 3, 0])
    weights = equal_sequences(MSE(), target, lengths)
    loss = MSE()(output, target, lengths, weights=weights)
    squares = (output - target) ** 2
    wanted = squares[:, 0].mean() + squares[:3, 1].nansum() / 4
    torch.testing.assert_close(loss.sum, wanted)
    torch.testing.assert_close(loss.weight, torch.tensor(2.0, dtype=torch.float64))
    assert weights[2] == 0


@pytest.mark.parametrize("form", ["step", "sequence", "end"])
def test_sizes_of_zero(form: str) -> None:
    for steps, batch in ((0, 2), (3, 0), (0, 0)):
        output = torch.randn(steps, batch, 2, requires_grad=True)
        loss = MSE(form)(output, torch.zeros(steps, batch, 2))
        loss.mean.backward()
        assert loss.sum == 0 and loss.weight == 0 and loss.mean == 0
    nothing = MSE(form)(output := torch.randn(3, 2, 1, requires_grad=True), torch.full((3, 2, 1), NAN))
    nothing.mean.backward()
    assert nothing.mean == 0 and bool((output.grad == 0).all())


def test_half_precision_is_added_up_in_single_precision() -> None:
    output = torch.ones(5000, 1, 1, dtype=torch.float16, requires_grad=True)
    loss = MSE()(output, torch.zeros(5000, 1, 1, dtype=torch.float16))
    assert loss.sum.dtype == torch.float32 and loss.sum == 5000
    loss.mean.backward()
    assert output.grad is not None and output.grad.dtype == torch.float16


@pytest.mark.parametrize("name", ["squared", "binary", "classes", "distributions"])
@pytest.mark.parametrize("form", ["step", "end"])
def test_second_derivatives_vmap_and_jvp(name: str, form: str) -> None:
    case = Case(name, seed=2)
    target, arguments = torch.from_numpy(case.target), case.arguments(True, True)

    def mean(output: Tensor) -> Tensor:
        return case.make(form)(output, target, **arguments).mean

    output = torch.from_numpy(case.output).requires_grad_()
    assert torch.autograd.gradcheck(mean, output)
    assert torch.autograd.gradgradcheck(mean, output)
    several = torch.stack([output.detach(), output.detach() * 0.5])
    torch.testing.assert_close(torch.func.vmap(mean)(several), torch.stack([mean(one) for one in several]))
    direction = torch.randn_like(output)
    _, slope = torch.func.jvp(mean, (output.detach(),), (direction,))
    torch.testing.assert_close(slope, (torch.autograd.grad(mean(output), output)[0] * direction).sum())


def test_an_impossible_class_that_is_not_asked_for_costs_nothing() -> None:
    output = torch.tensor([[[0.0, -math.inf, 0.0]]], requires_grad=True)
    loss = CrossEntropy()(output, torch.tensor([[[0.5, 0.0, 0.5]]]))
    loss.sum.backward()
    torch.testing.assert_close(loss.sum, torch.tensor(math.log(2)))
    assert bool(output.grad.isfinite().all())
    assert CrossEntropy()(output, torch.tensor([[1]])).sum == math.inf


def test_whole_sequences_are_left_out_or_weighed() -> None:
    case = Case("squared")
    output, target, lengths = torch.from_numpy(case.output), torch.from_numpy(case.target), torch.tensor(LENGTHS)
    mask, weights = torch.tensor([True, False, True, True]), torch.tensor([2.0, 3.0, 5.0, 0.5], dtype=torch.float64)
    squares = ((output - target) ** 2).nansum(-1)
    wanted = 2 * squares[:, 0].sum() + 0.5 * squares[0, 3]
    for form in ("step", "sequence"):
        loss = MSE(form)(output, target, lengths, mask, weights)
        torch.testing.assert_close(loss.sum, wanted)
        signals = 2 * case.there[:, 0].sum() + 0.5 * case.there[0, 3].sum()
        assert loss.weight == (2.5 if form == "sequence" else signals)
