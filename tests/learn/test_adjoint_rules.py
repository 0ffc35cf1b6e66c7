"""The gradient rules that run the adjoint signal-flow graph of a learner."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sequence_learner import SequenceLearner, assert_close, far_apart, gradient_by, sequences
from torch import nn

from recurra.errors import UsageError
from recurra.learn.rules.bptt import BPTT
from recurra.learn.rules.tbptt import TBPTT
from recurra.learn.signal_flow import Adjoint, OnlineAdjoint
from recurra.nn import GRU, Recurrent

pytestmark = pytest.mark.slow  # the graph of every step is taken anew

LAYERS: dict[str, Any] = {
    "elman": lambda: Recurrent("elman", 2, 4),
    "two gru": lambda: Recurrent("gru", 2, 4, 2, connection="residual", layer_norm=True),
    "gru with torch's names": lambda: GRU(2, 4),
    "linear, with a scan": lambda: Recurrent("min_gru", 2, 4),
    "comparisons": lambda: Recurrent("phased_lstm", 2, 4),
    "iir": lambda: Recurrent("iir", 2, 4, 2),
    "lstm, learned start": lambda: Recurrent("lstm", 2, 4, learn_initial_state=True),
    "ctrnn": lambda: Recurrent("ctrnn", 2, 4, substeps=2),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_the_batch_form_is_bptt(kind: str, double: None) -> None:
    learner, batch = SequenceLearner(LAYERS[kind](), below=nn.Linear(2, 2)), sequences(3)
    loss, found = gradient_by(Adjoint(), learner, batch)
    truth_loss, truth = gradient_by(BPTT(), learner, batch)
    assert_close(found, truth)
    assert float(loss) == pytest.approx(float(truth_loss), rel=1e-12)


@pytest.mark.parametrize("kind", ["elman", "iir"])
@pytest.mark.parametrize("horizon", [0, 2, 6])
def test_the_on_line_form_reaches_back_horizon_steps(kind: str, horizon: int, double: None) -> None:
    learner, batch = SequenceLearner(LAYERS[kind]()), sequences(6)
    _, found = gradient_by(OnlineAdjoint(horizon), learner, batch)
    assert_close(found, gradient_by(TBPTT(1, horizon + 1), learner, batch)[1])
    truth = gradient_by(BPTT(), learner, batch)[1]
    if horizon == 6:
        assert_close(found, truth)
    else:
        assert far_apart(found, truth) > 1e-4


@pytest.mark.parametrize("horizon", [2, 20])
def test_windows_of_a_stream_give_what_the_whole_gives(horizon: int, double: None) -> None:
    learner, whole = SequenceLearner(LAYERS["elman"]()), sequences(6)
    windows = [whole.part(0, 3), whole.part(3, 4), whole.part(4, 6)]
    _, found = gradient_by(OnlineAdjoint(horizon), learner, *windows)
    assert_close(found, gradient_by(OnlineAdjoint(horizon), learner, whole)[1])
    if horizon == 20:
        assert_close(found, gradient_by(BPTT(), learner, whole)[1])


def test_a_step_is_served_horizon_steps_late(double: None) -> None:
    learner, whole, rule = SequenceLearner(LAYERS["elman"]()), sequences(6), OnlineAdjoint(2)
    memory = rule.init(learner)
    for t in range(6):
        _, memory = rule.step(learner, whole.part(t, t + 1), memory)
        assert (learner.out[0].weight.grad is not None) == (t >= 2)
        assert len(memory.window) == min(t + 1, 2)  # flat in time
    assert not rule.flush(learner, memory).window


def test_sequences_of_different_lengths(double: None) -> None:
    learner = SequenceLearner(LAYERS["elman"]())
    batch = sequences(4, size=3, lengths=torch.tensor([4, 1, 2]))
    assert_close(gradient_by(Adjoint(), learner, batch)[1], gradient_by(BPTT(), learner, batch)[1])


def test_weights_that_are_not_learned_get_no_gradient(double: None) -> None:
    learner, batch = SequenceLearner(LAYERS["elman"]()), sequences(3)
    learner.layer.cells[0].weight_hh.requires_grad_(False)
    assert_close(gradient_by(Adjoint(), learner, batch)[1], gradient_by(BPTT(), learner, batch)[1])
    assert learner.layer.cells[0].weight_hh.grad is None


def test_single_precision_and_empty_batches() -> None:
    torch.manual_seed(0)
    learner, batch = SequenceLearner(LAYERS["elman"]()), sequences(3)
    assert_close(gradient_by(Adjoint(), learner, batch)[1], gradient_by(BPTT(), learner, batch)[1], 1e-4)
    for rule in (Adjoint(), OnlineAdjoint(1)):
        loss, found = gradient_by(rule, learner, sequences(0))
        assert float(loss) == 0 and not any(bool(part.any()) for part in found.values())


def test_what_dropout_draws_is_a_constant_of_its_step(double: None) -> None:
    """Back-propagation by autograd through the same steps, which draw the same numbers."""
    learner, batch = SequenceLearner(Recurrent("elman", 2, 4, 2, dropout=0.5)), sequences(4)
    torch.manual_seed(8)
    loss, found = gradient_by(Adjoint(), learner, batch)
    torch.manual_seed(8)
    learner.zero_grad()
    state, losses = None, []
    for t in range(4):
        part, state = learner(batch, t, t + 1, state)
        losses.append(part)
    whole = torch.stack(losses).sum()
    whole.backward()
    assert float(loss) == pytest.approx(float(whole.detach()), rel=1e-12)
    assert_close(found, {name: weight.grad for name, weight in learner.named_parameters()})
    assert far_apart(found, gradient_by(Adjoint(), learner, batch)[1]) > 1e-3, "other draws, another gradient"


class Sampled(nn.Module):
    """Draws from chances that follow from weights."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.bernoulli(torch.sigmoid(self.below(x)))


def test_draws_that_hang_on_weights_are_refused(double: None) -> None:
    learner = SequenceLearner(LAYERS["elman"](), below=Sampled())
    with pytest.raises(UsageError, match="draws random numbers"):
        gradient_by(Adjoint(), learner, sequences(2))


def test_refusals(double: None) -> None:
    both = SequenceLearner(Recurrent("elman", 2, 4, bidirectional=True))
    for rule in (Adjoint(), OnlineAdjoint(1)):
        reason = rule.supports(both)
        assert reason is not None and "both directions" in reason and "use the rule bptt" in reason
    noisy = SequenceLearner(Recurrent("elman", 2, 4, recurrent_dropout=0.5))
    with pytest.raises(UsageError, match="draws random numbers"):
        gradient_by(Adjoint(), noisy, sequences(2))
    noisy.eval()
    assert_close(gradient_by(Adjoint(), noisy, sequences(0))[1], gradient_by(BPTT(), noisy, sequences(0))[1])
    layer: Any = torch.nn.LSTM(2, 4)
    layer.output_size = 4
    with pytest.raises(UsageError, match="in place.*the layers of recurra.nn with the same names"):
        gradient_by(Adjoint(), SequenceLearner(layer), sequences(2))
    learner, rule = SequenceLearner(LAYERS["elman"]()), OnlineAdjoint(1)
    memory = rule.step(learner, sequences(2), rule.init(learner))[1]
    with pytest.raises(UsageError, match="has 5 sequences, and the stream that is carried on has 3"):
        rule.step(learner, sequences(2, size=5), memory)
    for horizon in (-1, None, 0.5, True):
        with pytest.raises(UsageError, match="horizon is .*Needed: a whole number of steps"):
            OnlineAdjoint(horizon)
