"""The CTC loss: against all paths, against torch's, its edges, and texts of errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ctc_paths import loss_and_gradient
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives import CTC, ctc_loss, ctc_steps_needed, pad_labels

NAN = float("nan")


@st.composite
def small_batches(draw: Any) -> tuple[np.ndarray, list[list[int]], list[int], int]:
    """Scores (time, batch, classes), labellings, lengths and a blank, small enough to write all paths out."""
    classes = draw(st.integers(1, 3))
    steps = draw(st.integers(0, 5))
    batch = draw(st.integers(1, 3))
    blank = draw(st.integers(0, classes - 1))
    others = [k for k in range(classes) if k != blank]
    label = st.sampled_from(others) if others else st.nothing()
    labels = [draw(st.lists(label, max_size=4 if others else 0)) for _ in range(batch)]
    lengths = [draw(st.integers(0, steps)) for _ in range(batch)]
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return chance.standard_normal((steps, batch, classes)) * 2, labels, lengths, blank


@settings(max_examples=120, deadline=None)
@given(small_batches())
def test_the_loss_and_its_gradient_are_those_of_all_paths_written_out(case: Any) -> None:
    scores, labels, lengths, blank = case
    for b, length in enumerate(lengths):
        scores[length:, b] = NAN
    logits = torch.from_numpy(scores).requires_grad_()
    losses = ctc_loss(logits, labels, torch.tensor(lengths), blank=blank)
    shares = torch.arange(1.0, len(labels) + 1, dtype=torch.float64)
    (losses * shares).sum().backward()
    gradient = logits.grad.numpy()
    enough = ctc_steps_needed(labels) <= torch.tensor(lengths)
    for b, length in enumerate(lengths):
        wanted, slope = loss_and_gradient(scores[:length, b], tuple(labels[b]), blank)
        np.testing.assert_allclose(losses[b].item(), wanted, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(gradient[:length, b], slope * (b + 1), rtol=0, atol=1e-12)
        assert (gradient[length:, b] == 0).all()
        assert bool(enough[b]) == math.isfinite(wanted)
        if not enough[b]:
            assert (gradient[:, b] == 0).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
def test_the_loss_is_that_of_torch(dtype: torch.dtype, tolerance: float) -> None:
    for seed in range(12):
        torch.manual_seed(seed)
        steps, batch, classes, most = (int(torch.randint(*pair, ())) for pair in ((1, 40), (1, 6), (2, 9), (0, 12)))
        blank = int(torch.randint(0, classes, ()))
        logits = (torch.randn(steps, batch, classes, dtype=dtype) * 3).requires_grad_()
        drawn = torch.randint(0, classes - 1, (batch, most))
        labels = drawn + (drawn >= blank)
        counts, lengths = torch.randint(0, most + 1, (batch,)), torch.randint(0, steps + 1, (batch,))
        mine = ctc_loss(logits, labels, lengths, counts, blank=blank)
        theirs = F.ctc_loss(logits.log_softmax(-1), labels, lengths, counts, blank=blank, reduction="none")
        there = theirs.isfinite()
        assert torch.equal(there, mine.isfinite()) and torch.equal(there, ctc_steps_needed(labels, counts) <= lengths)
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)
        shares = torch.rand(batch, dtype=dtype)
        (slope,) = torch.autograd.grad((mine * shares)[there].sum(), logits, retain_graph=True)
        (wanted,) = torch.autograd.grad((theirs * shares)[there].sum(), logits)
        # torch makes NaN of a sequence without a path, even where its loss is not used.
        torch.testing.assert_close(slope[:, there], wanted[:, there], rtol=0, atol=tolerance * 10)
        assert bool((slope[:, ~there] == 0).all())


def test_gradcheck() -> None:
    logits = torch.randn(7, 4, 4, dtype=torch.float64, requires_grad=True)
    labels = pad_labels([[1, 1, 2], [], [3, 1, 3, 1], [2]])
    assert torch.autograd.gradcheck(lambda z: ctc_loss(z, labels, [7, 5, 6, 1]), logits)
    loss = CTC()(logits, labels, [7, 5, 6, 1], mask=torch.tensor([True, True, False, True]))
    (gradient,) = torch.autograd.grad(loss.sum, logits)
    # A softmax less a distribution: each step's gradient adds up to 0.
    torch.testing.assert_close(gradient.sum(-1), torch.zeros(7, 4, dtype=torch.float64))
    assert bool((gradient[:, 2] == 0).all())


@pytest.mark.parametrize("from_above", [1.0, 0.0, math.inf, NAN])
def test_a_sequence_without_a_path_is_told_apart_and_teaches_nothing(from_above: float) -> None:
    logits = torch.randn(3, 4, 3, requires_grad=True)
    labels = [[1, 1, 2], [1, 2, 1], [1, 2, 1, 2], [1]]
    assert ctc_steps_needed(labels).tolist() == [4, 3, 4, 1]
    losses = ctc_loss(logits, labels, [3, 3, 3, 0])
    assert losses.isinf().tolist() == [True, False, True, True] and bool((losses[losses.isinf()] > 0).all())
    losses.backward(torch.tensor([from_above, 1.0, from_above, from_above]))
    assert logits.grad.isfinite().all()
    assert (logits.grad != 0).any(2).any(0).tolist() == [False, True, False, False]


def test_a_class_of_probability_zero() -> None:
    logits = torch.zeros(4, 2, 3, dtype=torch.float64)
    logits[:, :, 2] = -math.inf
    logits.requires_grad_()
    losses = ctc_loss(logits, [[1], [2]])
    losses.sum().backward()
    # Two classes left: 10 of the 16 paths write one label.
    torch.testing.assert_close(losses[0], torch.tensor(math.log(16 / 10), dtype=torch.float64))
    assert losses[1] == math.inf and bool((logits.grad[:, 1] == 0).all()) and bool(logits.grad.isfinite().all())


def test_nan_within_a_length_stays_visible_and_within_its_sequence() -> None:
    logits = torch.randn(4, 2, 3)
    logits[1, 0, 2] = NAN
    logits.requires_grad_()
    losses = ctc_loss(logits, [[1], [2]])
    losses.sum().backward()
    assert losses.isnan().tolist() == [True, False]
    assert bool(logits.grad[:, 0].isnan().any()) and bool(logits.grad[:, 1].isfinite().all())


def test_edges() -> None:
    logits = torch.randn(5, 2, 3, dtype=torch.float64)
    log_probs = logits.log_softmax(-1)
    # No labels: the one path is all blanks, and of no steps at all it is certain.
    torch.testing.assert_close(
        ctc_loss(logits, [[], []], [5, 0]), torch.stack([-log_probs[:, 0, 0].sum(), 0 * logits.sum()])
    )
    torch.testing.assert_close(ctc_loss(logits, torch.zeros(2, 0, dtype=torch.long)), -log_probs[:, :, 0].sum(0))
    # One step, one label.
    torch.testing.assert_close(ctc_loss(logits[:1], [[1], [2]]), -log_probs[0, [0, 1], [1, 2]])
    # As many steps as are needed leave one path.
    torch.testing.assert_close(
        ctc_loss(logits[:3, :1], [[2, 2]])[0], -(log_probs[0, 0, 2] + log_probs[1, 0, 0] + log_probs[2, 0, 2])
    )
    assert ctc_loss(logits[:0], [[], [1]]).tolist() == [0.0, math.inf]
    assert ctc_loss(logits[:, :0], []).shape == (0,)
    assert pad_labels([]).shape == (0, 0) and pad_labels([[], []]).shape == (2, 0)


def test_a_result_does_not_depend_on_padding_or_neighbours() -> None:
    logits = torch.randn(9, 3, 4, dtype=torch.float64)
    labels = [[1, 2, 2], [3], [1]]
    alone = [ctc_loss(logits[:n, b : b + 1], [labels[b]])[0] for b, n in enumerate((9, 4, 2))]
    torch.testing.assert_close(ctc_loss(logits, labels, [9, 4, 2]), torch.stack(alone), rtol=1e-14, atol=0)
    wider = torch.cat([pad_labels(labels), torch.full((3, 5), -1)], 1)
    torch.testing.assert_close(ctc_loss(logits, wider, [9, 4, 2]), torch.stack(alone), rtol=1e-14, atol=0)
    counted = torch.where(wider < 0, 1, wider)  # what stands past a given length is never read
    torch.testing.assert_close(ctc_loss(logits, counted, [9, 4, 2], [3, 1, 1]), torch.stack(alone), rtol=1e-14, atol=0)


def test_precision_inside() -> None:
    torch.manual_seed(0)
    exact = torch.randn(1500, 1, 5, dtype=torch.float64)
    labels = torch.randint(1, 5, (1, 200))
    single = exact.float().requires_grad_()
    wanted_of = exact.float().double().requires_grad_()
    wanted = ctc_loss(wanted_of, labels)
    (slope,) = torch.autograd.grad(wanted.sum(), wanted_of)
    double_inside = ctc_loss(single, labels, precision=torch.float64)
    assert double_inside.dtype == torch.float32
    (mine,) = torch.autograd.grad(double_inside.sum(), single)
    torch.testing.assert_close(mine, slope.float(), rtol=0, atol=1e-7)
    (rough,) = torch.autograd.grad(ctc_loss(single, labels).sum(), single)
    assert (mine - slope).abs().max() * 100 < (rough - slope).abs().max() < 1e-2
    half = torch.randn(4, 1, 3, dtype=torch.float16, requires_grad=True)
    loss = ctc_loss(half, [[1]])
    loss.sum().backward()
    assert loss.dtype == torch.float32 and half.grad.dtype == torch.float16


def test_the_objective() -> None:
    logits = torch.randn(4, 3, 3, dtype=torch.float64, requires_grad=True)
    labels, weights = [[1], [2, 1], [1, 1, 1]], torch.tensor([2.0, 0.5, 4.0])
    each = ctc_loss(logits, labels)
    assert CTC()(logits, labels).sum == math.inf
    loss = CTC(infeasible="leave_out")(logits, labels, weights=weights)
    torch.testing.assert_close(loss.sum, 2 * each[0] + 0.5 * each[1])
    assert loss.weight == 2.5 and CTC().weight(labels, weights=weights) == 6.5
    loss.sum.backward()
    assert bool(logits.grad.isfinite().all()) and bool((logits.grad[:, 2] == 0).all())
    masked = CTC()(logits, labels, mask=torch.tensor([False, True, False]), weights=weights)
    torch.testing.assert_close(masked.sum, 0.5 * each[1])
    assert masked.weight == 0.5 == CTC().weight(labels, mask=torch.tensor([False, True, False]), weights=weights)
    nothing = CTC(infeasible="leave_out")(logits[:0], [[1], [1], [1]])
    assert nothing.mean == 0
    assert repr(CTC(2)) == "CTC(blank=2, infeasible='keep')"


LOGITS = torch.zeros(4, 2, 3)

MESSAGES: list[tuple[Callable[[], Any], type[UsageError], str]] = [
    (
        lambda: ctc_loss(LOGITS[0], [[1], [1]]),
        ShapeError,
        "ctc_loss: logits is torch.float32 of shape (2, 3). Needed: floating-point numbers (time, batch, classes).",
    ),
    (
        lambda: ctc_loss(LOGITS[..., :0], [[1], [1]]),
        ShapeError,
        "ctc_loss: logits has shape (4, 2, 0). Needed: at least one class, the blank.",
    ),
    (
        lambda: ctc_loss(LOGITS, [[1], [3]]),
        UsageError,
        "ctc_loss: labels of sequence 1 holds 3. Needed: classes from 0 to 2 without the blank, 0.",
    ),
    (
        lambda: ctc_loss(LOGITS, [[1, 0], [2]]),
        UsageError,
        "ctc_loss: labels of sequence 0 holds 0, the blank. Needed: classes from 0 to 2 without the blank, 0.",
    ),
    (
        lambda: ctc_loss(LOGITS, torch.tensor([[1, 1], [-1, 2]])),
        UsageError,
        "ctc_loss: labels of sequence 1 holds -1 before its end. Needed: padding (-1) after the last label only.",
    ),
    (
        lambda: ctc_loss(LOGITS, [[1]]),
        ShapeError,
        "ctc_loss: labels has shape (1, 1). Needed: whole numbers (2, labels), padded with -1.",
    ),
    (
        lambda: ctc_loss(LOGITS, torch.ones(2, 1)),
        ShapeError,
        "ctc_loss: labels is torch.float32. Needed: whole numbers (2, labels), padded with -1. Cure: labels.long().",
    ),
    (
        lambda: ctc_loss(LOGITS, [1, 2]),
        ShapeError,
        "ctc_loss: labels is [1, 2]. Needed: a tensor (2, labels), or a list of 2 lists of class numbers.",
    ),
    (
        lambda: ctc_loss(LOGITS, [[1], [1]], label_lengths=[2, 1]),
        UsageError,
        "ctc_loss: label_lengths holds 2. Needed: whole numbers from 0 to 1.",
    ),
    (
        lambda: ctc_loss(LOGITS, [[1], [1]], lengths=[5, 1]),
        UsageError,
        "ctc_loss: lengths holds 5. Needed: whole numbers from 0 to 4.",
    ),
    (
        lambda: ctc_loss(LOGITS, [[1], [1]], lengths=[4, -1]),
        UsageError,
        "ctc_loss: lengths holds -1. Needed: whole numbers from 0 to 4.",
    ),
    (
        lambda: ctc_loss(LOGITS, [[1], [1]], blank=3),
        UsageError,
        "ctc_loss: blank is 3. Needed: a class, a whole number from 0 to 2.",
    ),
    (
        lambda: ctc_loss(LOGITS, [[1], [1]], precision=torch.float16),
        UsageError,
        "ctc_loss: precision is torch.float16. Needed: torch.float32 or torch.float64, or None.",
    ),
    (lambda: CTC(-1), UsageError, "CTC: blank is -1. Needed: a class, a whole number from 0."),
    (lambda: CTC(infeasible="zero"), UsageError, "CTC: infeasible is 'zero'. Needed: 'keep' or 'leave_out'."),
    (
        lambda: CTC()(LOGITS, [[1], [1]], mask=torch.ones(4, 2, dtype=torch.bool)),
        ShapeError,
        "CTC: mask has shape (4, 2). Needed: (2,), one for each sequence: CTC judges sequences as wholes.",
    ),
    (
        lambda: CTC()(LOGITS, [[1], [1]], start=0),
        UsageError,
        "CTC: start is 0, but CTC sums over paths through the whole sequence, which no window holds. Needed: whole "
        "sequences, and no start.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), MESSAGES, ids=[str(n) for n in range(len(MESSAGES))])
def test_messages(call: Callable[[], Any], kind: type[UsageError], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
