"""Time subsampling: which steps are read, the new lengths, padding, messages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.nn.recurrent import Recurrent
from recurra.nn.skip import Skip, stack_and_skip


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(0, 9),
    every=st.integers(1, 5),
    stack=st.integers(1, 6),
    cut=st.lists(st.integers(0, 9), min_size=2, max_size=2),
)
def test_each_stack_is_what_the_equation_says(steps: int, every: int, stack: int, cut: list[int]) -> None:
    lengths = [min(length, steps) for length in cut]
    x = numbers(steps, 2, 3)
    z, left = stack_and_skip(x, lengths, every=every, stack=stack)
    assert z.shape == (-(-steps // every), 2, 3 * stack)
    assert left.tolist() == [sum(1 for t in range(0, length, every)) for length in lengths]
    for b, length in enumerate(lengths):
        for i in range(z.shape[0]):
            for j in range(stack):
                t = i * every + j
                wanted = x[t, b] if t < length else torch.zeros(3, dtype=torch.float64)
                assert torch.equal(z[i, b, 3 * j : 3 * j + 3], wanted)


def test_the_layer_is_the_recurrent_layer_on_what_is_left() -> None:
    torch.manual_seed(0)
    layer = Skip("lstm", 3, 4, 2, every=3, stack=4, bidirectional=True, dtype=torch.float64)
    x = numbers(11, 3, 3)
    y, lengths = layer(x, lengths=[11, 4, 0])
    assert lengths.tolist() == [4, 2, 0] and y.shape == (4, 3, 8) == (4, 3, layer.output_size)
    assert isinstance(layer.layer, Recurrent)
    for b, (length, left) in enumerate(zip([11, 4, 0], [4, 2, 0], strict=True)):
        padded = torch.cat([x[:length, b], torch.zeros(12, 3, dtype=torch.float64)])
        joined = torch.stack([padded[3 * i : 3 * i + 4].flatten() for i in range(left)]) if left else padded[:0]
        if left:
            torch.testing.assert_close(y[:left, b], layer.layer(joined)[0], rtol=1e-12, atol=1e-14)
        assert bool((y[left:, b] == 0).all())


def test_without_lengths_all_steps_count_and_batch_first_turns() -> None:
    torch.manual_seed(0)
    one = Skip("gru", 3, 4, every=2, dtype=torch.float64)
    other = Skip("gru", 3, 4, every=2, batch_first=True, dtype=torch.float64)
    other.load_state_dict(one.state_dict())
    x = numbers(5, 2, 3)
    y, lengths = one(x)
    assert lengths.tolist() == [3, 3]
    torch.testing.assert_close(y, one.layer(x[::2])[0])
    torch.testing.assert_close(other(x.transpose(0, 1))[0], y.transpose(0, 1))


def test_what_stands_in_the_padding_reaches_nothing() -> None:
    torch.manual_seed(0)
    layer = Skip("gru", 3, 4, every=2, stack=3, bidirectional=True, dtype=torch.float64)
    x = numbers(7, 2, 3)
    clean, _ = layer(x, lengths=[7, 3])
    x[3:, 1] = torch.nan
    x.requires_grad_()
    y, _ = layer(x, lengths=[7, 3])
    torch.testing.assert_close(y, clean, rtol=0, atol=0)
    y.square().sum().backward()
    assert x.grad is not None and bool((x.grad[3:, 1] == 0).all()) and bool((x.grad[:3, 1] != 0).any())
    assert all(bool(weight.grad.isfinite().all()) for weight in layer.parameters() if weight.grad is not None)


def test_state_dict_round_trip() -> None:
    one, other = (Skip("lstm", 3, 4, every=2, stack=2, dtype=torch.float64) for _ in range(2))
    other.load_state_dict(one.state_dict())
    x = numbers(6, 2, 3)
    torch.testing.assert_close(one(x)[0], other(x)[0], rtol=0, atol=0)
    assert "every=2, stack=2" in repr(one)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Skip("gru", 3, 4, every=0), "Skip: every is 0. Needed: a positive whole number"),
        (lambda: Skip("gru", 3, 4, stack=1.5), "Skip: stack is 1.5. Needed: a positive whole number"),  # type: ignore[arg-type]
        (lambda: Skip("gru", 0, 4), "Skip: input_size is 0. Needed: a positive whole number"),
        (lambda: Skip("gruu", 3, 4), "'gruu' is not a cell"),
        (lambda: stack_and_skip(torch.zeros(3, 1, 1), every=-1), "stack_and_skip: every is -1. Needed: a positive"),
    ],
)
def test_messages_of_the_constructor(build: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()


def test_messages_of_the_call() -> None:
    layer = Skip("gru", 3, 4, every=2)
    with pytest.raises(ShapeError, match=r"Skip: x has shape \(5, 2, 4\). Needed: \(time, batch, 3\)"):
        layer(torch.zeros(5, 2, 4))
    with pytest.raises(ShapeError, match="Skip: x is torch.float64. Needed: torch.float32 as the weights are"):
        layer(numbers(5, 2, 3))
    with pytest.raises(UsageError, match="lengths holds 6. Needed: whole numbers from 0 to 5"):
        layer(torch.zeros(5, 2, 3), lengths=[6, 1])
    with pytest.raises(ShapeError, match=r"stack_and_skip: x has shape \(5, 2\), 2 dimensions"):
        stack_and_skip(torch.zeros(5, 2), every=2)
