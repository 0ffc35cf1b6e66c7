"""Real-time recurrent learning and SnAp-1 of a simple recurrent network: ours, and written out in torch and in JAX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recurra.learn.rules import RTRL, SnAp
from recurra.nn import Recurrent


@dataclass(frozen=True)
class Noise:
    """Sequences of random numbers, with random targets."""

    x: Tensor  # (time, batch, features)
    y: Tensor  # (time, batch, 1)

    @property
    def size(self) -> int:
        return self.x.shape[1]

    @property
    def steps(self) -> int:
        return self.x.shape[0]

    def to(self, device: Any) -> Noise:
        return self


class Network(nn.Module):
    """tanh units that all hear one another, and a read-out with the squared error."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.layer = Recurrent("elman", features, hidden, recurrent_init="orthogonal")
        self.out = nn.Linear(hidden, 1)

    def forward(self, batch: Noise, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        y, state = self.layer(batch.x[start:stop], state)
        return ((self.out(y) - batch.y[start:stop]) ** 2).sum() / batch.steps, state


def weights_of(network: Network) -> list[Tensor]:
    """W_ih, W_hh, the sum of both biases, and the read-out's weights and bias."""
    own = {name.split(".")[-1]: weight.detach() for name, weight in network.layer.named_parameters()}
    find = {
        key: value
        for name, value in own.items()
        for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if key in name
    }
    bias = find["bias_ih"] + find["bias_hh"]
    return [find["weight_ih"], find["weight_hh"], bias, network.out.weight.detach(), network.out.bias.detach()]


def ours(rule: str, network: Network, batch: Noise) -> Callable[[], list[Tensor]]:
    """Gradients of W_ih and W_hh by our rule, from a state of 0, each call a new stream of the same rule."""
    made = RTRL(max_megabytes=8192) if rule == "rtrl" else SnAp(1)
    last = made.init(network)

    def call() -> list[Tensor]:
        network.zero_grad()
        memory = made.step(network, batch, made.reset(last))[1]
        made.flush(network, memory)
        found = {name: weight.grad for name, weight in network.layer.named_parameters()}
        return [next(g for n, g in found.items() if key in n and g is not None) for key in ("weight_ih", "weight_hh")]

    return call


def in_torch(rule: str, network: Network, batch: Noise) -> Callable[[], list[Tensor]]:
    """The same recursion written out for this one network, without autograd, in whole-tensor operations."""
    w_ih, w_hh, bias, read, read_bias = weights_of(network)
    hidden, features = w_ih.shape
    size = batch.size
    wide = features + hidden + 1

    @torch.no_grad()
    def call() -> list[Tensor]:
        h = torch.zeros(size, hidden)
        total = torch.zeros(hidden, wide)
        one = torch.ones(size, 1)
        dense = rule == "rtrl"
        m = torch.zeros(size, hidden, hidden * wide) if dense else torch.zeros(size, hidden, wide)
        own = torch.arange(hidden)
        decay = w_hh.diagonal().reshape(1, hidden, 1)
        for x, target in zip(batch.x, batch.y, strict=True):
            z = torch.cat([x, h, one], 1)
            h = torch.tanh(x @ w_ih.T + h @ w_hh.T + bias)
            slope = (1.0 - h * h).unsqueeze(2)
            if dense:
                m = torch.matmul(w_hh, m)
                m.view(size, hidden, hidden, wide)[:, own, own] += z.unsqueeze(1)
                m *= slope
            else:
                m = slope * (decay * m + z.unsqueeze(1))
            error = 2.0 * (h @ read.T + read_bias - target) @ read / batch.steps
            if dense:
                total += torch.einsum("bi,bip->p", error, m).view(hidden, wide)
            else:
                total += (error.unsqueeze(2) * m).sum(0)
        return [total[:, :features], total[:, features : features + hidden]]

    return call


def in_jax(rule: str, network: Network, batch: Noise) -> Callable[[], list[Any]]:
    """The same in JAX: one compiled scan over the steps."""
    import jax
    import jax.numpy as jnp

    w_ih, w_hh, bias, read, read_bias = (jnp.asarray(weight.numpy()) for weight in weights_of(network))
    xs, targets = jnp.asarray(batch.x.numpy()), jnp.asarray(batch.y.numpy())
    hidden, features = w_ih.shape
    size, wide, steps, dense = batch.size, features + hidden + 1, batch.steps, rule == "rtrl"

    def step(carried: Any, seen: Any) -> Any:
        h, m, total = carried
        x, target = seen
        z = jnp.concatenate([x, h, jnp.ones((size, 1))], 1)
        h = jnp.tanh(x @ w_ih.T + h @ w_hh.T + bias)
        slope = 1.0 - h * h
        error = 2.0 * (h @ read.T + read_bias - target) @ read / steps
        if dense:
            direct = jnp.eye(hidden)[None, :, :, None] * z[:, None, None, :]
            m = slope[:, :, None, None] * (jnp.einsum("ij,bjkl->bikl", w_hh, m) + direct)
            total = total + jnp.einsum("bi,bikl->kl", error, m)
        else:
            m = slope[:, :, None] * (jnp.diagonal(w_hh)[None, :, None] * m + z[:, None, :])
            total = total + (error[:, :, None] * m).sum(0)
        return (h, m, total), None

    @jax.jit
    def run(xs: Any, targets: Any) -> Any:
        m = jnp.zeros((size, hidden, hidden, wide)) if dense else jnp.zeros((size, hidden, wide))
        first = (jnp.zeros((size, hidden)), m, jnp.zeros((hidden, wide)))
        return jax.lax.scan(step, first, (xs, targets))[0][2]

    def call() -> list[Any]:
        total = run(xs, targets).block_until_ready()
        return [total[:, :features], total[:, features : features + hidden]]

    return call
