"""One time step of a learner as a function of its weights and its state, and the derivatives that online rules need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from recurra.cells.base import Cell
from recurra.errors import UsageError
from recurra.learn.rules.linear_products import LinearProducts
from recurra.learn.rules.state_tree import flat_state, map_tensors, tensors_of, with_flat_state
from recurra.types import Batch

CHUNK = 2**20
"""Numbers of a weight's derivative that are computed at once."""

Blocks = dict[int, Tensor]
"""One tensor a weight, by the weight's number; a weight that is absent has no part in it."""


class StepFunction:
    """A streamed learner and a batch as a pure function of (weights, state, time).

    Equations:
        (L, s_stop) = f(w, s_start; start, stop), with L the loss of steps start..stop-1 over the whole batch's weight.

    Args:
        learner: the network with its loss.
        batch: its sequences.
        cut: whether what enters the cells' recurrent products (`Cell.recur`) is taken as a constant.
        products: records the products of weights and vectors, where a rule asks for them.

    Raises:
        UsageError: `cut` is asked for and the learner's cells make no recurrent product that could be cut.
    """

    def __init__(self, learner: nn.Module, batch: Batch, cut: bool = False, products: LinearProducts | None = None):
        trained = [(name, weight) for name, weight in learner.named_parameters() if weight.requires_grad]
        self.learner, self.batch, self.cut, self.products = learner, batch, cut, products
        self.names = [name for name, _ in trained]
        self.parameters = [weight for _, weight in trained]
        self.weights = tuple(weight.detach().requires_grad_() for weight in self.parameters)

    def __call__(self, weights: tuple[Tensor, ...], state: Any, start: int, stop: int) -> tuple[Tensor, Any]:
        """Loss and next state; the learner's own weights take no part."""
        given = dict(zip(self.names, weights, strict=True))
        recording = nullcontext() if self.products is None else self.products.record(self.names, weights)
        with _recurrent_inputs(self.learner, self.cut, stop > start), recording:
            return functional_call(self.learner, given, (self.batch, start, stop, state))

    def take(self, state: Any, start: int, stop: int) -> Step:
        """Take the steps start..stop-1 from a state (None: the learner's first), and keep what derivatives need."""
        before = None
        if state is not None:
            before = flat_state(state, self.batch.size).detach().requires_grad_()
            state = with_flat_state(state, before)
        loss, state = self(self.weights, state, start, stop)
        return Step(loss, state, before, flat_state(state, self.batch.size), self.weights)

    def add_to_grad(self, gradient: Blocks) -> None:
        """Add a gradient to the learner's `.grad`."""
        for number, part in gradient.items():
            weight = self.parameters[number]
            part = part.reshape(weight.shape)
            weight.grad = part.clone() if weight.grad is None else weight.grad + part


@dataclass
class Step:
    """What one step (or a span of steps) left behind.

    Attributes:
        loss: of the span.
        state: after it, as the learner gave it.
        before: the numbers of the state before it, (batch, n); None at the first step of a stream.
        after: the numbers of the state after it, (batch, n).
        weights: those it was taken with.
    """

    loss: Tensor
    state: Any
    before: Tensor | None
    after: Tensor
    weights: tuple[Tensor, ...]

    @property
    def units(self) -> int:
        """n, the numbers in one sequence's state."""
        return self.after.shape[1]

    @property
    def size(self) -> int:
        """Sequences in the batch."""
        return self.after.shape[0]

    def pull(self, cotangents: Tensor, numbers: Sequence[int] | None = None) -> tuple[Blocks, Tensor]:
        """Products of cotangents (k, batch, n) with the derivatives of the state after the span.

        Args:
            cotangents: the row vectors.
            numbers: by which weights; by all when absent.

        Returns:
            by the weights (number to (k, weight's size)), and by the state before, (k, batch, n).
        """
        count = len(cotangents)
        nothing = self.after.new_zeros(count, self.size, self.units)
        numbers = range(len(self.weights)) if numbers is None else numbers
        inputs = [self.weights[i] for i in numbers]
        inputs += [] if self.before is None else [self.before]
        if not self.after.requires_grad or not inputs:
            return {}, nothing
        found = torch.autograd.grad(
            self.after, inputs, cotangents, retain_graph=True, allow_unused=True, is_grads_batched=True
        )
        last = None if self.before is None else found[-1]
        blocks = {i: part.reshape(count, -1) for i, part in zip(numbers, found, strict=False) if part is not None}
        return blocks, nothing if last is None else last

    def push(self, tangent: Tensor) -> Tensor:
        """The state's Jacobian times a tangent of the state before, (batch, n).

        By two products from the left, so that no second forward pass draws other random numbers.
        """
        if self.before is None or not self.after.requires_grad:
            return torch.zeros_like(self.after)
        probe = torch.zeros_like(self.after, requires_grad=True)
        (pulled,) = torch.autograd.grad(
            self.after, self.before, probe, create_graph=True, retain_graph=True, allow_unused=True
        )
        if pulled is None or not pulled.requires_grad:
            return torch.zeros_like(self.after)
        (pushed,) = torch.autograd.grad(pulled, probe, tangent, retain_graph=True, allow_unused=True)
        return torch.zeros_like(self.after) if pushed is None else pushed

    def jacobian(self) -> Tensor:
        """The derivative of the state after by the state before, (batch, n, n), with n products from the left.

        Sequences are taken to be independent; `check_independence` is what looks after that.
        """
        one = torch.eye(self.units, dtype=self.after.dtype, device=self.after.device)
        return self.pull(one[:, None].expand(-1, self.size, -1), numbers=())[1].transpose(0, 1)

    def derivatives(self, numbers: Sequence[int] | None = None) -> tuple[Tensor, Blocks]:
        """The Jacobian (batch, n, n) and the immediate influence of weights, number to (batch, n, weight's size)."""
        size, units = self.size, self.units
        # Few rows at once, so that the sums over the steps of a span stay in the processor's cache.
        widest = max((weight.numel() for weight in self.weights), default=1)
        chunk = max(1, CHUNK // max(size * units, widest))
        jacobian, immediate = [], []
        for first in range(0, size * units, chunk):
            rows = torch.arange(first, min(first + chunk, size * units), device=self.after.device)
            one = self.after.new_zeros(len(rows), size * units)
            one[torch.arange(len(rows)), rows] = 1.0
            blocks, last = self.pull(one.reshape(-1, size, units), numbers)
            own = last[torch.arange(len(rows)), rows // max(1, units)]
            _refuse_dependence(bool((last.abs().sum((1, 2)) > own.abs().sum(1) * (1 + 1e-6)).any()))
            jacobian.append(own)
            immediate.append(blocks)
        names = immediate[0].keys() if immediate else []
        joined = {i: torch.cat([part[i] for part in immediate]).reshape(size, units, -1) for i in names}
        square = torch.cat(jacobian) if jacobian else self.after.new_zeros(0)
        return square.reshape(size, units, units), joined

    def check_independence(self) -> None:
        """Refuse a batch whose sequences act on one another (batch normalisation, say)."""
        if self.before is None or self.size < 2:
            return
        alone = torch.zeros_like(self.after)
        alone[0] = torch.randn_like(alone[0])
        _refuse_dependence(bool((self.pull(alone[None], numbers=())[1][0, 1:] != 0).any()))

    def loss_derivatives(self) -> tuple[Blocks, Tensor, Tensor | None]:
        """The loss's derivatives: by weights that reach it past the state, by the state after, by the state before.

        All three are direct: a path that leads through a part of the state after the span counts for that part alone,
        the last one on the way to the loss. Then, with M the derivative of the state by the weights,
        dL/dw = direct + c_after M_after + c_before M_before.
        """
        zeros = torch.zeros_like(self.after)
        if not self.loss.requires_grad:
            return {}, zeros, None
        seen: dict[int, Tensor] = {}
        hooks, parts = [], _counted(self.state)
        for tensor in {id(part): part for part in parts}.values():
            if tensor.requires_grad:

                def stop(arriving: Tensor | None, key: int = id(tensor)) -> Tensor | None:
                    if arriving is None:  # a step with gradients of its own said that nothing arrives
                        return None
                    seen[key] = arriving
                    return torch.zeros_like(arriving)

                hooks.append(tensor.register_hook(stop))
        inputs = [*self.weights, *([] if self.before is None else [self.before])]
        found = torch.autograd.grad(self.loss, inputs, retain_graph=True, allow_unused=True)
        for hook in hooks:
            hook.remove()
        # A tensor that stands twice in the state counts once.
        by_part = [seen.pop(id(part), None) for part in parts]
        rows = [
            torch.zeros_like(part) if c is None else c.resolve_conj() for part, c in zip(parts, by_part, strict=True)
        ]
        direct = {i: part.reshape(-1) for i, part in enumerate(found[: len(self.weights)]) if part is not None}
        before = None if self.before is None else found[-1]
        return direct, flat_state(rows, self.size) if rows else zeros, before


def _counted(state: Any) -> list[Tensor]:
    return [part for part in tensors_of(state) if part.is_floating_point() or part.is_complex()]


def _refuse_dependence(found: bool) -> None:
    if found:
        raise UsageError(
            "the sequences of a batch act on one another, as in batch normalisation",
            where="online gradient rule",
            need="a network that treats each sequence by itself",
            cure="use the rule bptt",
        )


@contextmanager
def _recurrent_inputs(learner: nn.Module, cut: bool, runs: bool) -> Iterator[None]:
    """Let what enters recurrent products pass as it is, or as a constant.

    Even a filter that changes nothing is of use: with it, layers run their cells' plain steps, which can be
    differentiated in every way, instead of kernels that cannot.
    """
    cells = [part for part in learner.modules() if isinstance(part, Cell)]
    kept = [cell.__dict__.get("dropped") for cell in cells]
    calls: list[int] = []

    def through(earlier: Any) -> Any:
        def filtered(h: Tensor) -> Tensor:
            calls.append(1)
            h = h if earlier is None else earlier(h)
            return h.detach() if cut else h

        return filtered

    try:
        for cell, earlier in zip(cells, kept, strict=True):
            cell.__dict__["dropped"] = through(earlier)
        yield
    finally:
        for cell, earlier in zip(cells, kept, strict=True):
            cell.__dict__.pop("dropped")
            if earlier is not None:
                cell.__dict__["dropped"] = earlier
    if cut and runs and not calls:
        raise UsageError(
            "the network makes no recurrent product that can be cut, or its recurrent dropout stands there",
            where="online gradient rule",
            need="cells that write recurrent products as `self.recur`, without recurrent dropout",
            cure="use the rule rtrl or bptt, or recurrent_dropout=0",
        )


def detached(state: Any) -> Any:
    """The state's values, without their graph."""
    return map_tensors(lambda tensor: tensor.detach(), state)
