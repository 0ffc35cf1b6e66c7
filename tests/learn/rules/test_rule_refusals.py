"""What online rules refuse, and what they say; and the report that compares a rule with the truth."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import pytest
import torch
from streams import Network, Window, by_rule, stream
from torch import Tensor, nn

from recurra.errors import ShapeError, UsageError
from recurra.learn.rules import (
    BPTT,
    KFRTRL,
    RFLO,
    RTRL,
    RULES,
    TBPTT,
    UORO,
    BlockRTRL,
    EProp,
    SnAp,
    TruncatedRTRL,
    check_rule,
    make_rule,
)
from recurra.learn.rules.step_function import StepFunction


@pytest.mark.parametrize(
    ("rule", "learner", "words"),
    [
        (RFLO(), lambda: Network("elman"), ["rflo needs one leaky cell", "has Elman", "use the rule snap(1)"]),
        (RFLO(), lambda: Network("leaky", layers=2), ["has LeakyRNN, LeakyRNN"]),
        (RFLO(), lambda: nn.Linear(2, 2), ["has no cell"]),
        (EProp(), lambda: Network("lstm", layers=2), ["one cell, and this one has 2", "snap(1) or rtrl"]),
        (TruncatedRTRL(), lambda: Network("gru"), ["of the LSTM family", "has GRU", "use the rule eprop"]),
        (TruncatedRTRL(), lambda: nn.Linear(2, 2), ["has no cell"]),
    ],
    ids=lambda value: "network" if isinstance(value, FunctionType) else repr(value),
)
def test_networks_refused(rule: Any, learner: Any, words: list[str]) -> None:
    reason = rule.supports(learner())
    assert reason is not None
    for word in words:
        assert word in reason


@pytest.mark.parametrize("rule", [RTRL(1), BlockRTRL(max_megabytes=1)], ids=repr)
def test_memory_is_refused_before_it_is_taken(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Network("gru", hidden=30)
    monkeypatch.setattr("recurra.learn.rules.step_function.Step.derivatives", lambda self: pytest.fail("taken"))
    with pytest.raises(UsageError) as caught:
        by_rule(rule, learner, stream(3))
    count = sum(weight.numel() for weight in learner.layer.parameters())
    for word in (f"n p = 30 x {count}", "each of 2 sequences", "max_megabytes = 1", "snap(1)", "blockrtrl", "1 MB"):
        assert word in str(caught.value)


def test_memory_of_kept_entries_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """SnAp that reaches everything, and element-wise cells under a read-in that all units hear."""
    text = message(SnAp(9, max_megabytes=1), Network("gru", hidden=30), stream(3))
    assert "entries to keep for each of 2 sequences" in text and "max_megabytes = 1" in text and "snap(1)" in text
    assert "rule rtrl" in message(RTRL(1), Network("indrnn", features=600, hidden=200), stream(3, features=600))


def message(rule: Any, learner: nn.Module, windows: list[Window]) -> str:
    with pytest.raises(UsageError) as caught:
        by_rule(rule, learner, windows)
    return str(caught.value)


class Normed(nn.Module):
    """A network whose sequences act on one another."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, batch: Window, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        h = torch.zeros(batch.size, 3) if state is None else state
        for t in range(start, stop):
            h = torch.tanh(self.norm(self.a(batch.x[t]) + self.b(h)))
        return h.square().sum() / batch.weight, h


@pytest.mark.parametrize("rule", [RTRL(), BlockRTRL(2), SnAp(1), UORO()], ids=repr)
def test_sequences_that_act_on_one_another_are_refused(rule: Any) -> None:
    text = message(rule, Normed(), stream(4, size=4))
    assert "act on one another" in text and "use the rule bptt" in text


def test_weights_without_effect_under_the_cut_are_refused() -> None:
    text = message(EProp(), Network("gru", reset_after=False), stream(4, 4))
    assert "layer.cells.0.weight_ih act through recurrent products alone" in text
    assert "would get no gradient" in text and "snap(1) or rtrl" in text
    assert EProp().supports(Network("gru")) is None


def test_nothing_to_cut_is_refused() -> None:
    text = message(EProp(), Network("elman", recurrent_dropout=0.5), stream(3, 3))
    assert "recurrent dropout stands there" in text and "recurrent_dropout=0" in text


def test_weights_that_are_not_in_products_are_refused() -> None:
    text = message(KFRTRL(), Network("orthogonal"), stream(3, 3))
    assert "weight_skew otherwise than through a product W z" in text and "use the rule rtrl" in text


class TwoReadOuts(Network):
    def __init__(self, count: int) -> None:
        super().__init__("elman")
        self.more = nn.ModuleList(nn.Linear(4, 2) for _ in range(count - 1))
        self.count = count

    def forward(self, batch: Window, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        y, state = self.layer(batch.x[start:stop], state)
        read = [self.out, *self.more][: self.count]
        return (sum(part(y).square().sum() for part in read) if read else y.square().sum()) / batch.weight, state


def test_random_feedback_needs_one_read_out() -> None:
    windows = stream(3, 3)
    assert "both more.0.weight" in (text := message(EProp("random"), TwoReadOuts(2), windows)) or "out.weight" in text
    assert "one linear read-out" in text and "feedback='symmetric'" in text
    assert "no linear read-out follows the cell" in message(EProp("random"), TwoReadOuts(0), windows)


def test_another_batch_size_needs_a_reset() -> None:
    text = message(RTRL(), Network("elman"), stream(3) + stream(3, size=5))
    assert "the stream has 2 sequences and this batch 5" in text and "rule.reset(memory)" in text


def test_a_state_without_the_batch_in_front_is_refused() -> None:
    class Odd(nn.Linear):
        def forward(self, batch: Any, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:  # type: ignore[override]
            h = torch.zeros(1, batch.size, 2) if state is None else state
            return h.sum(), torch.tanh(super().forward(h))

    with pytest.raises(ShapeError) as caught:
        by_rule(RTRL(), Odd(2, 2), stream(3))
    assert "(1, 2, 2)" in str(caught.value) and "the batch of 2 as the first dimension" in str(caught.value)


def test_the_step_function_is_pure() -> None:
    learner, (window,) = Network("gru"), stream(4)
    step = StepFunction(learner, window)
    weights = tuple(torch.zeros_like(weight) for weight in step.weights)
    loss, state = step(weights, None, 0, 4)
    assert not state[0].h.any() and learner.out.bias.grad is None
    torch.testing.assert_close(loss, window.y.square().sum() / window.weight)
    by_jvp = torch.func.jvp(lambda w: step(w, None, 0, 4)[0], (tuple(w.detach() for w in step.weights),), (weights,))[1]
    assert float(by_jvp) == 0.0


def test_the_table_says_what_is_local() -> None:
    words = {name: row.locality for name, row in RULES.items()}
    assert words["bptt"] == "local in space"
    assert words["rtrl"] == words["uoro"] == words["kfrtrl"] == "local in time"
    assert words["rflo"] == words["eprop"] == words["truncatedrtrl"] == "local in space and time"


def test_names_with_a_number() -> None:
    assert repr(make_rule("snap1")) == "SnAp(1)"
    assert repr(make_rule("eprop(feedback=random)")) == "EProp(feedback='random')"
    assert repr(make_rule("blockrtrl(block=auto)")) == "BlockRTRL()"


def test_check_rule_of_exact_and_other_rules() -> None:
    learner, windows = Network("elman"), stream(4, 4, 2)
    learner.out.weight.grad = torch.ones_like(learner.out.weight)
    found = check_rule(RTRL(), learner, windows)
    assert [row.steps for row in found.windows] == [4, 4, 2] and found.total.steps == 10
    assert max(row.bias for row in found.windows) < 1e-10 and found.total.cosine > 1 - 1e-10
    assert bool((learner.out.weight.grad == 1).all()) and learner.out.bias.grad is None
    snap = check_rule(SnAp(1), learner, windows)
    assert 1e-3 < snap.total.bias < 1 and 0.5 < snap.total.cosine < 1 and snap.total.variance == 0
    drawn = check_rule(UORO(), learner, windows, repeats=20)
    assert drawn.total.variance > 1e-2 and drawn.repeats == 20
    assert drawn.total.bias < 3 * (drawn.total.variance / 20) ** 0.5
    assert check_rule(BPTT(), learner, windows).total.bias < 1e-12
    assert check_rule(TBPTT(2), learner, windows).total.bias > 1e-3
    text = str(snap)
    assert text.startswith("SnAp(1) beside back-propagation through time, 1 draw(s)")
    assert len(text.splitlines()) == 6 and "cosine" in text and snap.rows()[1]["window"] == 1


def test_check_rule_sees_a_gradient_that_is_zero_by_mistake() -> None:
    class Forgetful(RTRL):
        def step(self, learner: Any, batch: Any, memory: Any) -> Any:
            done = super().step(learner, batch, memory)
            learner.out.weight.grad = None
            return done

    found = check_rule(Forgetful(), Network("elman"), stream(3, 3))
    assert found.total.zero == ("out.weight",) and "out.weight" in str(found)


def test_check_rule_refuses() -> None:
    with pytest.raises(UsageError, match="there are 0 windows"):
        check_rule(RTRL(), Network("elman"), [])
    with pytest.raises(UsageError, match="cannot serve this network: rflo needs"):
        check_rule(RFLO(), Network("elman"), stream(3))
