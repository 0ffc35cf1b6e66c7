"""A network with an objective as a learner: spans add up, gradient rules take it, what cannot be cut refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from recurra.errors import UsageError
from recurra.learn.objectives import CTC, MSE, CrossEntropy, ObjectiveLearner, SequenceBatch
from recurra.learn.rules import BPTT, TBPTT
from recurra.nn import GRU

NAN = float("nan")


def learner_and_batch(objective: Any, **parts: Any) -> tuple[ObjectiveLearner, SequenceBatch]:
    torch.manual_seed(0)
    learner = ObjectiveLearner(GRU(2, 5), objective, nn.Linear(5, 3)).double()
    return learner, SequenceBatch(torch.randn(9, 4, 2, dtype=torch.float64), **parts)


@pytest.mark.parametrize("form", ["step", "sequence", "end"])
@pytest.mark.parametrize("lengths", [None, [9, 4, 0, 7]])
def test_a_learner_gives_rules_spans_that_add_up(form: str, lengths: list[int] | None) -> None:
    target = torch.randn(9, 4, 3, dtype=torch.float64)
    target[::2, 1] = NAN
    learner, batch = learner_and_batch(
        MSE(form), target=target, lengths=None if lengths is None else torch.tensor(lengths)
    )
    gradients = []
    for rule in (BPTT(), TBPTT(2, 10), TBPTT(1, 9)):
        assert rule.supports(learner) is None
        learner.zero_grad()
        loss, _ = rule.step(learner, batch, rule.init(learner))
        gradients.append((loss, *(weight.grad.clone() for weight in learner.parameters())))
    for other in gradients[1:]:
        for mine, wanted in zip(other, gradients[0], strict=True):
            torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-13)
    assert all(bool((part != 0).any()) for part in gradients[0])


def test_a_learner_with_targets_of_whole_sequences() -> None:
    learner, batch = learner_and_batch(
        CrossEntropy("end"), target=torch.tensor([0, 2, 1, 1]), target_in_time=False, weights=torch.rand(4)
    )
    whole, _ = learner(batch, 0, 9, None)
    first, state = learner(batch, 0, 5, None)
    rest, _ = learner(batch, 5, 9, state)
    assert first == 0
    torch.testing.assert_close(rest, whole)
    assert batch.to(torch.device("cpu")).steps == 9 and batch.size == 4


def test_ctc_refuses_to_be_cut() -> None:
    learner, batch = learner_and_batch(CTC(), target=[[1, 2], [1], [], [2, 2]], target_in_time=False)
    assert TBPTT(3).supports(learner) == (
        "tbptt cuts sequences in time, but CTC sums over paths through the whole sequence, which no window holds; "
        "use the rule bptt instead"
    )
    loss, _ = BPTT().step(learner, batch, None)
    assert loss.isfinite() and bool((learner.read_out.weight.grad != 0).all())
    with pytest.raises(UsageError) as caught:
        learner(batch, 0, 3, None)
    assert str(caught.value) == (
        "steps 0 to 3 of 9 were asked for: CTC sums over paths through the whole sequence, which no window holds. "
        "Needed: all steps at once."
    )


def test_a_network_in_both_directions_is_not_streamed() -> None:
    learner = ObjectiveLearner(GRU(2, 5, bidirectional=True), MSE(), nn.Linear(10, 3))
    assert learner.why_not_streamed() == "the network reads sequences in both directions"
