"""The linear recurrence s_t = a_t * s_{t-1} + b_t over all time steps at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def linear_scan(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """All states of a linear recurrence whose factors are known beforehand.

    Equations:
        s_t = a_t * s_{t-1} + b_t for t = 0, 1, ..., time - 1, and s_{-1} = start.

    Two steps are one step: (a_1, b_1) and then (a_2, b_2) is (a_2 a_1, a_2 b_1 + b_2), and this joining is associative.
    So time is cut into blocks that run side by side from zero, with the product of their factors beside them; then the
    last state is carried from block to block, and each block is corrected by what came before it. Where one step
    already has enough numbers to fill the processor, the joining would only cost, and one block does.

    The gradient of a recurrence is the same recurrence run backwards, and so is its gradient: only the states are kept,
    and `vmap`, `jvp` and derivatives of any order work.

    Args:
        a: the factors.
        b: what is added.
        start: the state before the first step.

    Shapes:
        b (time, batch, ...); a (time, batch, ...), or any shape that broadcasts to it; start (batch, ...); the states
        (time, batch, ...). time 0 is allowed. All real, or all complex.

    Reference:
        G. E. Blelloch. Prefix sums and their applications. Technical report CMU-CS-90-190 (1990).
        E. Martin, C. Cundy. Parallelizing linear recurrent neural nets over sequence length. ICLR (2018).

    Example:
        >>> linear_scan(torch.tensor(0.5), torch.ones(3, 1, 1), torch.zeros(1, 1)).flatten()
        tensor([1.0000, 1.5000, 1.7500])
    """
    # Under autocast products are short and states are not.
    kind = torch.promote_types(torch.promote_types(a.dtype, b.dtype), start.dtype)
    shape = torch.broadcast_shapes(b.shape, a.shape, (b.shape[0], *start.shape))
    a, b, start = a.to(kind).expand(shape), b.to(kind).expand(shape), start.to(kind).expand(shape[1:])
    if torch.compiler.is_compiling():
        return _pairs(a, b, start)
    return _Recurrence.apply(a, b, start, False)


def max_plus_scan(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """All states of the recurrence with sums for products and maxima for sums.

    Equations:
        m_t = max(m_{t-1} + a_t, b_t) for t = 0, 1, ..., time - 1, and m_{-1} = start.

    Maxima and sums obey the laws that sums and products obey, so that steps are joined in the same way; and once it is
    known which of the two is larger where, the recurrence is a linear one, by which it is differentiated. Where both
    are equal b_t counts.

    Args:
        a: what is added at each step.
        b: below what the state does not fall.
        start: the state before the first step.

    Shapes:
        a and b (time, batch, ...), start (batch, ...), the states (time, batch, ...); time at least 1.

    Example:
        >>> max_plus_scan(torch.tensor([[-1.0], [-1.0]]), torch.tensor([[0.0], [3.0]]), torch.tensor([2.0]))
        tensor([[1.],
                [3.]])
    """
    with torch.no_grad():
        found = _pairs(a.detach(), b.detach(), start.detach(), torch.add, torch.maximum)
        grown = torch.cat([start.detach().unsqueeze(0), found[:-1]]) + a.detach() > b.detach()
    return linear_scan(grown.to(a.dtype), torch.where(grown, a, b), start)


Operation = Callable[[Tensor, Tensor], Tensor]


def _pairs(a: Tensor, b: Tensor, start: Tensor, times: Operation = torch.mul, plus: Operation = torch.add) -> Tensor:
    """The recurrence in plain operations, by joining pairs of steps, pairs of pairs and so on.

    It is slower than blocks where much is to be done a step; but it knows any two operations that obey the laws, and
    as an exported program it is as long as the logarithm of the time.
    """
    steps = len(b)
    if steps < 2:
        return plus(times(a, start), b)
    # Two steps as one lead from each even place to the next; from there one step more leads to the odd places.
    first = plus(times(a[:1], start), b[:1])
    later = _pairs(times(a[1:-1:2], a[2::2]), plus(times(a[2::2], b[1:-1:2]), b[2::2]), first[0], times, plus)
    even = torch.cat([first, later])
    odd = plus(times(a[1::2], even[: steps // 2]), b[1::2])
    both = torch.stack([even[: len(odd)], odd], 1).reshape(2 * len(odd), *b.shape[1:])
    return torch.cat([both, even[len(odd) :]])


class _Recurrence(torch.autograd.Function):
    """The recurrence, forwards or backwards in time: a and b (time, ...) of one shape, start (...)."""

    @staticmethod
    def forward(a: Tensor, b: Tensor, start: Tensor, reverse: bool) -> Tensor:
        return _states(a, b, start, reverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        a, _, start, ctx.reverse = inputs
        ctx.save_for_backward(a, start, output)
        ctx.save_for_forward(a, start, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        a, start, states = ctx.saved_tensors
        if len(states) == 0:
            return torch.zeros_like(a), gradient, torch.zeros_like(start), None
        a = a.conj()
        # What reaches a state: its own gradient and, through the next step's factor, what reaches the next state.
        if ctx.reverse:
            later = _Recurrence.apply(a[:-1], gradient[1:], gradient[0], False)
            reaching = torch.cat([gradient[:1], later])
        else:
            later = _Recurrence.apply(a[1:], gradient[:-1], gradient[-1], True)
            reaching = torch.cat([later, gradient[-1:]])
        first = -1 if ctx.reverse else 0
        return reaching * _last_states(states, start, ctx.reverse).conj(), reaching, a[first] * reaching[first], None

    @staticmethod
    def jvp(ctx: Any, da: Tensor | None, db: Tensor | None, dstart: Tensor | None, _: None) -> Tensor:
        a, start, states = ctx.saved_tensors
        added = torch.zeros_like(states) if db is None else db
        if da is not None:
            added = added + da * _last_states(states, start, ctx.reverse)
        return _Recurrence.apply(a, added, torch.zeros_like(start) if dstart is None else dstart, ctx.reverse)

    @staticmethod
    def vmap(info: Any, in_dims: Any, a: Tensor, b: Tensor, start: Tensor, reverse: bool) -> tuple[Tensor, int]:
        def together(x: Tensor, place: int | None, to: int) -> Tensor:
            if place is not None:
                return x.movedim(place, to)
            return x.unsqueeze(to).expand(*x.shape[:to], info.batch_size, *x.shape[to:])

        a, b, start = together(a, in_dims[0], 1), together(b, in_dims[1], 1), together(start, in_dims[2], 0)
        return _Recurrence.apply(a, b, start, reverse), 1


def _last_states(states: Tensor, start: Tensor, reverse: bool) -> Tensor:
    """For each step the state that it began with."""
    start = start.unsqueeze(0)
    return torch.cat([states[1:], start]) if reverse else torch.cat([start, states[:-1]])


# Up to so many numbers a step, an operation's own cost outweighs its arithmetic, and blocks side by side pay.
_SMALL = {"cpu": 1 << 11}
_SMALL_ELSEWHERE = 1 << 20


def _states(a: Tensor, b: Tensor, start: Tensor, reverse: bool) -> Tensor:
    """The numbers of the recurrence; nothing here is differentiated, so results are written where they belong."""
    if any(torch._C._functorch.is_legacy_batchedtensor(part) for part in (a, b, start)):
        # Gradients in batches (`is_grads_batched` of torch.autograd.grad) know plain operations alone.
        return _pairs(a.flip(0), b.flip(0), start).flip(0) if reverse else _pairs(a, b, start)
    states = torch.empty_like(b, memory_format=torch.contiguous_format)
    steps = len(b)
    if steps < 16 or start.numel() > _SMALL.get(b.device.type, _SMALL_ELSEWHERE):
        _run(a, b, start, states, reverse)
        return states
    # An odd length: rows a power of two apart would fall on the same lines of the cache.
    length = math.isqrt(steps) | 1
    blocks = steps // length
    inside = blocks * length
    # The steps that do not fill a block come last, in the order in which time runs.
    rest = slice(0, steps - inside) if reverse else slice(inside, steps)
    full = slice(steps - inside, steps) if reverse else slice(0, inside)
    a_block, b_block, at = (part[full].unflatten(0, (blocks, length)).transpose(0, 1) for part in (a, b, states))
    products = torch.empty_like(at)
    zero = torch.zeros_like(at[0])
    _run(a_block, b_block, zero, at, reverse)
    _multiply(a_block, products, reverse)
    end = 0 if reverse else -1
    carried = torch.empty_like(zero)
    _run(products[end], at[end], start, carried, reverse)
    before = _last_states(carried, start, reverse)
    torch.addcmul(at, products, before, out=at)
    _run(a[rest], b[rest], carried[end], states[rest], reverse)
    return states


def _run(a: Tensor, b: Tensor, state: Tensor, out: Tensor, reverse: bool) -> None:
    """Step by step into `out`."""
    rows = list(zip(a.unbind(0), b.unbind(0), out.unbind(0), strict=True))
    for factor, added, place in reversed(rows) if reverse else rows:
        state = torch.addcmul(added, factor, state, out=place)


def _multiply(a: Tensor, out: Tensor, reverse: bool) -> None:
    """The products of the factors up to each step into `out`."""
    rows = list(zip(a.unbind(0), out.unbind(0), strict=True))
    rows = rows[::-1] if reverse else rows
    product = rows[0][1].copy_(rows[0][0])
    for factor, place in rows[1:]:
        product = torch.mul(factor, product, out=place)
