"""Texts of errors of the objectives with teacher signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives import MAE, MSE, BinaryCrossEntropy, CrossEntropy

OUT, NUMBERS, CLASSES = torch.zeros(4, 2, 3), torch.zeros(4, 2, 3), torch.zeros(4, 2, dtype=torch.long)

MESSAGES: list[tuple[Callable[[], Any], type[UsageError], str]] = [
    (lambda: MSE("last"), UsageError, "MSE: form is 'last'. Needed: 'step', 'sequence' or 'end'."),
    (
        lambda: MSE(output_weights=[1.0, -1.0]),
        UsageError,
        "MSE: output_weights is [1.0, -1.0]. Needed: finite numbers from 0.",
    ),
    (
        lambda: MSE(output_weights=[1.0])(OUT, NUMBERS),
        ShapeError,
        "MSE: output_weights holds 1 weights. Needed: 3 of them, one for each output.",
    ),
    (
        lambda: MSE()(OUT[0], NUMBERS),
        ShapeError,
        "MSE: output is torch.float32 of shape (2, 3). Needed: floating-point numbers (time, batch, outputs).",
    ),
    (
        lambda: MAE()(OUT, NUMBERS[..., :2]),
        ShapeError,
        "MAE: target is torch.float32 of shape (4, 2, 2). Needed: numbers (time, batch, 3), or (batch, 3) with "
        "form='end'.",
    ),
    (
        lambda: MSE()(OUT, NUMBERS[:3]),
        ShapeError,
        "MSE: target has shape (3, 2, 3). Needed: the output's time and batch, 4 and 2.",
    ),
    (
        lambda: MSE()(OUT, NUMBERS[0]),
        ShapeError,
        "MSE, form 'step': target has shape (2, 3), no time. Needed: a target for each step, (time, batch, ...). Cure: "
        "form='end', if the target is that of the last step.",
    ),
    (
        lambda: MSE()(OUT, NUMBERS, lengths=[5, 1]),
        UsageError,
        "MSE: lengths holds 5. Needed: whole numbers from 0 to 4. Cure: give start=..., where the output is a window "
        "of longer sequences.",
    ),
    (
        lambda: MSE()(OUT, NUMBERS, lengths=[5, -1], start=2),
        UsageError,
        "MSE: lengths holds -1. Needed: whole numbers from 0.",
    ),
    (
        lambda: MSE()(OUT, NUMBERS, lengths=[1.0, 2.0]),
        ShapeError,
        "MSE: lengths is torch.float32. Needed: (2,) whole numbers. Cure: lengths.long().",
    ),
    (
        lambda: MSE()(OUT, NUMBERS, start=-1),
        UsageError,
        "MSE: start is -1. Needed: a whole number from 0, or None for whole sequences.",
    ),
    (
        lambda: MSE("end")(OUT, NUMBERS, start=0),
        UsageError,
        "MSE, form 'end': start was given without lengths. Needed: the lengths of the whole sequences, to know which "
        "window holds the last step.",
    ),
    (
        lambda: MSE()(OUT, NUMBERS, mask=torch.ones(4, 3, dtype=torch.bool)),
        ShapeError,
        "MSE: mask has shape (4, 3). Needed: booleans of one of the shapes (2,), (4, 2), (4, 2, 3); the longer ones "
        "begin with (time, batch).",
    ),
    (
        lambda: MSE()(OUT, NUMBERS, mask=torch.ones(4, 2)),
        ShapeError,
        "MSE: mask is torch.float32. Needed: booleans of one of the shapes (2,), (4, 2), (4, 2, 3); the longer ones "
        "begin with (time, batch). Cure: mask.bool().",
    ),
    (
        lambda: CrossEntropy()(OUT, CLASSES + 3),
        UsageError,
        "CrossEntropy: target holds 3. Needed: classes from 0 to 2, or -100 for no signal.",
    ),
    (
        lambda: CrossEntropy()(OUT, NUMBERS),
        UsageError,
        "CrossEntropy: target holds a row that is no distribution. Needed: in each row, numbers from 0 that add up to "
        "1, or NaN for no signal.",
    ),
    (
        lambda: CrossEntropy()(OUT, CLASSES.float()),
        ShapeError,
        "CrossEntropy: target is torch.float32 of shape (4, 2). Needed: distributions (time, batch, 3), or (batch, 3) "
        "with form='end'. Cure: target.long(), if it holds class numbers.",
    ),
    (
        lambda: CrossEntropy()(OUT, CLASSES.unsqueeze(-1)),
        ShapeError,
        "CrossEntropy: target is torch.int64 of shape (4, 2, 1). Needed: class numbers (time, batch), or (batch,) with "
        "form='end'.",
    ),
    (
        lambda: CrossEntropy(label_smoothing=1.0),
        UsageError,
        "CrossEntropy: label_smoothing is 1.0. Needed: a number from 0, below 1.",
    ),
    (lambda: CrossEntropy(ignore=0.5), UsageError, "CrossEntropy: ignore is 0.5. Needed: a whole number."),
    (
        lambda: BinaryCrossEntropy()(OUT, NUMBERS + 2),
        UsageError,
        "BinaryCrossEntropy: target holds 2. Needed: numbers from 0 to 1, or NaN for no signal.",
    ),
    (
        lambda: MSE()(OUT, [1.0]),
        ShapeError,
        "MSE: target is list. Needed: a tensor. Cure: torch.as_tensor.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), MESSAGES, ids=[str(n) for n in range(len(MESSAGES))])
def test_messages(call: Callable[[], Any], kind: type[UsageError], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
