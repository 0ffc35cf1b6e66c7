"""Several steps at once, of cells whose units meet only in products: the same gradients as step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from streams import Network, Window, by_autograd, by_rule, distance, gradients, stream
from torch import Tensor, nn

from recurra.cells import Elman, HiddenState
from recurra.errors import UsageError
from recurra.learn.rules import RTRL, SnAp
from recurra.learn.rules.unit_influence import Columns
from recurra.learn.rules.unit_steps import UnitSteps

SHORT = ["elman", "lstm", "gru", "leaky"]


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rules go step by step."""
    for kind in (RTRL, SnAp):
        monkeypatch.setattr(kind, "takes_units", lambda self, stream: False)


def taken(rule: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the spans that the rule will take at once."""
    spans: list[int] = []
    carry = type(rule).carry

    def noted(self: Any, step: Any, stream: Any, function: Any) -> Any:
        spans.append(step.steps if isinstance(step, UnitSteps) else 0)
        return carry(self, step, stream, function)

    monkeypatch.setattr(type(rule), "carry", noted)
    return spans


@pytest.mark.parametrize("rule", [RTRL(), SnAp(1)], ids=repr)
@pytest.mark.parametrize("cell", SHORT)
def test_steps_at_once_equal_step_by_step(cell: str, rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, windows = Network(cell, 3, 5), stream(4, 1, 35, 2, features=3, size=3)
    spans = taken(rule, monkeypatch)
    found = by_rule(rule, learner, windows)
    assert spans == [4, 1, 32, 3, 2]
    plain(monkeypatch)
    spans.clear()
    assert distance(found, by_rule(rule, learner, windows)) < 1e-12
    assert set(spans) == {0}
    if isinstance(rule, RTRL):
        assert distance(found, by_autograd(learner, windows)) < 1e-10


def test_snap_of_an_elman_network_is_the_papers() -> None:
    """Menick et al. 2021, n = 1: M_ij = (1 - h_i^2) (W_ii M_ij + z_j), the gradient the sum of dL/dh_i M_ij."""
    learner, windows = Network("elman", 3, 5), stream(4, 3, features=3, size=1)
    cell, out = learner.layer.stack_cells()[0], learner.out
    w_x, w_h = cell.weight_ih.detach().numpy(), cell.weight_hh.detach().numpy()
    bias = (cell.bias_ih + cell.bias_hh).detach().numpy()
    v, c = out.weight.detach().numpy(), out.bias.detach().numpy()
    x = torch.cat([w.x for w in windows])[:, 0].numpy()
    y = torch.cat([w.y for w in windows])[:, 0].numpy()
    h, m, total = np.zeros(5), np.zeros((5, 9)), np.zeros((5, 9))
    for t in range(7):
        z = np.concatenate([x[t], h, [1.0]])
        h = np.tanh(w_x @ x[t] + w_h @ h + bias)
        m = (1 - h**2)[:, None] * (np.diag(w_h)[:, None] * m + z)
        total += (v.T @ (2 * (v @ h + c - y[t]) / 7))[:, None] * m
    got = by_rule(SnAp(1), learner, windows)
    np.testing.assert_allclose(got["layer.cells.0.weight_ih"], total[:, :3], rtol=1e-12)
    np.testing.assert_allclose(got["layer.cells.0.weight_hh"], total[:, 3:8], rtol=1e-12)
    np.testing.assert_allclose(got["layer.cells.0.bias_hh"], total[:, 8], rtol=1e-12)


@pytest.mark.parametrize("rule", [RTRL(), SnAp(1)], ids=repr)
def test_what_was_carried_before_stays_as_it_was(rule: Any) -> None:
    learner, windows = Network("gru"), stream(4, 5, 5)
    first = rule.step(learner, windows[0], rule.init(learner))[1]
    learner.zero_grad()
    rule.step(learner, windows[1], first)
    once = gradients(learner)
    learner.zero_grad()
    rule.step(learner, windows[1], first)
    assert distance(once, gradients(learner)) == 0.0


def test_the_whole_influence_is_one_tensor() -> None:
    learner = Network("elman", 2, 4)
    influence = RTRL().step(learner, stream(5)[0], RTRL().init(learner))[1].influence
    assert isinstance(influence, Columns)
    assert influence.whole.shape == (2, 4, sum(w.numel() for w in learner.layer.parameters()))


class Ring(Elman):
    """Each unit hears its neighbour by another way than a product."""

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = super().advance(projected, state)[0]
        h = h + 0.3 * state.h.roll(1, -1)
        return h, HiddenState(h)


class Halved(Elman):
    """A weight enters in a product and by another way."""

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = super().advance(projected, state)[0] * self.weight_hh.diagonal()
        return h, HiddenState(h)


class Noisy(Elman):
    """Draws random numbers."""

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = super().advance(projected, state)[0] + 0.0 * torch.randn_like(state.h)
        return h, HiddenState(h)


class Fed(Network):
    """The cell reads its own last output beside the input."""

    def forward(self, batch: Window, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        cell = self.layer.stack_cells()[0]
        state = cell.initial_state(batch.size) if state is None else state
        loss = batch.x.new_zeros(())
        for t in range(start, stop):
            y, state = cell(batch.x[t] + self.out(state.h), state)
            loss = loss + ((self.out(y) - batch.y[t]) ** 2).sum() / batch.weight
        return loss, state


@pytest.mark.parametrize(
    "make",
    [
        lambda: Network(Ring),
        lambda: Network(Halved),
        lambda: Network(Noisy),
        lambda: Network("gru", reset_after=False),
        lambda: Network("lstm", hidden=5, proj_size=3),
        lambda: Network("lstm", layers=2),
        lambda: Network("gru", learn_initial_state=True),
        lambda: Fed("elman"),
    ],
    ids=["ring", "halved", "noisy", "reset before", "projected", "two layers", "learned start", "fed back"],
)
def test_other_networks_go_step_by_step_and_exactly(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, windows, rule = make(), stream(4, 5), RTRL()
    spans = taken(rule, monkeypatch)
    assert distance(by_rule(rule, learner, windows), by_autograd(learner, windows)) < 1e-10
    assert set(spans) == {0}


class Loop(nn.Module):
    """A cell called step by step by the learner itself, with a loss on the last step alone."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = Elman(2, 4), nn.Linear(4, 2)

    def forward(self, batch: Window, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        state, loss = self.cell.initial_state(batch.size) if state is None else state, batch.x.new_zeros(())
        for t in range(start, stop):
            y, state = self.cell(batch.x[t], state)
            if t == batch.steps - 1:
                loss = loss + ((self.out(y) - batch.y[t]) ** 2).sum()
        return loss, state


def test_a_loop_of_the_learners_own(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, windows, rule = Loop(), stream(6), RTRL()
    spans = taken(rule, monkeypatch)
    assert distance(by_rule(rule, learner, windows), by_autograd(learner, windows)) < 1e-10
    assert spans == [6]


def test_memory_is_refused_before_it_is_taken() -> None:
    for rule, words in ((RTRL(1), "n p = 64 x"), (SnAp(1, max_megabytes=1), "entries to keep")):
        learner = Network("elman", hidden=64 if isinstance(rule, RTRL) else 300)
        with pytest.raises(UsageError, match=words):
            by_rule(rule, learner, stream(3))
