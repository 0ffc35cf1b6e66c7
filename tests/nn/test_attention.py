"""Attention: the numbers and gradients of the papers' equations, padding, transforms, messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from central_differences import gradients
from torch import Tensor
from torch.func import functional_call, jacrev, jvp, vmap

from recurra.errors import ShapeError, UsageError
from recurra.nn.attention import AlignmentState, Attention, AttentionMemory

KINDS = ("additive", "dot", "scaled dot", "general", "location")
every_kind = pytest.mark.parametrize("kind", KINDS)
LENGTHS = [5, 3, 0]


def make(kind: str, query_size: int = 4, memory_size: int = 3, **arguments: Any) -> Attention:
    torch.manual_seed(0)
    if kind in ("dot", "scaled dot"):
        memory_size = query_size
    arguments = {"location_channels": 2, "location_width": 3, "attention_size": 5, **arguments}
    return Attention(kind, query_size, memory_size, dtype=torch.float64, **arguments)


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def alignment_before(lengths: list[int], steps: int, seed: int = 3) -> Tensor:
    """Weights that add up to 1 within the lengths."""
    raw = numbers(len(lengths), steps, seed=seed).exp()
    raw = raw * (torch.arange(steps) < torch.tensor(lengths).unsqueeze(1))
    return raw / raw.sum(1, keepdim=True).clamp(min=1e-9)


def reference(
    kind: str, w: dict[str, np.ndarray], s: np.ndarray, memory: np.ndarray, lengths: list[int], before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The papers' equations for one query a sequence, number by number; memory (time, batch, features)."""
    context, weights = np.zeros((len(s), memory.shape[2])), np.zeros((len(s), len(memory)))
    for b, length in enumerate(lengths):
        if length == 0:
            continue
        scores = []
        for j in range(length):
            h = memory[j, b]
            if kind == "dot":
                e = s[b] @ h
            elif kind == "scaled dot":
                e = s[b] @ h / math.sqrt(len(h))
            elif kind == "general":
                e = s[b] @ w["score.weight"] @ h
            else:
                total = w["score.weight_query"] @ s[b] + w["score.weight_memory"] @ h + w["score.bias"]
                if kind == "location":
                    half = w["score.filters"].shape[1] // 2
                    f = np.zeros(len(w["score.filters"]))
                    for r in range(-half, half + 1):
                        if 0 <= j + r < before.shape[1]:
                            f = f + w["score.filters"][:, r + half] * before[b, j + r]
                    total = total + w["score.weight_location"] @ f
                e = w["score.weight_score"] @ np.tanh(total)
            scores.append(e)
        raised = np.exp(np.array(scores) - max(scores))
        weights[b, :length] = raised / raised.sum()
        context[b] = sum(weights[b, j] * memory[j, b] for j in range(length))
    return context, weights


@every_kind
def test_numbers_and_gradients_are_the_papers(kind: str) -> None:
    attention = make(kind)
    query, memory = numbers(3, 4, seed=1), numbers(5, 3, attention.memory_size, seed=2)
    before = alignment_before(LENGTHS, 5)
    leaves = [query, memory] + ([before] if kind == "location" else [])
    for leaf in leaves:
        leaf.requires_grad_()
    context, weights = attention(query, memory, AlignmentState(before), lengths=LENGTHS)
    arrays = [leaf.detach().numpy().copy() for leaf in (query, memory, before)]
    w = {name: weight.detach().numpy().copy() for name, weight in attention.named_parameters()}
    wanted = reference(kind, w, arrays[0], arrays[1], LENGTHS, arrays[2])
    np.testing.assert_allclose(context.detach(), wanted[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(weights.detach(), wanted[1], rtol=1e-12, atol=1e-14)

    factors = [np.random.default_rng(0).standard_normal(part.shape) for part in wanted]
    ((context * torch.from_numpy(factors[0])).sum() + (weights * torch.from_numpy(factors[1])).sum()).backward()

    def loss() -> float:
        found = reference(kind, w, arrays[0], arrays[1], LENGTHS, arrays[2])
        return sum(float((part * factor).sum()) for part, factor in zip(found, factors, strict=True))

    differences = gradients(loss, [*arrays[: len(leaves)], *w.values()])
    for leaf, difference in zip([*leaves, *attention.parameters()], differences, strict=True):
        np.testing.assert_allclose(leaf.grad, difference, rtol=1e-6, atol=1e-8)


@every_kind
def test_second_derivatives(kind: str) -> None:
    attention = make(kind)
    query, memory = numbers(2, 4).requires_grad_(), numbers(3, 2, attention.memory_size, seed=2).requires_grad_()
    state = AlignmentState(alignment_before([3, 2], 3))

    def context(query: Tensor, memory: Tensor) -> Tensor:
        return attention(query, memory, state, lengths=torch.tensor([3, 2]))[0]

    assert torch.autograd.gradgradcheck(context, (query, memory))


@every_kind
def test_what_stands_in_the_padding_reaches_nothing(kind: str) -> None:
    attention = make(kind)
    query, memory = numbers(3, 4), numbers(5, 3, attention.memory_size, seed=2)
    clean = attention(query, memory, lengths=LENGTHS)
    spoilt = memory.clone()
    spoilt[3:, 1], spoilt[:, 2] = torch.nan, torch.inf
    spoilt.requires_grad_()
    query.requires_grad_()
    with torch.autograd.set_detect_anomaly(True):  # no NaN arises on the way back either
        context, weights = attention(query, spoilt, lengths=LENGTHS)
        torch.testing.assert_close((context, weights), clean, rtol=0, atol=0)
        (context.sum() + weights.square().sum()).backward()
    assert bool((weights[1, 3:] == 0).all()) and bool((weights[2] == 0).all()) and bool((context[2] == 0).all())
    assert spoilt.grad is not None and query.grad is not None
    assert bool((spoilt.grad[3:, 1] == 0).all()) and bool((spoilt.grad[:, 2] == 0).all())
    for leaf in (spoilt, query, *attention.parameters()):
        assert leaf.grad is not None and bool(leaf.grad.isfinite().all())


@every_kind
def test_a_mask_takes_single_steps_out(kind: str) -> None:
    attention = make(kind, location_width=1)
    query, memory = numbers(2, 4), numbers(5, 2, attention.memory_size, seed=2)
    mask = torch.tensor([[1, 1], [0, 1], [1, 0], [1, 1], [1, 1]], dtype=torch.bool)
    before = alignment_before([5, 5], 5)
    context, weights = attention(query, memory, AlignmentState(before), lengths=[5, 4], mask=mask)
    for b, kept in enumerate(([0, 2, 3, 4], [0, 1, 3])):
        # With filters one step wide a step's score does not depend on its neighbours.
        alone = attention(query[b : b + 1], memory[kept, b : b + 1], AlignmentState(before[b : b + 1, kept]))
        torch.testing.assert_close(context[b : b + 1], alone[0], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(weights[b : b + 1, kept], alone[1], rtol=1e-12, atol=1e-14)
        assert float(weights[b].detach().sum()) == pytest.approx(1, abs=1e-12)


@every_kind
def test_a_memory_without_steps_gives_zeros(kind: str) -> None:
    attention = make(kind)
    query = numbers(2, 4).requires_grad_()
    context, weights = attention(query, torch.zeros(0, 2, attention.memory_size, dtype=torch.float64))
    assert context.shape == (2, attention.memory_size) and weights.shape == (2, 0)
    assert bool((context == 0).all())
    assert attention(query[:0], torch.zeros(3, 0, attention.memory_size, dtype=torch.float64))[1].shape == (0, 3)


@every_kind
def test_neighbours_in_the_batch_do_not_matter(kind: str) -> None:
    attention = make(kind)
    query, memory = numbers(3, 4), numbers(5, 3, attention.memory_size, seed=2)
    context, weights = attention(query, memory, lengths=LENGTHS)
    for b in range(3):
        alone = attention(query[b : b + 1], memory[:, b : b + 1], lengths=LENGTHS[b : b + 1])
        torch.testing.assert_close((context[b : b + 1], weights[b : b + 1]), alone, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_many_queries_at_once(kind: str) -> None:
    attention, other = make(kind), make(kind, batch_first=True)
    queries, memory = numbers(6, 3, 4), numbers(5, 3, attention.memory_size, seed=2)
    context, weights = attention(queries, memory, lengths=LENGTHS)
    for t in range(6):
        one = attention(queries[t], memory, lengths=LENGTHS)
        torch.testing.assert_close((context[t], weights[t]), one, rtol=1e-13, atol=1e-14)
    mask = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)) > 0.3
    turned = other(queries.transpose(0, 1), memory.transpose(0, 1), mask=mask)
    wanted = attention(queries, memory, mask=mask.T)
    torch.testing.assert_close(turned, tuple(part.transpose(0, 1) for part in wanted))


def test_keys_are_computed_once() -> None:
    attention = make("additive")
    memory, query = numbers(5, 3, 3, seed=2), numbers(3, 4)
    ready = attention.prepare(memory, LENGTHS)
    torch.testing.assert_close(attention(query, ready), attention(query, memory, lengths=LENGTHS), rtol=0, atol=0)
    # The keys of another memory change the weights and leave the values.
    other = ready._replace(keys=attention.prepare(memory.flip(0)).keys)
    context, weights = attention(query, other)
    assert not torch.allclose(weights, attention(query, ready)[1])
    torch.testing.assert_close(context, torch.einsum("bt,btf->bf", weights, ready.values))


def test_the_location_kind_begins_at_the_first_step() -> None:
    attention = make("location")
    mask = torch.tensor([[0, 1], [1, 1], [1, 1]], dtype=torch.bool)
    ready = attention.prepare(numbers(3, 2, 3), [3, 0], mask)
    assert attention.initial_state(ready).alignment.tolist() == [[0, 1, 0], [0, 0, 0]]
    query = numbers(2, 4, seed=5)
    torch.testing.assert_close(attention(query, ready), attention(query, ready, attention.initial_state(ready)))
    later = attention(query, ready, AlignmentState(alignment_before([3, 0], 3)))
    assert not torch.allclose(later[1], attention(query, ready)[1])


@every_kind
def test_vmap_over_stacked_weights_and_over_inputs(kind: str) -> None:
    many = [make(kind) for _ in range(3)]
    for number, attention in enumerate(many):
        for weight in attention.parameters():
            weight.data = weight.data + 0.1 * number
    query, memory = numbers(2, 4), numbers(5, 2, many[0].memory_size, seed=2)
    lengths = torch.tensor([5, 2])

    def call(weights: dict[str, Tensor], query: Tensor, memory: Tensor) -> Any:
        return functional_call(many[0], weights, (query, memory), {"lengths": lengths})

    names = [name for name, _ in many[0].named_parameters()]
    if names:
        stacked = {name: torch.stack([each.get_parameter(name) for each in many]) for name in names}
        found = vmap(call, in_dims=(0, None, None))(stacked, query, memory)
        for number, attention in enumerate(many):
            alone = attention(query, memory, lengths=lengths)
            torch.testing.assert_close(tuple(part[number] for part in found), alone)
    weights = dict(many[0].named_parameters())
    queries, memories = torch.stack([query, -query]), torch.stack([memory, memory + 1])
    found = vmap(call, in_dims=(None, 0, 0))(weights, queries, memories)
    for number in range(2):
        alone = many[0](queries[number], memories[number], lengths=lengths)
        torch.testing.assert_close(tuple(part[number] for part in found), alone)


@every_kind
def test_jvp_is_the_jacobian_times_the_direction(kind: str) -> None:
    attention = make(kind)
    query, memory = numbers(2, 4), numbers(3, 2, attention.memory_size, seed=2)
    state = AlignmentState(alignment_before([3, 1], 3))

    def context(query: Tensor, memory: Tensor) -> Tensor:
        return attention(query, memory, state, lengths=torch.tensor([3, 1]))[0]

    directions = (numbers(*query.shape, seed=7), numbers(*memory.shape, seed=8))
    _, pushed = jvp(context, (query, memory), directions)
    parts = jacrev(context, argnums=(0, 1))(query, memory)
    wanted = torch.einsum("bmij,ij->bm", parts[0], directions[0])
    wanted = wanted + torch.einsum("bmtij,tij->bm", parts[1], directions[1])
    torch.testing.assert_close(pushed, wanted, rtol=1e-11, atol=1e-12)


@every_kind
def test_state_dict_round_trip(kind: str) -> None:
    one, other = (
        make(kind),
        Attention(
            kind,
            4,
            4 if "dot" in kind else 3,
            attention_size=5,
            location_channels=2,
            location_width=3,
            dtype=torch.float64,
        ),
    )
    query, memory = numbers(2, 4), numbers(5, 2, one.memory_size, seed=2)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(query, memory), other(query, memory), rtol=0, atol=0)


def test_names_and_shapes_of_the_weights() -> None:
    shapes = {name: tuple(weight.shape) for name, weight in make("location").named_parameters()}
    assert shapes == {
        "score.weight_query": (5, 4),
        "score.weight_memory": (5, 3),
        "score.bias": (5,),
        "score.weight_score": (5,),
        "score.weight_location": (5, 2),
        "score.filters": (2, 3),
    }
    assert dict(make("additive", bias=False).named_parameters()).keys() == {
        "score.weight_query",
        "score.weight_memory",
        "score.weight_score",
    }


def test_half_precision_stays_finite() -> None:
    attention = make("additive").to(torch.bfloat16)
    context, weights = attention(numbers(3, 4).bfloat16(), numbers(5, 3, 3).bfloat16(), lengths=LENGTHS)
    assert context.dtype == weights.dtype == torch.bfloat16
    assert bool(context.isfinite().all()) and bool((weights[1, 3:] == 0).all())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Attention("aditive", 4, 3), "kind is 'aditive'. Needed: one of 'additive', .*did you mean 'additive'"),
        (lambda: Attention("dot", 4, 3), "query_size is 4 and memory_size is 3. Needed: the same for kind 'dot'"),
        (lambda: Attention("general", 0, 3), "Attention: query_size is 0. Needed: a positive whole number"),
        (lambda: Attention("general", 4, -1), "memory_size is -1. Needed: a positive whole number"),
        (lambda: Attention("additive", 4, 3, attention_size=0), "attention_size is 0. Needed: a positive whole number"),
        (lambda: Attention("location", 4, 3, location_width=4), "location_width is 4. Needed: an odd number"),
        (lambda: Attention("location", 4, 3, location_channels=0), "location_channels is 0. Needed: a positive whole"),
    ],
)
def test_messages_of_the_constructor(build: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()


def test_messages_of_the_call() -> None:
    attention = make("additive")
    query, memory = numbers(2, 4), numbers(5, 2, 3)
    cases: list[tuple[Any, Any, dict[str, Any], str]] = [
        (query[:, :3], memory, {}, r"query has shape \(2, 3\). Needed: \(batch, 4\), since query_size is 4"),
        (
            query,
            memory[..., :2],
            {},
            r"memory has shape \(5, 2, 2\). Needed: \(memory_time, batch, 3\), since memory_size",
        ),
        (query, memory[:, 0], {}, r"memory has shape \(5, 3\), 2 dimensions. Needed: \(memory_time, batch, 3\)"),
        (query, [1.0], {}, "memory is list"),
        (query[:1], memory, {}, "query has batch 1. Needed: 2, as the memory"),
        (query, memory.float(), {}, "memory is torch.float32. Needed: torch.float64 as the weights are"),
        (query, memory, {"lengths": [6, 1]}, "lengths holds 6. Needed: whole numbers from 0 to 5"),
        (query, memory, {"lengths": [1]}, r"lengths has shape \(1,\). Needed: \(2,\), that is \(batch,\)"),
        (
            query,
            memory,
            {"mask": torch.ones(2, 5, dtype=torch.bool)},
            r"mask has shape \(2, 5\). Needed: \(5, 2\) of boo",
        ),
        (
            query,
            memory,
            {"state": AlignmentState(torch.zeros(2, 4))},
            r"state.alignment has shape \(2, 4\). Needed: \(2, 5",
        ),
    ]
    for given, to, arguments, message in cases:
        with pytest.raises(UsageError, match=message):
            attention(given, to, **arguments)
    with pytest.raises(ShapeError, match=r"memory has shape .* Needed: \(batch, memory_time, 3\)"):
        make("additive", batch_first=True)(query, memory[..., :2])
    with pytest.raises(
        UsageError, match="lengths or mask came with a prepared memory. Needed: both given to `prepare`"
    ):
        attention(query, attention.prepare(memory), lengths=[1, 1])
    with pytest.raises(UsageError, match="many queries were given at once. Needed: one query .* for kind 'location'"):
        make("location")(numbers(3, 2, 4), memory)


def test_what_prepare_gives() -> None:
    ready = make("general").prepare(numbers(5, 3, 3), LENGTHS)
    assert isinstance(ready, AttentionMemory)
    assert ready.values.shape == (3, 5, 3) and ready.keys.shape == (3, 5, 4)
    assert ready.within.sum(1).tolist() == LENGTHS
    assert repr(make("general")).startswith("Attention(\n  'general', query_size=4, memory_size=3")
