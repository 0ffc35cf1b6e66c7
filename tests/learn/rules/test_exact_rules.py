"""Exact online rules equal back-propagation across windows, and the equations of their papers."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from streams import Network, Window, by_autograd, by_rule, distance, gradients, stream
from torch import Tensor, nn

from recurra.cells.registry import CELLS
from recurra.learn.rules import RTRL, BlockRTRL, SnAp
from recurra.learn.rules.rtrl import Carried

NETWORKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "elman": ("elman", {}),
    "lstm with projection, 2 layers": ("lstm", {"layers": 2, "proj_size": 3}),
    "gru, 2 layers, learned start": ("gru", {"layers": 2, "learn_initial_state": True}),
    "gru, residual, layer norm": ("gru", {"layers": 2, "connection": "residual", "layer_norm": True}),
    "indrnn": ("indrnn", {}),
    "indrnn, 2 layers": ("indrnn", {"layers": 2}),
    "eLSTM": ("elstm", {"hidden": 5}),
    "LRU": ("lru", {"hidden": 3}),
    "ctrnn": ("ctrnn", {}),
    "orthogonal": ("orthogonal", {}),
}
RULES = [RTRL(), BlockRTRL(), BlockRTRL(3), SnAp(40)]


def make(name: str) -> Network:
    cell, options = NETWORKS[name]
    return Network(cell, **options)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_rules_equal_backpropagation_over_the_whole_stream(name: str, rule: Any) -> None:
    learner, windows = make(name), stream(4, 1, 5, 3)
    truth = by_autograd(learner, windows)
    assert all(bool(part.any()) for part in truth.values())
    assert distance(by_rule(rule, learner, windows), truth) < 1e-10


def test_the_comparison_sees_what_is_carried_over_windows() -> None:
    learner, windows, rule = make("elman"), stream(4, 5), RTRL()
    learner.zero_grad()
    memory = rule.step(learner, windows[0], rule.init(learner))[1]
    memory.influence = None
    rule.step(learner, windows[1], memory)
    assert distance(gradients(learner), by_autograd(learner, windows)) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("rule", [RTRL(), BlockRTRL(), SnAp(40)], ids=repr)
def test_every_cell_is_served_exactly(rule: Any) -> None:
    windows = stream(4, 3)
    off = {}
    for name, row in CELLS.items():
        if row.driver == "unroll":
            learner = Network(name)
            off[name] = distance(by_rule(rule, learner, windows), by_autograd(learner, windows))
    assert len(off) > 50
    assert {name: far for name, far in off.items() if not far < 1e-10} == {}


def test_rtrl_is_the_papers() -> None:
    """Williams and Zipser 1989, written with loops: p^k_ij(t+1) = f'(s_k) (sum_l w_kl p^l_ij + delta_ik z_j)."""
    n, m, steps = 3, 2, 6
    learner, windows = Network("elman", m, n), stream(2, 4, size=1)
    cell = learner.layer.stack_cells()[0]
    w_x, w_h = cell.weight_ih.detach().numpy(), cell.weight_hh.detach().numpy()
    bias = (cell.bias_ih + cell.bias_hh).detach().numpy()
    v, c = learner.out.weight.detach().numpy(), learner.out.bias.detach().numpy()
    x = torch.cat([w.x for w in windows])[:, 0].numpy()
    y = torch.cat([w.y for w in windows])[:, 0].numpy()
    h, p = np.zeros(n), np.zeros((n, n, m + n + 1))
    found = np.zeros((n, m + n + 1))
    for t in range(steps):
        z = np.concatenate([x[t], h, [1.0]])
        new = np.tanh(w_x @ x[t] + w_h @ h + bias)
        later = np.zeros_like(p)
        for k in range(n):
            for i in range(n):
                for j in range(m + n + 1):
                    inner = sum(w_h[k, other] * p[other, i, j] for other in range(n)) + (i == k) * z[j]
                    later[k, i, j] = (1 - new[k] ** 2) * inner
        h, p = new, later
        error = 2 * (v @ h + c - y[t]) / steps
        found += np.einsum("k,kij->ij", v.T @ error, p)
    got = by_rule(RTRL(), learner, windows)
    np.testing.assert_allclose(got["layer.cells.0.weight_ih"], found[:, :m], rtol=1e-12)
    np.testing.assert_allclose(got["layer.cells.0.weight_hh"], found[:, m:-1], rtol=1e-12)
    np.testing.assert_allclose(got["layer.cells.0.bias_ih"], found[:, -1], rtol=1e-12)


ELEMENTWISE = ["indrnn", "elstm", "lru", "bistable", "min_gru", "rg_lru", "unicornn", "slstm_linear"]


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if name in CELLS])
def test_elementwise_cells_take_the_short_form(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, windows = Network(name, hidden=6), stream(4, 5)
    cell = learner.layer.stack_cells()[0]
    rule, memory = RTRL(), RTRL().init(learner)
    for window in windows:
        memory = rule.step(learner, window, memory)[1]
    assert isinstance(memory.influence, Carried)
    kept = sum(entries[0].numel() for entries in memory.influence.entries.entries)
    parts = len(cell.initial_state(1))
    own = sum(weight.numel() for weight in cell.parameters())
    assert 0 < kept <= parts * own
    short = gradients(learner)
    monkeypatch.setattr(type(cell), "elementwise", False)
    dense = by_rule(RTRL(), learner, windows)
    assert distance(short, dense) < 1e-12


def test_a_wrong_trait_costs_no_exactness(monkeypatch: pytest.MonkeyPatch) -> None:
    """The short form is checked at each step: units that do hear one another are found, and followed."""
    learner, windows = Network("gru"), stream(4, 5)
    monkeypatch.setattr(type(learner.layer.stack_cells()[0]), "elementwise", True)
    assert distance(by_rule(RTRL(), learner, windows), by_autograd(learner, windows)) < 1e-10


def test_units_that_wake_up_later_are_followed() -> None:
    """With ReLU a unit may be silent at first, so that its weights seem to act on nothing."""
    learner, windows = Network("indrnn", hidden=8), stream(3, 4, 5)
    windows = [Window(w.x * (0 if k == 0 else 1) - (10 if k == 0 else 0), w.y, w.weight) for k, w in enumerate(windows)]
    truth = by_autograd(learner, windows)
    for rule in (RTRL(), SnAp(1), SnAp(40)):
        assert distance(by_rule(rule, learner, windows), truth) < 1e-10


def test_reset_begins_a_new_stream() -> None:
    learner, first, second = Network("gru"), stream(4), stream(5, size=3)
    for rule in (RTRL(), BlockRTRL(), SnAp(1)):
        alone = by_rule(rule, learner, second)
        memory = rule.step(learner, first[0], rule.init(learner))[1]
        learner.zero_grad()
        rule.step(learner, second[0], rule.reset(memory))
        assert distance(gradients(learner), alone) < 1e-12


class Watched(Network):
    """Remembers the graphs of its states as long as someone else does."""

    alive: list[weakref.ref[Any]]

    def forward(self, batch: Window, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        loss, after = super().forward(batch, start, stop, state)
        self.alive.append(weakref.ref(after[0].h))
        return loss, after


@pytest.mark.parametrize("rule", [RTRL(), BlockRTRL(2), SnAp(1)], ids=repr)
def test_memory_is_flat_in_time(rule: Any) -> None:
    most = []
    for steps in (6, 24):
        learner = Watched("elman")
        learner.alive = []
        counts: list[int] = []
        carry = rule.carry

        def counted(*given: Any, carry: Any = carry, learner: Any = learner, counts: list[int] = counts) -> Any:
            counts.append(sum(each() is not None for each in learner.alive))
            return carry(*given)

        rule.carry = counted
        by_rule(rule, learner, stream(steps, steps))
        del rule.carry
        most.append(max(counts))
    assert most[0] == most[1] <= 3


def test_buffers_and_frozen_weights_are_left_alone() -> None:
    learner, windows = Network("gru"), stream(3, 3)
    learner.out.weight.requires_grad_(False)
    truth = by_autograd(learner, windows)
    found = by_rule(RTRL(), learner, windows)
    assert learner.out.weight.grad is None
    assert distance(found, truth) < 1e-10


def test_a_state_of_complex_numbers() -> None:
    class Turning(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.angle = nn.Parameter(torch.tensor([0.3, 0.7]))
            self.gain = nn.Parameter(torch.tensor([0.5, -0.4]))

        def forward(self, batch: Window, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
            z = torch.zeros(batch.size, 2, dtype=torch.complex128) if state is None else state
            loss = batch.x.new_zeros(())
            for t in range(start, stop):
                z = torch.polar(torch.full_like(self.angle, 0.9), self.angle) * z + self.gain * batch.x[t]
                loss = loss + ((z.real - batch.y[t]) ** 2).sum() / batch.weight
            return loss, z

    learner, windows = Turning(), stream(3, 4)
    for rule in RULES:
        assert distance(by_rule(rule, learner, windows), by_autograd(learner, windows)) < 1e-10
