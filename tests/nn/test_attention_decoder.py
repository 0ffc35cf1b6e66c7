"""The attentive decoder: both orders and what is fed, against the papers' equations; a cell like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from central_differences import gradients
from torch import Tensor
from torch.func import functional_call, jacrev, jvp, vmap

from recurra.cells import GRU, LSTM, Cell, Elman, map_state
from recurra.cells.state import state_tensors
from recurra.errors import ShapeError, UsageError
from recurra.nn.attention import AlignmentState, Attention, AttentionDecoder
from recurra.unroll import unroll

X, H, M = 2, 3, 4  # features of the input, of the cell, of the memory
LENGTHS = [4, 2, 0]
FORMS = [
    ("before", "nothing", "joined", "additive"),
    ("before", "nothing", "attentional", "location"),
    ("after", "nothing", "attentional", "general"),
    ("after", "output", "attentional", "additive"),
    ("after", "output", "joined", "general"),
    ("after", "context", "joined", "location"),
]
every_form = pytest.mark.parametrize("form", FORMS, ids=" ".join)


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make(form: tuple[str, str, str, str], cell: type[Cell] = Elman, seed: int = 0) -> AttentionDecoder:
    order, feed, output, kind = form
    torch.manual_seed(seed)
    gives = H + (M if output == "joined" else 0)
    joins = {"nothing": M if order == "before" else 0, "output": gives, "context": M}[feed]
    sizes: dict[str, Any] = {"attention_size": 5, "location_channels": 2, "location_width": 3, "dtype": torch.float64}
    inner = cell(X + joins, H, dtype=torch.float64)  # type: ignore[call-arg]
    return AttentionDecoder(inner, Attention(kind, H, M, **sizes), order=order, feed=feed, output=output)


def attend(
    kind: str, w: dict[str, np.ndarray], s: np.ndarray, memory: np.ndarray, lengths: list[int], before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scores over all steps at once, a softmax within each length; memory (time, batch, features)."""
    h = memory.transpose(1, 0, 2)
    if kind == "general":
        scores = np.einsum("bq,qm,btm->bt", s, w["attention.score.weight"], h)
    else:
        total = (s @ w["attention.score.weight_query"].T)[:, None] + h @ w["attention.score.weight_memory"].T
        total = total + w["attention.score.bias"]
        if kind == "location":
            filters = w["attention.score.filters"]
            padded = np.pad(before, ((0, 0), (1, 1)))
            f = sum(padded[:, r : r + before.shape[1], None] * filters[:, r] for r in range(3))
            total = total + f @ w["attention.score.weight_location"].T
        scores = np.tanh(total) @ w["attention.score.weight_score"]
    raised = np.exp(scores) * (np.arange(h.shape[1]) < np.array(lengths)[:, None])
    sums = raised.sum(1, keepdims=True)
    weights = np.divide(raised, sums, out=np.zeros_like(raised), where=sums > 0)
    return np.einsum("bt,btm->bm", weights, h), weights


def reference(
    form: tuple[str, str, str, str], w: dict[str, np.ndarray], x: np.ndarray, memory: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The outputs and alignments of all steps, with Elman's cell inside."""
    order, feed, output, kind = form
    batch = x.shape[1]
    s, c = np.zeros((batch, H)), np.zeros((batch, M))
    y = np.zeros((batch, H + (M if output == "joined" else 0)))
    alignment = np.zeros((batch, len(memory)))
    if kind == "location":
        alignment[:, 0] = np.array(LENGTHS) > 0
    outputs, alignments = [], []
    for x_t in x:
        if order == "before":
            c, alignment = attend(kind, w, s, memory, LENGTHS, alignment)
            x_t = np.concatenate([x_t, c], 1)
        elif feed != "nothing":
            x_t = np.concatenate([x_t, y if feed == "output" else c], 1)
        s = np.tanh(x_t @ w["cell.weight_ih"].T + w["cell.bias_ih"] + s @ w["cell.weight_hh"].T + w["cell.bias_hh"])
        if order == "after":
            c, alignment = attend(kind, w, s, memory, LENGTHS, alignment)
        joined = np.concatenate([s, c], 1)
        y = joined if output == "joined" else np.tanh(np.concatenate([c, s], 1) @ w["weight_combine"].T)
        outputs.append(y)
        alignments.append(alignment)
    return np.stack(outputs), np.stack(alignments)


@every_form
def test_numbers_and_gradients_are_the_papers(form: Any) -> None:
    decoder = make(form)
    assert decoder.input_size == X
    x, memory = numbers(3, 3, X).requires_grad_(), numbers(4, 3, M, seed=2).requires_grad_()
    both, _ = unroll(decoder.bind(memory, LENGTHS, alignments=True), x)
    y, alignments = both[..., : decoder.output_size], both[..., decoder.output_size :]
    w = {name: weight.detach().numpy().copy() for name, weight in decoder.named_parameters()}
    arrays = [x.detach().numpy().copy(), memory.detach().numpy().copy()]
    wanted = reference(form, w, arrays[0], arrays[1])
    np.testing.assert_allclose(y.detach(), wanted[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(alignments.detach(), wanted[1], rtol=1e-12, atol=1e-14)

    factors = [np.random.default_rng(0).standard_normal(part.shape) for part in wanted]
    ((y * torch.from_numpy(factors[0])).sum() + (alignments * torch.from_numpy(factors[1])).sum()).backward()

    def loss() -> float:
        found = reference(form, w, arrays[0], arrays[1])
        return sum(float((part * factor).sum()) for part, factor in zip(found, factors, strict=True))

    for leaf, difference in zip(
        [x, memory, *decoder.parameters()], gradients(loss, [*arrays, *w.values()]), strict=True
    ):
        np.testing.assert_allclose(leaf.grad, difference, rtol=1e-6, atol=1e-8)


@every_form
@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_one_step_is_the_loop_and_a_cut_changes_nothing(form: Any, kind: Any) -> None:
    decoder = make(form, kind)
    cell = decoder.bind(numbers(4, 3, M, seed=2), LENGTHS)
    x = numbers(5, 3, X)
    y, final = unroll(cell, x)
    state, outputs = cell.initial_state(3), []
    for x_t in x:
        y_t, state = cell(x_t, state)
        outputs.append(y_t)
    torch.testing.assert_close(torch.stack(outputs), y, rtol=1e-12, atol=1e-14)
    first, middle = unroll(cell, x[:2])
    second, last = unroll(cell, x[2:], middle)
    torch.testing.assert_close(torch.cat([first, second]), y, rtol=1e-12, atol=1e-14)
    for a, b, c in zip(state_tensors(final), state_tensors(last), state_tensors(state), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(a, c, rtol=1e-12, atol=1e-14)


@every_form
def test_padding_and_neighbours_reach_nothing(form: Any) -> None:
    decoder = make(form)
    x, memory = numbers(3, 3, X), numbers(4, 3, M, seed=2)
    clean, _ = unroll(decoder.bind(memory, LENGTHS), x, lengths=[3, 1, 2])
    spoilt, x_spoilt = memory.clone(), x.clone()
    spoilt[2:, 1], spoilt[:, 2], x_spoilt[1:, 1] = torch.nan, torch.nan, torch.nan
    spoilt.requires_grad_()
    y, state = unroll(decoder.bind(spoilt, LENGTHS), x_spoilt, lengths=[3, 1, 2])
    torch.testing.assert_close(y, clean, rtol=0, atol=0)
    sum(part.square().sum() for part in (y, *state_tensors(state))).backward()  # type: ignore[union-attr]
    assert spoilt.grad is not None and bool((spoilt.grad[2:, 1] == 0).all()) and bool(spoilt.grad.isfinite().all())
    assert all(bool(weight.grad.isfinite().all()) for weight in decoder.parameters() if weight.grad is not None)
    for b in range(3):
        alone, _ = unroll(decoder.bind(memory[:, b : b + 1], LENGTHS[b : b + 1]), x[:, b : b + 1])
        whole, _ = unroll(decoder.bind(memory, LENGTHS), x)
        torch.testing.assert_close(alone[:, 0], whole[:, b], rtol=1e-12, atol=1e-14)


@every_form
def test_vmap_over_stacked_weights_and_jvp(form: Any) -> None:
    many = [make(form, seed=seed) for seed in range(3)]
    memory, x = numbers(4, 2, M, seed=2), numbers(2, X)
    ready = many[0].attention.prepare(memory, [4, 2])
    state = many[0].bind(ready).initial_state(2)

    def step(weights: dict[str, Tensor], x: Tensor) -> Any:
        # The keys are those of the first decoder throughout: vmap runs over what a step reads besides.
        return functional_call(many[0], weights, (x, state, ready))

    if form[1] == "nothing" and form[0] == "after":
        x = many[0].project(x).detach()
    names = [name for name, _ in many[0].named_parameters()]
    stacked = {name: torch.stack([each.get_parameter(name) for each in many]) for name in names}
    y, after = vmap(step, in_dims=(0, None))(stacked, x)
    for number in range(3):
        one_y, one_after = many[number](x, state, ready)
        torch.testing.assert_close(y[number], one_y)
        for part, one in zip(state_tensors(after), state_tensors(one_after), strict=True):
            torch.testing.assert_close(part[number], one)
    weights = dict(many[0].named_parameters())
    direction = numbers(*x.shape, seed=9)
    _, pushed = jvp(lambda x: step(weights, x)[0], (x,), (direction,))
    jacobian = jacrev(lambda x: step(weights, x)[0])(x)
    torch.testing.assert_close(pushed, torch.einsum("bmij,ij->bm", jacobian, direction), rtol=1e-10, atol=1e-12)


def test_repeating_is_the_memory_of_each_hypothesis() -> None:
    decoder = make(FORMS[5])
    cell = decoder.bind(numbers(4, 3, M, seed=2), LENGTHS)
    x = numbers(3, 3, X)
    y, _ = unroll(cell, x)
    three, _ = unroll(cell.repeat(3), x.repeat_interleave(3, 1))
    torch.testing.assert_close(three, y.repeat_interleave(3, 1), rtol=1e-12, atol=1e-14)


def test_a_first_state_is_handed_over() -> None:
    decoder = make(FORMS[0], LSTM)
    cell = decoder.bind(numbers(4, 3, M, seed=2), LENGTHS)
    given = map_state(lambda part: part + 0.5, decoder.cell.initial_state(3))
    start = cell.begin(given)
    assert start.cell.c is given.c and bool((start.context == 0).all())
    with pytest.raises(ShapeError, match=r"AttentionDecoder: state.c has shape \(2, 3\). Needed: \(3, 3\)"):
        cell.begin(given._replace(c=given.c[:2]))


def test_the_query_may_be_any_function_of_the_state() -> None:
    torch.manual_seed(0)
    inner = LSTM(X + M, H, dtype=torch.float64)
    attention = Attention("additive", H, M, dtype=torch.float64)
    memory, x = numbers(4, 3, M, seed=2), numbers(3, X)
    cell = AttentionDecoder(inner, attention, query=lambda state: state.c).bind(memory)
    start = cell.initial_state(3)
    start = start._replace(cell=start.cell._replace(c=numbers(3, H, seed=4)))
    _, after = cell(x, start)
    wanted = attention(start.cell.c, memory, AlignmentState(start.alignment))
    torch.testing.assert_close((after.context, after.alignment), wanted)


def test_state_dict_round_trip() -> None:
    one, other = make(FORMS[3]), make(FORMS[3], seed=1)
    memory, x = numbers(4, 3, M, seed=2), numbers(3, 3, X)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(unroll(one.bind(memory), x)[0], unroll(other.bind(memory), x)[0], rtol=0, atol=0)
    assert "weight_combine" in one.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("form", [FORMS[0], FORMS[5]], ids=" ".join)
def test_export_with_a_dynamic_batch(form: Any) -> None:
    decoder = make(form, LSTM)
    with torch.no_grad():
        ready = decoder.attention.prepare(numbers(4, 3, M, seed=2), LENGTHS)
    given = (numbers(3, X), decoder.bind(ready).initial_state(3), ready)
    batch = torch.export.Dim("batch", min=2)
    shapes = torch.utils._pytree.tree_map(lambda part: {0: batch}, given)
    program = torch.export.export(
        decoder, given, dynamic_shapes=dict(zip(("projected", "state", "memory"), shapes, strict=True))
    )
    ready = decoder.attention.prepare(numbers(4, 5, M, seed=4), [4, 1, 2, 3, 0])
    given = (numbers(5, X, seed=5), decoder.bind(ready).initial_state(5), ready)
    torch.testing.assert_close(program.module()(*given)[0], decoder(*given)[0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda c, a: AttentionDecoder("gru", a), "AttentionDecoder: cell is 'gru'. Needed: a Cell"),  # type: ignore[arg-type]
        (lambda c, a: AttentionDecoder(c, None), "attention is None. Needed: an Attention"),  # type: ignore[arg-type]
        (lambda c, a: AttentionDecoder(c, a, order="luong"), "order is 'luong'. Needed: 'before' or 'after'"),
        (lambda c, a: AttentionDecoder(c, a, order="after", feed="y"), "feed is 'y'. Needed: 'nothing' or 'output' or"),
        (
            lambda c, a: AttentionDecoder(c, a, output="sum"),
            "output is 'sum'. Needed: None or 'joined' or 'attentional'",
        ),
        (lambda c, a: AttentionDecoder(c, a, feed="output"), "feed is 'output'. Needed: 'nothing' with order 'before'"),
        (
            lambda c, a: AttentionDecoder(GRU(M, H), a),
            "the cell's input_size is 4. Needed: more than 4, the features that",
        ),
        (
            lambda c, a: AttentionDecoder(GRU(6, 7), a),
            "the attention's query_size is 3. Needed: 7, .* query from its state",
        ),
        (lambda c, a: AttentionDecoder(GRU(6, 7), a, order="after"), "query_size is 3. Needed: 7, .* cell's output"),
    ],
)
def test_messages_of_the_constructor(build: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(GRU(X + M, H), Attention("additive", H, M))


def test_a_query_must_be_one_vector_a_sequence() -> None:
    message = r"the query from the state of GRU has shape \(1, 3, 1\) for batch 1. Needed: \(batch, query_size\)"
    with pytest.raises(UsageError, match=message):
        AttentionDecoder(GRU(X + M, H), Attention("additive", H, M), query=lambda state: state.h.unsqueeze(-1))


def test_messages_of_the_call() -> None:
    decoder = make(FORMS[0])
    memory = numbers(4, 3, M)
    with pytest.raises(ShapeError, match="AttentionDecoder: x has batch 2. Needed: 3, as the memory"):
        unroll(decoder.bind(memory), numbers(5, 2, X))
    with pytest.raises(ShapeError, match=r"BoundDecoder: x has shape \(3, 3\). Needed: \(batch, 2\)"):
        decoder.bind(memory)(numbers(3, 3), decoder.bind(memory).initial_state(3))
    with pytest.raises(UsageError, match="AttentionDecoder.bind: lengths or mask came with a prepared memory"):
        decoder.bind(decoder.attention.prepare(memory), LENGTHS)
