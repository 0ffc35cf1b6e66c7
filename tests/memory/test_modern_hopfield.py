"""The modern Hopfield network against its equations in numpy, and its layer against torch's attention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from torch.nn import functional as F

from recurra.cells import HiddenState
from recurra.errors import ShapeError, UsageError
from recurra.memory import HopfieldLayer, ModernHopfield, modern_hopfield
from recurra.relax import relax


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("count", "size", "beta"), [(1, 1, 1.0), (5, 3, 0.7), (40, 11, 2.0)])
def test_states_and_energies_are_the_papers(count: int, size: int, beta: float) -> None:
    x, cue = normal(count, size), normal(4, size, seed=1)
    memory = ModernHopfield(size, beta, dtype=torch.float64)
    memory.store(x[:1]), memory.store(x[1:])
    found = memory.recall(cue, steps=3, tolerance=0.0)
    for row in range(4):
        s = cue[row].numpy()
        for step in range(len(found.energy)):
            lse = logsumexp(beta * (x.numpy() @ s)) / beta
            largest = max(np.linalg.norm(one) for one in x.numpy())
            energy = -lse + s @ s / 2 + math.log(count) / beta + largest**2 / 2
            assert abs(float(found.energy[step, row]) - energy) < 1e-10 and energy > -1e-12
            if step < int(found.steps[row]):
                s = x.numpy().T @ softmax(beta * (x.numpy() @ s))
        np.testing.assert_allclose(found.state[row].numpy(), s, atol=1e-12)
    assert bool((found.energy[1:] <= found.energy[:-1] + 1e-12).all())


def test_a_small_beta_gives_means_and_a_large_one_the_nearest() -> None:
    x = 3 * F.normalize(normal(6, 9))  # of one length: the likest is then the nearest
    blurred, sharp = ModernHopfield(9, 1e-3, dtype=torch.float64), ModernHopfield(9, 50.0, dtype=torch.float64)
    blurred.store(x), sharp.store(x)
    found = blurred.recall(x)
    torch.testing.assert_close(found.state, x.mean(0).expand(6, 9), atol=1e-2, rtol=0)
    near = x + 0.1 * normal(6, 9, seed=2)
    found = sharp.recall(near)
    torch.testing.assert_close(found.state, x, atol=1e-9, rtol=0)
    assert bool(found.converged.all()) and int(found.steps.max()) <= 3
    sharp.forget(x[2:3])
    assert float((sharp.recall(near[2:3]).state - x[2]).abs().max()) > 0.5
    with pytest.raises(UsageError, match="ModernHopfield.forget: pattern 0 of those given is not stored"):
        sharp.forget(x[2:3])


def test_parts_of_many_cues_are_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = ModernHopfield(5, dtype=torch.float64)
    memory.store(normal(7, 5))
    cue = normal(10, 5, seed=1)
    whole = memory.recall(cue)
    monkeypatch.setattr(modern_hopfield, "ENTRIES", 21)
    for found, expected in zip(memory.recall(cue), whole, strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(relax(memory.cell(), HiddenState(cue), tolerance=1e-5).state.h, whole.state)


def test_many_more_patterns_than_units() -> None:
    """1000 patterns of 64 units, a tenth of them flipped, in one step."""
    generator = torch.Generator().manual_seed(0)
    x = 2.0 * torch.randint(0, 2, (1000, 64), generator=generator) - 1.0
    cue = x.clone()
    for row in cue:
        row[torch.randperm(64, generator=generator)[:6]] *= -1
    memory = ModernHopfield(64)
    memory.store(x)
    assert bool((memory.recall(cue, steps=1).state.sign() == x).all())
    other = ModernHopfield(64)
    other.load_state_dict(memory.state_dict())
    assert torch.equal(other.patterns.rows, x)


def by_torch(
    layer: HopfieldLayer, query: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """The layer by torch's own attention, visit after visit; batch first."""

    def heads(name: str, x: torch.Tensor) -> torch.Tensor:
        mapped = x @ getattr(layer, f"weight_{name}").T + getattr(layer, f"bias_{name}")
        return mapped.reshape(*x.shape[:2], layer.heads, -1).transpose(1, 2)

    s, k, v = heads("query", query), heads("memory", memory), heads("value", memory)
    for _ in range(layer.steps - 1):
        s = F.scaled_dot_product_attention(s, k, k, mask, scale=layer.beta)
    z = F.scaled_dot_product_attention(s, k, v, mask, scale=layer.beta).transpose(1, 2).flatten(2)
    return z @ layer.weight_output.T + layer.bias_output


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_the_layer_is_attention_visit_after_visit(steps: int, causal: bool) -> None:
    torch.manual_seed(0)
    layer = HopfieldLayer(5, 7, 6, 4, heads=3, steps=steps, causal=causal, dtype=torch.float64)
    for bias in (layer.bias_query, layer.bias_memory, layer.bias_value, layer.bias_output):
        torch.nn.init.normal_(bias)
    query, memory = normal(6, 2, 5), normal(8, 2, 7, seed=1)
    output, weights = layer(query, memory, lengths=[8, 5])
    mask = (torch.arange(8) < torch.tensor([8, 5])[:, None])[:, None, None].expand(2, 1, 6, 8)
    mask = mask & torch.ones(6, 8, dtype=torch.bool).tril() if causal else mask
    expected = by_torch(layer, query.transpose(0, 1), memory.transpose(0, 1), mask).transpose(0, 1)
    torch.testing.assert_close(output, expected)
    gradients = torch.autograd.grad(output.square().sum(), list(layer.parameters()))
    others = torch.autograd.grad(expected.square().sum(), list(layer.parameters()))
    for ours, theirs in zip(gradients, others, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert weights.shape == (2, 3, 6, 8) and not weights[1, ..., 5:].any()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 6, dtype=torch.float64))


def test_the_layer_sees_neither_padding_nor_what_comes_later() -> None:
    layer = HopfieldLayer(4, heads=2, steps=2, causal=True, dtype=torch.float64)
    x = normal(5, 2, 4)
    whole, _ = layer(x)
    later = torch.cat([x[:3], normal(2, 2, 4, seed=3)])
    torch.testing.assert_close(layer(later)[0][:3], whole[:3])
    assert not torch.allclose(layer(later)[0][3:], whole[3:])
    open_layer = HopfieldLayer(4, batch_first=True, dtype=torch.float64)
    memory = normal(2, 6, 4, seed=2)
    output, _ = open_layer(x.transpose(0, 1), memory[:, :4])
    padded = memory.clone()
    padded[:, 4:] = math.nan
    padded.requires_grad_()
    again, weights = open_layer(x.transpose(0, 1), padded, lengths=[4, 4])
    torch.testing.assert_close(again, output)
    again.sum().backward()
    assert padded.grad is not None and bool(torch.isfinite(padded.grad).all()) and not weights[..., 4:].any()
    nothing, weights = open_layer(x.transpose(0, 1), memory, lengths=[0, 6])
    assert not nothing[0].any() and not weights[0].any() and bool(nothing[1].any())


def test_the_layer_under_vmap_jvp_and_gradcheck() -> None:
    layer = HopfieldLayer(3, steps=2, dtype=torch.float64)
    x, m = normal(2, 2, 3), normal(4, 2, 3, seed=1)
    assert torch.autograd.gradcheck(lambda x, m: layer(x, m)[0], (x.requires_grad_(), m.requires_grad_()))
    assert torch.autograd.gradgradcheck(lambda x: layer(x, m.detach())[0], (x,))
    x, m = x.detach(), m.detach()
    value, slope = torch.func.jvp(lambda x: layer(x, m)[0], (x,), (torch.ones_like(x),))
    step = (layer(x + 1e-6, m)[0] - layer(x - 1e-6, m)[0]) / 2e-6
    torch.testing.assert_close(slope, step, atol=1e-7, rtol=1e-6)
    many = normal(3, 2, 2, 3, seed=4)
    torch.testing.assert_close(torch.vmap(lambda x: layer(x, m)[0])(many), torch.stack([layer(x, m)[0] for x in many]))


def test_messages() -> None:
    memory = ModernHopfield(3)
    with pytest.raises(UsageError, match="ModernHopfield.recall: no pattern is stored. Needed: one or more"):
        memory.recall(torch.zeros(1, 3))
    with pytest.raises(UsageError, match="ModernHopfield: beta is -1"):
        ModernHopfield(3, -1)
    with pytest.raises(ShapeError, match=r"ModernHopfield.store: patterns has shape \(2, 2\)"):
        memory.store(torch.zeros(2, 2))
    with pytest.raises(UsageError, match="HopfieldLayer: size is 5 and heads is 2. Needed: size a multiple of heads"):
        HopfieldLayer(5, heads=2)
    layer = HopfieldLayer(4)
    with pytest.raises(ShapeError, match=r"HopfieldLayer: memory has shape \(2, 1, 3\).*since memory_size is 4"):
        layer(torch.zeros(2, 1, 4), torch.zeros(2, 1, 3))
    with pytest.raises(ShapeError, match="HopfieldLayer: memory has batch 2. Needed: 1, as the query has"):
        layer(torch.zeros(2, 1, 4), torch.zeros(2, 2, 4))
    with pytest.raises(ShapeError, match="HopfieldLayer: query is torch.float64"):
        layer(torch.zeros(2, 1, 4, dtype=torch.float64))
