"""What causal recursive back-propagation does not serve, and what it says then."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from crbp_layers import LAYERS, stack
from sequence_learner import SequenceLearner, Sequences, gradient_by, sequences
from torch import Tensor, nn

from recurra.cells import IIR
from recurra.errors import UsageError
from recurra.learn.rules.crbp import CRBP
from recurra.nn import Recurrent


class Derived(IIR):
    """A class derived from a cell may compute something else."""


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (lambda: Recurrent("gru", 2, 4), ["FIR, IIR, LocalFeedback", "this network has GRU", "use the rule bptt"]),
        (lambda: Recurrent(Derived, 2, 4), ["this network has Derived"]),
        (lambda: nn.Identity(), ["this network has no cell"]),
        (lambda: Recurrent("iir", 2, 4, bidirectional=True), ["both directions", "use the rule bptt"]),
        (lambda: Recurrent("iir", 2, 4, recurrent_dropout=0.1), ["recurrent dropout"]),
        (lambda: Recurrent("iir", 2, 4, zoneout=0.1), ["zoneout"]),
        (lambda: Recurrent("iir", 2, 4, learn_initial_state=True), ["initial state is learned"]),
        (lambda: Recurrent("iir", 2, 4, checkpoint=True), ["checkpoint=False"]),
        (lambda: torch.nn.GRU(2, 4), ["this network has GRU"]),
    ],
)
def test_what_it_refuses(layer: Any, words: list[str]) -> None:
    made = layer()
    learner = SequenceLearner(stack("iir", 1))
    learner.layer = made
    reason = CRBP(3).supports(learner)
    assert reason is not None
    for word in words:
        assert word in reason
    with pytest.raises(UsageError):
        CRBP(3).step(learner, sequences(2), CRBP(3).init(learner))


def test_it_supports_the_layers_it_serves() -> None:
    for kind in LAYERS:
        assert CRBP(3).supports(SequenceLearner(stack(kind, 2, dropout=0.1))) is None


class WithMore(SequenceLearner):
    """Carries a moving average of its own, or begins its sequences anew, or runs a cell twice."""

    def __init__(self, layer: nn.Module, fault: str):
        super().__init__(layer)
        self.fault = fault

    def forward(self, batch: Sequences, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        mean, state = (0.0, None) if state is None else state
        reset = torch.full((stop - start, batch.size), start == 3) if self.fault == "reset" else None
        h, state = self.layer(batch.x[start:stop], state, reset=reset)
        if self.fault == "twice":
            h, state = self.layer(batch.x[start:stop], state)
        mean = 0.5 * mean + h.mean() if self.fault == "average" else 0.0
        return ((self.out(h + mean) - batch.y[start:stop]) ** 2).sum(), (mean, state)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("average", ["carries more from step to step than the states of its cells", "bptt"]),
        ("reset", ["was changed between two steps", "without a gap"]),
        ("twice", ["IIR is run twice in one step"]),
    ],
)
def test_learners_whose_gradient_would_be_wrong(fault: str, words: list[str], double: None) -> None:
    learner = WithMore(stack("iir", 2), fault)
    with pytest.raises(UsageError) as caught:
        gradient_by(CRBP(2), learner, sequences(6))
    for word in words:
        assert word in str(caught.value)


def test_a_stream_keeps_its_size_and_its_weights_until_flush(double: None) -> None:
    learner, rule = SequenceLearner(stack("iir", 2), below=nn.Linear(2, 2)), CRBP(2)
    memory = rule.step(learner, sequences(5), rule.init(learner))[1]
    with pytest.raises(UsageError, match="has 4 sequences, and the stream that is carried on has 3"):
        rule.step(learner, sequences(5, size=4), memory)
    learner = SequenceLearner(stack("output", 3, connection="highway"))
    memory = rule.step(learner, sequences(5), rule.init(learner))[1]
    with torch.no_grad():
        for weight in learner.parameters():
            weight.add_(0.01)
    with pytest.raises(UsageError, match="weights were changed while errors were still on their way back"):
        rule.flush(learner, memory)


@pytest.mark.parametrize("horizon", [-1, 1.5, True, None])
def test_bad_horizons(horizon: Any) -> None:
    with pytest.raises(UsageError, match="horizon is .*Needed: a whole number of steps, at least 0"):
        CRBP(horizon)


def test_cost_grows_with_the_horizon() -> None:
    assert CRBP(9).cost(8, 100, 50).time == 1000.0
    assert CRBP(99).cost(8, 100, 50).memory == 5000.0
    assert not CRBP(0).exact and not CRBP(0).unbiased and CRBP(0).online
