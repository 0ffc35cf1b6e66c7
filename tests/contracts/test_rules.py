"""Generic tests of gradient rules, over the table in rules.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from rules import CASES, RuleCase
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.rules.bptt import BPTT
from recurra.learn.rules.registry import RULES, make_rule
from recurra.learn.rules.state_tree import cut_from_graph, map_tensors, tensors_of
from recurra.learn.rules.tbptt import TBPTT
from recurra.nn import Recurrent
from recurra.types import GradientRule

STEPS = 11


@dataclass(frozen=True)
class Sequences:
    x: Tensor  # (time, batch, features)
    y: Tensor  # (time, batch)

    @property
    def steps(self) -> int:
        return self.x.shape[0]

    @property
    def size(self) -> int:
        return self.x.shape[1]

    def to(self, device: Any) -> Sequences:
        return self


class Pair(NamedTuple):
    hidden: Tensor
    memory: Tensor


@dataclass(frozen=True)
class Box:
    slow: list[Tensor]


class TwoLevels(nn.Module):
    """A network whose state is of every kind: NamedTuple, dict, dataclass, list, whole numbers, None."""

    def __init__(self, both_ways: bool = False, only_last: bool = False):
        super().__init__()
        self.start = nn.Parameter(torch.randn(4) * 0.3)
        self.a = nn.Linear(3 + 4, 4)
        self.b = nn.Linear(4 + 4, 4)
        self.out = nn.Linear(8, 1)
        self.both_ways, self.only_last = both_ways, only_last
        self.spans: list[tuple[int, int]] = []

    def forward(self, batch: Sequences, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        self.spans.append((start, stop))
        if state is None:
            first = self.start.expand(batch.size, 4)
            state = (
                Pair(first, first * 0),
                {"slow": Box([first * 0]), "read": torch.zeros(2, dtype=torch.int64)},
                None,
            )
        pair, rest, nothing = state
        h, c, s, loss = pair.hidden, pair.memory, rest["slow"].slow[0], batch.x.new_zeros(())
        for t in range(start, stop):
            h = torch.tanh(self.a(torch.cat([batch.x[t], h], -1)))
            c = 0.7 * c + 0.3 * h
            s = torch.tanh(self.b(torch.cat([c, s], -1)))
            if not self.only_last or t == batch.steps - 1:
                error = self.out(torch.cat([h, s], -1)).squeeze(-1) - batch.y[t]
                loss = loss + (error**2).sum() / (batch.steps * batch.size)
        return loss, (Pair(h, c), {"slow": Box([s]), "read": rest["read"] + stop - start}, nothing)

    def why_not_streamed(self) -> str | None:
        return "this network reads sequences in both directions" if self.both_ways else None


class WithCell(nn.Module):
    """One registered cell, or a stack of such, and a read-out."""

    def __init__(self, cell: str, layers: int, both_ways: bool = False, only_last: bool = False):
        super().__init__()
        self.layer = Recurrent(cell, 3, 4, layers)
        self.out = nn.Linear(self.layer.output_size, 1)
        self.both_ways, self.only_last = both_ways, only_last
        self.spans: list[tuple[int, int]] = []

    def forward(self, batch: Sequences, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        self.spans.append((start, stop))
        y, state = self.layer(batch.x[start:stop], state)
        if self.only_last:
            y = y[-1:] if stop == batch.steps else y[:0]
            start = stop - len(y)
        error = self.out(y).squeeze(-1) - batch.y[start:stop]
        return (error**2).sum() / max(1, batch.steps * batch.size), state

    why_not_streamed = TwoLevels.why_not_streamed


def network(case: RuleCase, **options: bool) -> Any:
    return WithCell(case.cell, case.layers, **options) if case.cell else TwoLevels(**options)


@pytest.fixture
def double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def sequences(steps: int = STEPS) -> Sequences:
    return Sequences(torch.randn(steps, 3, 3), torch.randn(steps, 3))


def gradients(learner: nn.Module) -> dict[str, Tensor]:
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in learner.named_parameters()}


def apply(rule: Any, learner: nn.Module, batch: Sequences) -> tuple[Tensor, dict[str, Tensor]]:
    learner.zero_grad()
    torch.manual_seed(1)
    loss, memory = rule.step(learner, batch, rule.reset(rule.init(learner)))
    rule.flush(learner, memory)
    return loss, gradients(learner)


def by_definition(learner: nn.Module, batch: Sequences, reach: list[tuple[int, int, int]]) -> dict[str, Tensor]:
    """The truncated gradient, naively: each span's loss anew, from a state computed without a graph."""
    total = {name: torch.zeros_like(p) for name, p in learner.named_parameters()}
    for first, end, back in reach:
        with torch.no_grad():
            state = learner(batch, 0, back, None)[1] if back else None
        if first > back:
            state = learner(batch, back, first, state)[1]
        loss = learner(batch, first, end, state)[0]
        if not loss.requires_grad:
            continue
        found = torch.autograd.grad(loss, list(learner.parameters()), allow_unused=True)
        for name, part in zip(total, found, strict=True):
            total[name] += 0 if part is None else part
    return total


def close(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-10, atol=1e-12, msg=lambda text, n=name: f"{n}: {text}")


def label(case: RuleCase) -> str:
    return repr(case.make()) + (f", {case.cell}" if case.cell else "")


FAST = ("bptt", "tbptt", "rtrl", "snap")
every_case = pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=label(case), marks=() if case.name in FAST else (pytest.mark.slow,)) for case in CASES],
)


def test_every_registered_rule_has_a_row() -> None:
    assert {case.name for case in CASES} == set(RULES)


@every_case
def test_it_keeps_the_protocol(case: RuleCase) -> None:
    rule = case.make()
    assert isinstance(rule, GradientRule)
    assert rule.name == case.name
    assert repr(make_rule(repr(rule).lower())) == repr(rule)


@every_case
def test_flags_agree_with_the_registry(case: RuleCase) -> None:
    rule = case.make()
    assert (rule.exact, rule.online) == (RULES[case.name].exact, RULES[case.name].online)
    assert rule.unbiased or not rule.exact
    assert rule.exact == (case.reach is None and not case.approximate)


@every_case
@pytest.mark.parametrize("only_last", [False, True], ids=["loss at all steps", "loss at the last step"])
def test_the_gradient_is_the_one_of_its_definition(case: RuleCase, only_last: bool, double: None) -> None:
    learner, batch = network(case, only_last=only_last), sequences()
    loss, found = apply(case.make(), learner, batch)
    whole = case.reach(STEPS) if case.reach else [(0, STEPS, 0)]
    if not case.approximate:
        close(found, by_definition(learner, batch, whole))
    torch.testing.assert_close(loss, learner(batch, 0, STEPS, None)[0].detach(), rtol=1e-12, atol=1e-14)
    assert not loss.requires_grad


@every_case
def test_a_rule_that_is_not_exact_is_not(case: RuleCase, double: None) -> None:
    learner, batch = network(case), sequences()
    truth = apply(BPTT(), learner, batch)[1]
    found = apply(case.make(), learner, batch)[1]
    off = max(float((found[name] - truth[name]).abs().max()) for name in truth)
    assert all(bool(found[name].any()) for name in truth)
    whole = case.reach is None and not case.approximate or getattr(case.make(), "k1", 0) >= STEPS
    assert off < 1e-12 if whole else off > 1e-4


@every_case
def test_gradients_are_added_to_what_is_there(case: RuleCase, double: None) -> None:
    learner, batch = network(case), sequences()
    rule = case.make()
    once = apply(rule, learner, batch)[1]
    torch.manual_seed(1)
    rule.flush(learner, rule.step(learner, batch, rule.init(learner))[1])
    close(gradients(learner), {name: 2 * part for name, part in once.items()})


@every_case
def test_a_second_batch_gives_the_same_as_on_its_own(case: RuleCase, double: None) -> None:
    learner, first, second = network(case), sequences(), sequences(7)
    rule = case.make()
    alone = apply(rule, learner, second)[1]
    torch.manual_seed(1)  # a matrix of random feedback is drawn at the first step, and kept
    memory = rule.step(learner, first, rule.init(learner))[1]
    learner.zero_grad()
    torch.manual_seed(1)
    rule.flush(learner, rule.step(learner, second, rule.reset(memory))[1])
    close(gradients(learner), alone)


@every_case
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_short_sequences(case: RuleCase, steps: int, double: None) -> None:
    learner, batch = network(case), sequences(max(steps, 1))
    batch = Sequences(batch.x[:steps], batch.y[:steps])
    loss, found = apply(case.make(), learner, batch)
    if steps and not case.approximate:
        reach = case.reach(steps) if case.reach else [(0, steps, 0)]
        close(found, by_definition(learner, batch, reach))
    elif not steps:
        assert float(loss) == 0
        assert all(not bool(part.any()) for part in found.values())


@every_case
def test_spans_follow_one_another(case: RuleCase, double: None) -> None:
    learner = network(case)
    apply(case.make(), learner, sequences())
    assert learner.spans[0][0] == 0 and learner.spans[-1][1] == STEPS
    # Rules that cut recurrent products look at one step twice more, once, to see that no weight is left without effect.
    assert all(a[1] == b[0] or a == b for a, b in zip(learner.spans, learner.spans[1:], strict=False))


@every_case
def test_what_cannot_be_streamed(case: RuleCase) -> None:
    rule = case.make()
    assert rule.supports(network(case)) is None
    reason = rule.supports(network(case, both_ways=True))
    if case.needs_stream:
        assert reason is not None and "both directions" in reason and "use the rule bptt" in reason
    else:
        assert reason is None


@every_case
def test_cost_is_stated(case: RuleCase) -> None:
    rule = case.make()
    cost = rule.cost(hidden=10, parameters=1000, steps=200)
    assert cost.formula == RULES[case.name].cost
    if case.name not in ("bptt", "tbptt"):
        assert cost.time > 0 and cost.memory > 0
    elif case.reach is None:
        assert (cost.time, cost.memory) == (1000.0, 2000.0)
    else:
        assert (cost.time, cost.memory) == (1000 * rule.k2 / rule.k1, 10.0 * min(rule.k2, 200))


def test_tbptt_over_the_whole_sequence_is_bptt_to_the_bit(double: None) -> None:
    learner, batch = TwoLevels(), sequences()
    truth = apply(BPTT(), learner, batch)
    for rule in (TBPTT(STEPS), TBPTT(STEPS + 5), TBPTT(STEPS, 3 * STEPS)):
        loss, found = apply(rule, learner, batch)
        assert torch.equal(loss, truth[0])
        assert all(torch.equal(found[name], truth[1][name]) for name in found)


def test_tbptt_keeps_no_more_than_k2_steps_of_graph(double: None) -> None:
    """The graphs of segments that are out of reach are freed: a hook on an early state is called only within reach."""
    calls: list[int] = []

    class Watched(TwoLevels):
        def forward(self, batch: Sequences, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
            loss, after = super().forward(batch, start, stop, state)
            if after[0].hidden.requires_grad:
                after[0].hidden.register_hook(lambda g: calls.append(start))
            return loss, after

    apply(TBPTT(2, 4), Watched(), sequences(10))
    # Segment 0 is walked for its own loss and for segment 2's, and never again.
    assert [calls.count(start) for start in (0, 2, 4, 6, 8)] == [2, 2, 2, 2, 1]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tbptt(0)", ["k1 is 0", "at least 1", "tbptt(50)"]),
        ("tbptt(-3)", ["k1 is -3"]),
        ("tbptt(4, 6)", ["k2 = 6 is no multiple of k1 = 4", "tbptt(4, 8)"]),
        ("tbptt(4, 2)", ["k2 = 2 is no multiple of k1 = 4", "tbptt(4, 4)"]),
        ("tbptt", ["do not fit", "whole numbers, as in tbptt(50)"]),
        ("tbptt(a)", ["do not fit"]),
        ("crbp", ["'crbp' do not fit", "crbp(horizon); whole numbers"]),
        ("snap(1, 2, 3)", ["snap(n, max_megabytes=2048); whole numbers"]),
        ("bptt(3)", ["do not fit", "bptt, which takes none"]),
        ("snap(0)", ["n is 0", "positive whole number", "snap(1)"]),
        ("snap", ["do not fit"]),
        ("eprop(feedback=odd)", ["feedback is 'odd'", "'symmetric' or 'random'"]),
        ("rtrl(max_megabytes=0)", ["max_megabytes is 0", "megabytes"]),
        ("blockrtrl(block=0)", ["block is 0", "'auto' or a positive whole number"]),
        ("tbtt(3)", ["not a gradient rule", "did you mean 'tbptt'?"]),
    ],
)
def test_bad_specifications(spec: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        make_rule(spec)
    for word in words:
        assert word in str(caught.value)


def test_the_state_tree() -> None:
    state = (Pair(torch.ones(2), torch.zeros(1)), {"a": Box([torch.ones(3)]), "n": torch.tensor([1])}, None, "text")
    doubled = map_tensors(lambda t: t * 2, state)
    assert isinstance(doubled[0], Pair) and isinstance(doubled[1]["a"], Box)
    assert doubled[2:] == (None, "text")
    assert [t.tolist() for t in tensors_of(doubled)] == [[2, 2], [0], [2, 2, 2], [2]]
    leaves = tensors_of(cut_from_graph(state))
    assert [leaf.requires_grad for leaf in leaves] == [True, True, True, False]
