"""Causal recursive back-propagation: against its definition, the paper's recursions in numpy, and BPTT."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crbp_layers import LAYERS, stack
from sequence_learner import SequenceLearner, Sequences, assert_close, far_apart, gradient_by, sequences
from torch import Tensor, nn

from recurra.cells import IIR
from recurra.learn.rules.bptt import BPTT
from recurra.learn.rules.crbp import CRBP
from recurra.learn.rules.tbptt import TBPTT
from recurra.unroll import unroll

STEPS = 9

every_kind = pytest.mark.parametrize("kind", LAYERS)


def by_definition(learner: SequenceLearner, batch: Sequences, horizon: int) -> dict[str, Tensor]:
    """Each layer's derivatives by autograd over the layer alone, errors cut off after `horizon` later steps."""
    learner.zero_grad()
    cells = list(learner.layer.stack_cells())
    x = learner.below(batch.x)
    inputs, outputs = [], []
    below = x
    for cell in cells:
        inputs.append(x.detach().requires_grad_())
        x = unroll(cell, inputs[-1])[0]
        outputs.append(x)
    top = outputs[-1].detach().requires_grad_()
    loss = ((learner.out(top) - batch.y) ** 2).sum() / batch.weight
    loss.backward()
    error = top.grad
    for read, gave in zip(reversed(inputs), reversed(outputs), strict=True):
        weights = [p for p in learner.layer.parameters() if p.grad is None]
        for p, g in zip(weights, torch.autograd.grad(gave, weights, error, True, allow_unused=True), strict=True):
            p.grad = g
        handed = []
        for t in range(batch.steps):
            cut = torch.zeros_like(error)
            cut[t : t + horizon + 1] = error[t : t + horizon + 1]
            handed.append(torch.autograd.grad(gave, read, cut, retain_graph=True)[0][t])
        error = torch.stack(handed)
    if below.requires_grad:
        below.backward(error)
    return {name: p.grad.clone() for name, p in learner.named_parameters()}


@every_kind
@pytest.mark.parametrize("horizon", [0, 1, 4])
def test_the_gradient_is_the_one_of_its_definition(kind: str, horizon: int, double: None) -> None:
    learner = SequenceLearner(stack(kind, 3), below=nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
    batch = sequences(STEPS)
    loss, found = gradient_by(CRBP(horizon), learner, batch)
    assert_close(found, by_definition(learner, batch, horizon))
    torch.testing.assert_close(loss, learner(batch, 0, STEPS, None)[0].detach(), rtol=1e-12, atol=1e-14)


@every_kind
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("horizon", [STEPS - 1, STEPS, 10**6])
def test_a_horizon_over_the_whole_sequence_gives_bptts_gradient(
    kind: str, layers: int, horizon: int, double: None
) -> None:
    learner = SequenceLearner(stack(kind, layers), below=nn.Linear(2, 2))
    batch = sequences(STEPS)
    loss, found = gradient_by(CRBP(horizon), learner, batch)
    truth_loss, truth = gradient_by(BPTT(), learner, batch)
    assert_close(found, truth)
    assert float(loss) == pytest.approx(float(truth_loss), rel=1e-12)


def paper(cells: list[IIR], x: np.ndarray, error: np.ndarray, horizon: int) -> list[dict[str, np.ndarray]]:
    """The recursions of Campolucci et al. for IIR synapses and one sequence, index by index."""
    steps = len(x)
    layers = []
    for cell in cells:
        units, inputs, taps, order = cell.hidden_size, cell.input_size, cell.input_order, cell.feedback_order
        w = np.zeros((units, inputs, taps + 1))
        w[:, :, 0] = cell.weight_ih.detach().numpy()
        for d in range(taps):
            w[:, :, d + 1] = cell.weight_taps.detach().numpy()[:, d * inputs : (d + 1) * inputs]
        a = cell.weight_feedback.detach().numpy().reshape(order, units, inputs)
        v, y = np.zeros((steps, units, inputs)), np.zeros((steps, units))
        dw, da = np.zeros((steps, *w.shape)), np.zeros((steps, order, units, inputs))
        for t in range(steps):
            for n in range(units):
                for m in range(inputs):
                    v[t, n, m] = sum(w[n, m, d] * x[t - d, m] for d in range(taps + 1) if t >= d)
                    v[t, n, m] += sum(a[k - 1, n, m] * v[t - k, n, m] for k in range(1, order + 1) if t >= k)
                    for d in range(taps + 1):
                        dw[t, n, m, d] = x[t - d, m] if t >= d else 0.0
                        for r in range(1, min(order, t) + 1):
                            dw[t, n, m, d] += a[r - 1, n, m] * dw[t - r, n, m, d]
                    for k in range(1, order + 1):
                        da[t, k - 1, n, m] = v[t - k, n, m] if t >= k else 0.0
                        for r in range(1, min(order, t) + 1):
                            da[t, k - 1, n, m] += a[r - 1, n, m] * da[t - r, k - 1, n, m]
                y[t, n] = np.tanh(v[t, n].sum() + cell.bias_ih.detach().numpy()[n])
        layers.append((w, a, y, dw, da))
        x = y
    found = []
    for w, a, y, dw, da in reversed(layers):
        delta = error * (1 - y**2)
        gradient = {
            "weight_ih": np.einsum("tn,tnm->nm", delta, dw[..., 0]),
            "weight_taps": np.concatenate(
                [np.einsum("tn,tnm->nm", delta, dw[..., d]) for d in range(1, w.shape[2])], axis=1
            ),
            "weight_feedback": np.einsum("tn,tknm->knm", delta, da).reshape(-1),
            "bias_ih": delta.sum(0),
        }
        found.append(gradient)
        below = np.zeros((steps, w.shape[1]))
        h = np.zeros((horizon + 1, *w.shape[:2]))  # dv(t + p)/dx(t)
        for p in range(horizon + 1):
            h[p] = w[:, :, p] if p < w.shape[2] else 0.0
            h[p] += sum(a[r - 1] * h[p - r] for r in range(1, len(a) + 1) if r <= p)
        for t in range(steps):
            for p in range(horizon + 1):
                if t + p < steps:
                    below[t] += delta[t + p] @ h[p]
        error = below
    return found[::-1]


@pytest.mark.parametrize("horizon", [0, 2, 5])
def test_the_papers_recursions(horizon: int, double: None) -> None:
    layer = stack("iir", 2)
    learner = SequenceLearner(layer)
    batch = sequences(STEPS, size=1)
    _, found = gradient_by(CRBP(horizon), learner, batch)
    h = layer(batch.x)[0].detach().requires_grad_()
    (((learner.out(h) - batch.y) ** 2).sum() / batch.weight).backward()
    truth = paper(list(layer.stack_cells()), batch.x[:, 0].numpy(), h.grad[:, 0].numpy(), horizon)
    for index, layers_own in enumerate(truth):
        for name, expected in layers_own.items():
            np.testing.assert_allclose(found[f"layer.cells.{index}.{name}"].numpy(), expected, rtol=1e-10, atol=1e-13)


def test_back_propagation_is_the_case_without_memory(double: None) -> None:
    layer = stack("iir", 2)
    with torch.no_grad():
        for cell in layer.stack_cells():
            cell.weight_taps.zero_()
            cell.weight_feedback.zero_()
    learner = SequenceLearner(layer)
    batch = sequences(STEPS)
    _, found = gradient_by(CRBP(0), learner, batch)
    first, second = layer.stack_cells()
    w1, b1 = first.weight_ih.detach().requires_grad_(), first.bias_ih.detach().requires_grad_()
    w2, b2 = second.weight_ih.detach().requires_grad_(), second.bias_ih.detach().requires_grad_()
    h = torch.tanh(torch.tanh(batch.x @ w1.T + b1) @ w2.T + b2)
    (((learner.out(h) - batch.y) ** 2).sum() / batch.weight).backward()
    for name, leaf in {"0.weight_ih": w1, "0.bias_ih": b1, "1.weight_ih": w2, "1.bias_ih": b2}.items():
        torch.testing.assert_close(found["layer.cells." + name], leaf.grad, rtol=1e-10, atol=1e-13)


def test_temporal_back_propagation_is_the_case_of_fir_synapses_and_exact(double: None) -> None:
    learner = SequenceLearner(stack("fir", 3))
    batch = sequences(STEPS)
    truth = gradient_by(BPTT(), learner, batch)[1]
    assert_close(gradient_by(CRBP(3), learner, batch)[1], truth)  # the order of the synapses
    assert far_apart(gradient_by(CRBP(2), learner, batch)[1], truth) > 1e-4


@every_kind
def test_back_propagation_for_sequences_is_the_case_of_one_layer_with_memory_and_exact(kind: str, double: None) -> None:
    learner = SequenceLearner(stack(kind, 1))
    batch = sequences(STEPS)
    rule = CRBP(0)
    truth = gradient_by(BPTT(), learner, batch)[1]
    assert_close(gradient_by(rule, learner, batch)[1], truth)
    learner.zero_grad()
    memory = rule.step(learner, batch, rule.init(learner))[1]
    assert_close({n: p.grad for n, p in learner.named_parameters()}, truth)  # nothing waits for `flush`
    assert not memory.moments
    if kind != "fir":
        assert far_apart(gradient_by(TBPTT(1, 3), learner, batch)[1], truth) > 1e-5  # truncated BPTT is not a case


def test_back_and_tsois_rule_sends_errors_through_the_instantaneous_coefficients_alone(double: None) -> None:
    layer = stack("iir", 2)
    learner = SequenceLearner(layer)
    batch = sequences(STEPS)
    _, found = gradient_by(CRBP(0), learner, batch)
    first, second = layer.stack_cells()
    with torch.no_grad():
        before = unroll(first, batch.x)[0]
    top = unroll(second, before)[0].detach().requires_grad_()
    (((learner.out(top) - batch.y) ** 2).sum() / batch.weight).backward()
    error = (top.grad * (1 - top.detach() ** 2)) @ second.weight_ih.detach()
    x = unroll(first, batch.x)[0]
    truth = torch.autograd.grad(x, list(first.parameters()), error)
    for (name, _), expected in zip(first.named_parameters(), truth, strict=True):
        torch.testing.assert_close(found[f"layer.cells.0.{name}"], expected, rtol=1e-10, atol=1e-13)
    assert far_apart(found, gradient_by(BPTT(), learner, batch)[1]) > 1e-4


@pytest.mark.parametrize("kind", ["fir", "iir", "output"])
@pytest.mark.parametrize("horizon", [0, 2, 20])
def test_windows_of_a_stream_give_what_the_whole_gives(kind: str, horizon: int, double: None) -> None:
    learner = SequenceLearner(stack(kind, 2))
    whole = sequences(12)
    windows = [whole.part(0, 5), whole.part(5, 6), whole.part(6, 12)]
    loss, found = gradient_by(CRBP(horizon), learner, *windows)
    truth_loss, truth = gradient_by(CRBP(horizon), learner, whole)
    assert_close(found, truth)
    assert float(loss) == pytest.approx(float(truth_loss), rel=1e-12)
    if horizon == 20:
        assert_close(found, gradient_by(BPTT(), learner, whole)[1])


def test_a_stream_goes_on_after_flush(double: None) -> None:
    """What is inside the synapses is carried on; only errors from later windows no longer reach earlier ones."""
    whole = sequences(12)
    windows = [whole.part(0, 5), whole.part(5, 6), whole.part(6, 12)]
    for layers, horizon, truth_rule in ((1, 5, BPTT()), (2, 0, CRBP(0))):
        learner = SequenceLearner(stack("output", layers))
        truth = gradient_by(truth_rule, learner, whole)[1]
        rule = CRBP(horizon)
        learner.zero_grad()
        memory = rule.init(learner)
        for window in windows:
            memory = rule.flush(learner, rule.step(learner, window, memory)[1])
            assert not memory.moments
        assert_close({name: weight.grad for name, weight in learner.named_parameters()}, truth)


def test_a_layer_is_served_when_its_errors_have_arrived(double: None) -> None:
    """Three layers and Q = 2: after step t the top one has had step t, the lowest one step t - 4."""
    learner = SequenceLearner(stack("iir", 3))
    whole, rule = sequences(10), CRBP(2)
    memory = rule.init(learner)
    for t in range(10):
        _, memory = rule.step(learner, whole.part(t, t + 1), memory)
        served = [learner.layer.cells[k].bias_ih.grad is not None for k in range(3)]
        assert served == [t >= 4, t >= 2, True]
        assert memory.done == [max(0, t + 1 - 4), max(0, t + 1 - 2), t + 1]
        assert len(memory.moments) <= 3 * 2  # flat in time
    rule.flush(learner, memory)
    assert memory.done == [10, 10, 10]
    assert not memory.moments


@every_kind
def test_sequences_of_different_lengths(kind: str, double: None) -> None:
    learner = SequenceLearner(stack(kind, 2))
    batch = sequences(STEPS, size=4, lengths=torch.tensor([9, 4, 0, 7]))
    assert_close(gradient_by(CRBP(STEPS), learner, batch)[1], gradient_by(BPTT(), learner, batch)[1])
    alone = Sequences(batch.x[:4, 1:2], batch.y[:4, 1:2], batch.weight)
    only = Sequences(batch.x, batch.y, batch.weight, torch.tensor([0, 4, 0, 0]))
    assert_close(gradient_by(CRBP(1), learner, only)[1], gradient_by(CRBP(1), learner, alone)[1])


def test_layers_between_the_cells_are_served_too(double: None) -> None:
    learner = SequenceLearner(stack("output", 3, connection="highway", layer_norm=True))
    batch = sequences(STEPS)
    found, truth = gradient_by(CRBP(STEPS), learner, batch)[1], gradient_by(BPTT(), learner, batch)[1]
    assert_close(found, truth)
    assert all(bool(part.any()) for part in found.values())


def test_weights_that_are_not_learned_get_no_gradient(double: None) -> None:
    learner = SequenceLearner(stack("iir", 2))
    learner.layer.cells[0].weight_feedback.requires_grad_(False)
    batch = sequences(STEPS)
    assert_close(gradient_by(CRBP(STEPS), learner, batch)[1], gradient_by(BPTT(), learner, batch)[1])
    assert learner.layer.cells[0].weight_feedback.grad is None


def test_the_cells_are_as_before_afterwards(double: None) -> None:
    learner = SequenceLearner(stack("fir", 2))
    batch = sequences(3)
    gradient_by(CRBP(1), learner, batch)
    assert all({"advance", "project", "linear"}.isdisjoint(vars(cell)) for cell in learner.layer.cells)
    learner.out = nn.Linear(5, 1)  # does not fit: the learner fails in the middle of a step
    with pytest.raises(RuntimeError):
        gradient_by(CRBP(1), learner, batch)
    assert all({"advance", "project", "linear"}.isdisjoint(vars(cell)) for cell in learner.layer.cells)


def test_reset_forgets_the_stream_and_empty_batches_change_nothing(double: None) -> None:
    learner, rule = SequenceLearner(stack("iir", 2)), CRBP(1)
    first, second = sequences(5), sequences(7, size=2)
    alone = gradient_by(rule, learner, second)[1]
    memory = rule.flush(learner, rule.step(learner, first, rule.init(learner))[1])
    learner.zero_grad()
    rule.flush(learner, rule.step(learner, second, rule.reset(memory))[1])
    assert_close({n: p.grad for n, p in learner.named_parameters()}, alone)
    loss, found = gradient_by(rule, learner, sequences(0))
    assert float(loss) == 0 and not any(bool(part.any()) for part in found.values())
