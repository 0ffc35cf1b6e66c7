"""Networks of two time scales that learn to play paths by themselves."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from recurra.cells.mtrnn import MTRNN, MTRNNState
from recurra.problems.primitives import primitive_sequences

FAST, SLOW, PERIOD = 40, 12, 16
"""Fast units, slow units, and steps of a loop."""


class Player(nn.Module):
    """A network of two time scales that reads what it said, with a first state of its slow units for each path."""

    def __init__(self, slow: float, paths: int, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.cell = MTRNN(2, FAST + SLOW, time_constants=(4.0, slow), group_sizes=(FAST, SLOW), nonlinearity="tanh")
        self.read = nn.Linear(FAST, 2)
        self.first = nn.Parameter(0.1 * torch.randn(paths, SLOW))

    def forward(self, paths: Tensor, share: float) -> Tensor:
        """What is said, (time - 1, path, 2); `share` of each input is the true path's, the rest the network's own."""
        u = torch.cat([self.first.new_zeros(len(self.first), FAST), self.first], -1)
        state, x, said = MTRNNState(u), paths[0], []
        for true in paths[1:]:
            y, state = self.cell.advance(self.cell.project(x), state)
            said.append(self.read(y[:, :FAST]))
            x = said[-1] + share * (true - said[-1])
        return torch.stack(said)


def in_order(said: Tensor, loops: Tensor, shapes: Tensor) -> Tensor:
    """The share of paths, of each network, whose every round is nearest to its own loop.

    said (network, time, path, 2), loops (round, path), shapes (loop, period, 2).
    """
    rounds = said.unflatten(1, (len(loops), -1)).unsqueeze(-2)  # (network, round, step, path, 1, 2)
    away = (rounds - shapes.transpose(0, 1).unsqueeze(1)).square().sum(-1).mean(2)
    return (away.argmin(-1) == loops).all(1).float().mean(-1)


def learn(repeats: int, seeds: Sequence[int], updates: int, share: float = 0.1) -> tuple[Tensor, Tensor]:
    """Error in the closed loop over the paths' variance, and the share played in order, both (time constants, seed).

    In learning, `share` of each input is the true path's. All networks are learned at once, each with Adam's averages
    and a bound of the gradient of its own, so that none depends on how many there are.
    """
    paths, loops = primitive_sequences(3, repeats, PERIOD, torch.float32)
    alone, which = primitive_sequences(3, 1, PERIOD, torch.float32)
    shapes = torch.stack([alone[1 : PERIOD + 1, which[0] == k][:, 0] for k in range(3)])
    networks = [Player(slow, paths.shape[1], seed) for slow in (60.0, 4.0) for seed in seeds]
    weights, buffers = stack_module_state(networks)  # type: ignore[arg-type]
    many: Callable[..., Tensor] = torch.vmap(
        lambda weights, buffers, share: functional_call(networks[0], (weights, buffers), (paths, share)),
        in_dims=(0, 0, None),
    )
    optimiser = torch.optim.Adam(weights.values(), 0.01)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, updates)
    started = time.monotonic()
    for update in range(updates):
        optimiser.zero_grad()
        each = (many(weights, buffers, share) - paths[1:]).square().mean((1, 2, 3))
        each.sum().backward()
        gradients = [weight.grad for weight in weights.values() if weight.grad is not None]
        norms = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
        for gradient in gradients:
            gradient.mul_((1.0 / norms).clamp(max=1.0).reshape(-1, *[1] * (gradient.dim() - 1)))
        optimiser.step()
        falling.step()
        if (update + 1) % 100 == 0:
            slow, same = each.detach().reshape(2, len(seeds)).mean(1).tolist()
            text = f"    {update + 1} updates: {slow:.2g} with slow units, {same:.2g} without"
            print(f"{text} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
    with torch.no_grad():
        said = many(weights, buffers, 0.0)
    error = (said - paths[1:]).square().mean((1, 2, 3)) / paths[1:].var((0, 1), correction=0).mean()
    return error.reshape(2, len(seeds)), in_order(said, loops, shapes).reshape(2, len(seeds))
