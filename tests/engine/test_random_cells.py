"""Cells that nobody wrote: random expressions with one to three products, compiled against the plain loop."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from recurra.cells import Cell
from recurra.engine import run_fused
from recurra.engine.kernel import Kernel
from recurra.unroll import unroll


class TwoParts(NamedTuple):
    h: Tensor
    c: Tensor


UNARY = ("tanh", "sigmoid", "relu", "exp", "neg", "abs", "square", "softplus", "sin_like")


class RandomCell(Cell):
    """A step drawn at random: expressions over the input, the state, products of what was made before, and vectors."""

    def __init__(self, seed: int, features: int, hidden: int, dtype: Any):
        super().__init__(features, hidden)
        self.seed = seed
        choose = random.Random(seed)
        self.products = choose.randint(1, 3)
        gates = choose.randint(1, 3)
        self.gates = gates
        generator = torch.Generator().manual_seed(seed)

        def weight(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(0.4 * torch.randn(*shape, generator=generator, dtype=dtype))

        self.weight_ih = weight(gates * hidden, features)
        self.matrices = torch.nn.ParameterList(
            [weight(choose.choice([1, gates]) * hidden, hidden) for _ in range(self.products)]
        )
        self.vector, self.scale = weight(hidden), weight(1)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> TwoParts:
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return TwoParts(zeros, zeros.clone())

    def project(self, x: Tensor) -> Tensor:
        return x @ self.weight_ih.T

    def advance(self, projected: Tensor, state: TwoParts) -> tuple[Tensor, TwoParts]:
        choose = random.Random(self.seed + 1)
        pool = [*projected.chunk(self.gates, -1), state.h, state.c, self.vector.expand_as(state.h)]
        pool.append(torch.cat([state.h[:, 1:], state.c[:, :1]], -1))

        def draw(depth: int) -> Tensor:
            if depth == 0:
                return choose.choice(pool)
            kind = choose.choice(("unary", "unary", "add", "mul", "sub", "div", "where", "max"))
            a = draw(depth - 1)
            if kind == "unary":
                name = choose.choice(UNARY)
                if name == "exp":
                    return torch.exp(-a * a)
                if name == "square":
                    return a**2
                if name == "softplus":
                    return torch.log1p(torch.exp(-torch.abs(a))) + torch.relu(a)
                if name == "sin_like":
                    return a / (1 + torch.abs(a))
                return getattr(torch, name)(a)
            b = draw(depth - 1)
            if kind == "add":
                return a + choose.choice((1.0, 0.5)) * b
            if kind == "mul":
                return torch.tanh(a) * b * self.scale
            if kind == "sub":
                return a - b
            if kind == "div":
                return a / (2 + b * b)
            if kind == "max":
                return torch.maximum(a, b)
            return torch.where(a > b, a, 0.3 * b)

        for matrix in self.matrices:
            made = torch.nn.functional.linear(torch.tanh(draw(choose.randint(0, 2))), matrix)
            pool.extend(made.chunk(len(matrix) // self.hidden_size, -1))
        h, c = torch.tanh(draw(3)), torch.tanh(draw(2)) + 0.5 * state.c
        y = torch.cat([draw(2), h], -1) if choose.random() < 0.3 else choose.choice([h, c, draw(2)])
        return y, TwoParts(h, c)


@pytest.mark.parametrize("seed", [pytest.param(s, marks=() if s < 6 else pytest.mark.slow) for s in range(60)])
def test_compiled_is_plain(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("new", "own"):
        make = getattr(Kernel, name)
        monkeypatch.setattr(Kernel, name, lambda self, *shape, make=make: make(self, *shape).fill_(float("nan")))
    choose = random.Random(seed)
    hidden, batch, steps = choose.choice([1, 3, 7, 8, 13, 21]), choose.randint(1, 9), choose.randint(1, 5)
    dtype = choose.choice([torch.float64, torch.float64, torch.float32])
    cell = RandomCell(seed, 2, hidden, dtype)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, 2, generator=generator, dtype=dtype).requires_grad_()
    state = TwoParts(*(torch.randn(batch, hidden, generator=generator, dtype=dtype).requires_grad_() for _ in range(2)))
    read = torch.rand(steps, batch, generator=generator) < 0.7 if choose.random() < 0.5 else None
    reverse = choose.random() < 0.5
    results = []
    found = run_fused(cell, x, state, read, None, reverse)
    assert not isinstance(found, str), found
    for y, final in (found, unroll(cell, x, state, mask=read, reverse=reverse)):
        factors = torch.Generator().manual_seed(seed)
        ends = (y, *final)
        loss = sum((end * torch.randn(end.shape, generator=factors, dtype=dtype)).sum() for end in ends)
        leaves = [x, *state, *cell.parameters()]
        results.append([*ends, *torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)])
    tolerance = 1e-9 if dtype == torch.float64 else 1e-3
    for compiled, plain in zip(*results, strict=True):
        size = float(plain.detach().abs().max()) if plain.numel() else 0.0
        torch.testing.assert_close(compiled, plain, rtol=tolerance, atol=tolerance * max(1.0, size))
