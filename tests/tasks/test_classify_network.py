"""The classifier's network: poolings, padding, spans of time, mixing, class weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.learn.rules.registry import make_rule
from recurra.tasks.classify.network import SequenceBatch, SequenceNetwork


def _network(**given: object) -> SequenceNetwork:
    torch.manual_seed(5)
    arguments: dict = dict(channels=3, levels=(4,), classes=3, cell="gru", hidden_size=5) | given
    return SequenceNetwork(**arguments).double().eval()


def _batch(lengths: list[int], steps: int | None = None, seed: int = 0) -> SequenceBatch:
    rng = np.random.default_rng(seed)
    steps = max(lengths) if steps is None else steps
    values = torch.from_numpy(rng.normal(size=(steps, len(lengths), 3)))
    codes = torch.from_numpy(rng.integers(0, 5, size=(steps, len(lengths), 1)))
    label = torch.from_numpy(rng.integers(0, 3, size=len(lengths)))
    return SequenceBatch(values, codes, torch.tensor(lengths), label, np.arange(len(lengths)))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["gru", "lstm", "elman"])
def test_logits_are_those_of_each_sequence_alone_by_hand(cell: str, bidirectional: bool) -> None:
    network = _network(cell=cell, bidirectional=bidirectional)
    batch = _batch([6, 1, 4])
    found = network.logits(batch.values, batch.codes, batch.lengths)
    for i, length in enumerate([6, 1, 4]):
        x = torch.cat([batch.values[:length, i], network.embeddings[0](batch.codes[:length, i, 0])], dim=1)
        output = network.recurrent(x[:, None])[0][:, 0]
        half = output.shape[1] // 2
        last = torch.cat([output[-1, :half], output[0, half:]]) if bidirectional else output[-1]
        features = torch.cat([output.mean(0), output.max(0).values, last])
        assert torch.allclose(found[i], network.head(features), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    extra=st.integers(0, 4),
    seed=st.integers(0, 1000),
    bidirectional=st.booleans(),
)
def test_padding_order_and_neighbours_do_not_matter(
    lengths: list[int], extra: int, seed: int, bidirectional: bool
) -> None:
    network = _network(bidirectional=bidirectional, layers=2)
    batch = _batch(lengths, max(lengths) + extra, seed)
    past = torch.arange(batch.steps)[:, None] >= batch.lengths
    poisoned = batch.values.masked_fill(past[..., None], float("nan"))
    whole = network.logits(poisoned, batch.codes, batch.lengths)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(lengths)))
    turned = network.logits(poisoned[:, order], batch.codes[:, order], batch.lengths[order])
    assert torch.allclose(turned, whole[order], atol=1e-12)
    for i, length in enumerate(lengths):
        alone = network.logits(
            batch.values[:length, i : i + 1], batch.codes[:length, i : i + 1], torch.tensor([length])
        )
        assert torch.allclose(alone[0], whole[i], atol=1e-12)


@pytest.mark.parametrize("cell", ["gru", "lstm", "indrnn"])
@pytest.mark.parametrize("span", [1, 3, 10])
def test_losses_of_spans_add_up_to_the_loss_of_the_whole(cell: str, span: int) -> None:
    network = _network(cell=cell, bidirectional=False, layers=2, class_weight=(0.5, 2.0, 1.0))
    batch = _batch([10, 1, 3, 4, 7])
    whole, _ = network(batch, 0, batch.steps, None)
    state, total = None, torch.zeros((), dtype=torch.float64)
    for start in range(0, batch.steps, span):
        loss, state = network(batch, start, min(start + span, batch.steps), state)
        total = total + loss
    assert torch.allclose(total, whole, atol=1e-12)
    logits = network.logits(batch.values, batch.codes, batch.lengths)
    each = torch.nn.functional.cross_entropy(logits, batch.label, reduction="none")
    weight = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)[batch.label]
    assert torch.allclose(whole, (each * weight).sum() / weight.sum(), atol=1e-12)


def test_truncation_longer_than_the_sequences_gives_the_gradient_of_bptt() -> None:
    batch = _batch([10, 1, 3, 4, 7])
    gradients = []
    for spec in ("bptt", "tbptt(5, 10)"):
        network = _network(bidirectional=False)
        rule = make_rule(spec)
        assert rule.supports(network) is None
        rule.step(network, batch, rule.init(network))
        gradients.append([p.grad.clone() for p in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_two_directions_are_not_streamed_and_the_reason_is_said() -> None:
    assert "bidirectional=false" in (_network().why_not_streamed() or "")
    assert make_rule("tbptt(3)").supports(_network()) is not None
    assert _network(bidirectional=False).why_not_streamed() is None


def test_noise_and_mixing_work_in_training_only() -> None:
    network = _network(noise=0.5, noisy=2, mixing=1.0)
    batch = _batch([5, 3, 4])
    calm = network(batch, 0, 5, None)[0]
    assert torch.equal(calm, network(batch, 0, 5, None)[0])
    network.train()
    torch.manual_seed(0)
    first = network(batch, 0, 5, None)[0]
    second = network(batch, 0, 5, None)[0]
    torch.manual_seed(0)
    assert torch.equal(first, network(batch, 0, 5, None)[0])
    assert not torch.equal(first, second)


def test_noise_leaves_masks_and_padding_alone() -> None:
    network = _network(noise=0.5, noisy=2).train()
    batch = _batch([5, 3])
    x = network.inputs(batch.values, batch.codes, batch.lengths)
    assert torch.equal(x[:3, :, 2], batch.values[:3, :, 2])
    assert not torch.equal(x[:3, :, :2], batch.values[:3, :, :2])
    assert torch.all(x[3:, 1] == 0)


def test_a_sequence_that_has_not_ended_is_no_partner() -> None:
    network = _network(bidirectional=False, mixing=1.0).train()
    batch = _batch([2, 9])
    torch.manual_seed(1)
    loss, _ = network(batch, 0, 3, None)  # only the first sequence ends here
    network.eval()
    assert torch.allclose(loss, network(batch, 0, 3, None)[0], atol=1e-12)


def test_length_zero_and_no_steps_are_finite() -> None:
    network = _network()
    values, codes = torch.zeros(4, 2, 3).double(), torch.zeros(4, 2, 1).long()
    assert torch.isfinite(network.logits(values, codes, torch.tensor([0, 4]))).all()
    assert torch.isfinite(network.logits(values[:0], codes[:0], torch.tensor([0, 0]))).all()
