"""Approximate online rules against their papers' equations, and the unbiased ones against the truth."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from streams import Network, Window, by_autograd, by_rule, distance, stream

from recurra.cells import LSTM, LSTM1997, Elman, LeakyRNN
from recurra.learn.rules import KFRTRL, RFLO, RTRL, UORO, EProp, SnAp, TruncatedRTRL


def numbers(learner: Network, windows: list[Window]) -> tuple[Any, ...]:
    """The weights of a network with one cell, and one sequence, as arrays."""
    cell = learner.layer.stack_cells()[0]
    weights = {name: weight.detach().numpy() for name, weight in cell.named_parameters()}
    out = learner.out.weight.detach().numpy(), learner.out.bias.detach().numpy()
    x, y = (torch.cat([getattr(w, name) for w in windows])[:, 0].numpy() for name in "xy")
    return weights, out, x, y


def expect(found: dict[str, torch.Tensor], wanted: dict[str, Any]) -> None:
    for name, part in wanted.items():
        np.testing.assert_allclose(found[f"layer.cells.0.{name}"], part, rtol=1e-10, atol=1e-13, err_msg=name)


def leaky_traces(rate: float, keep: Any, learner: Network, windows: list[Window], feedback: Any = None) -> Any:
    """Traces P' = keep(unit, its Jacobian) P + rate f'(u_i) z_j of a leaky network, and the gradient they give."""
    w, (v, c), x, y = numbers(learner, windows)
    n, steps = len(v.T), len(x)
    back = v if feedback is None else feedback
    h = np.zeros(n)
    p = found = np.zeros((n, x.shape[1] + n + 1))
    for t in range(steps):
        z = np.concatenate([x[t], h, [1.0]])
        driven = np.tanh(w["weight_ih"] @ x[t] + w["weight_hh"] @ h + w["bias_ih"])
        slope = rate * (1 - driven**2)
        h = (1 - rate) * h + rate * driven
        p = keep((1 - rate) + slope * np.diag(w["weight_hh"]))[:, None] * p + slope[:, None] * z
        found = found + (back.T @ (2 * (v @ h + c - y[t]) / steps))[:, None] * p
    m = x.shape[1]
    return {"weight_ih": found[:, :m], "weight_hh": found[:, m:-1], "bias_ih": found[:, -1]}


def test_rflo_is_the_papers() -> None:
    """Murray 2019: P_ij(t) = (1 - a) P_ij(t-1) + a f'(u_i) z_j, here with the error by the read-out's own weights."""
    learner, windows = Network(LeakyRNN, rate=0.3), stream(4, 6, size=1)
    wanted = leaky_traces(0.3, lambda own: np.full_like(own, 0.7), learner, windows)
    expect(by_rule(RFLO(), learner, windows), wanted)
    expect(by_rule(EProp(), learner, windows), wanted)  # the two rules agree for such units


def test_rflo_with_random_feedback_is_the_papers() -> None:
    learner, windows, rule = Network(LeakyRNN, rate=0.3), stream(4, 6, size=1), RFLO("random")
    learner.zero_grad()
    memory = rule.init(learner)
    for window in windows:
        memory = rule.step(learner, window, memory)[1]
    (matrix,) = memory.kept["feedback"].values()
    found = {name: weight.grad for name, weight in learner.named_parameters()}
    keep = lambda own: np.full_like(own, 0.7)  # noqa: E731
    expect(found, leaky_traces(0.3, keep, learner, windows, matrix.numpy()))
    # The read-out itself learns from the true error.
    truth = by_autograd(learner, windows)
    torch.testing.assert_close(found["out.weight"], truth["out.weight"], rtol=1e-10, atol=1e-12)
    assert rule.reset(memory).kept["feedback"] is memory.kept["feedback"]


def test_snap1_is_the_papers() -> None:
    """Menick et al. 2021: M_ij = J_ii M_ij + F_ij."""
    learner, windows = Network(LeakyRNN, rate=0.3), stream(4, 6, size=1)
    expect(by_rule(SnAp(1), learner, windows), leaky_traces(0.3, lambda own: own, learner, windows))


def test_rflo_equals_snap1_where_the_jacobian_is_the_leak_alone() -> None:
    learner, windows = Network(LeakyRNN, rate=0.3), stream(4, 6)
    assert distance(by_rule(RFLO(), learner, windows), by_rule(SnAp(1), learner, windows)) > 1e-3
    with torch.no_grad():
        learner.layer.stack_cells()[0].weight_hh.zero_()
    assert distance(by_rule(RFLO(), learner, windows), by_rule(SnAp(1), learner, windows)) < 1e-12


@pytest.mark.parametrize("reach", [1, 2, 3, 9])
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_snap_masks_the_influence_matrix(cell: str, reach: int) -> None:
    """By the definition, with whole Jacobians, for a network with most recurrent weights pruned to zero."""
    n, steps = 5, 7
    learner, windows = Network(cell, 2, n), stream(3, 4, size=1)
    part = learner.layer.stack_cells()[0]
    with torch.no_grad():
        ring = (torch.eye(n) + torch.eye(n).roll(1, 0)).repeat(len(part.weight_hh) // n, 1)
        part.weight_hh *= ring
    names = [name for name, _ in part.named_parameters()]
    x = torch.cat([w.x for w in windows])
    y = torch.cat([w.y for w in windows])
    sizes = [w.numel() for w in part.parameters()]

    def advance(weights: torch.Tensor, state: torch.Tensor, t: int) -> torch.Tensor:
        shapes = [p.shape for p in part.parameters()]
        given = {k: w.reshape(s) for k, w, s in zip(names, weights.split(sizes), shapes, strict=True)}
        like = part.initial_state(1)
        after = torch.func.functional_call(part, given, (x[t], type(like)(*state.reshape(len(like), 1, n))))[1]
        return torch.cat([each.reshape(-1) for each in after])

    weights = torch.cat([w.detach().reshape(-1) for w in part.parameters()])
    state = torch.cat([each.reshape(-1) for each in part.initial_state(1)])
    both = torch.func.jacrev(advance, (0, 1))
    # The pattern is a fact of the network; here it comes from other states than those of the stream.
    f, j = (d != 0 for d in both(weights, torch.randn_like(state), 0))
    mask = f
    for _ in range(reach - 1):
        mask = f | (j.double() @ mask.double() > 0)
    m = torch.zeros(len(state), len(weights))
    found = torch.zeros(len(weights))
    for t in range(steps):
        f_t, j_t = both(weights, state, t)
        m = mask * (j_t @ m + f_t)
        state = advance(weights, state, t)
        error = 2 * (learner.out(state[:n]) - y[t, 0]).detach() / steps
        found += torch.cat([error @ learner.out.weight.detach(), torch.zeros(len(state) - n)]) @ m
    got = by_rule(SnAp(reach), learner, windows)
    flat = torch.cat([got[f"layer.cells.0.{name}"].reshape(-1) for name in names])
    torch.testing.assert_close(flat, found, rtol=1e-9, atol=1e-12)
    if reach == 1:
        assert distance(got, by_autograd(learner, windows)) > 1e-3


def test_snap1_keeps_one_number_a_weight() -> None:
    learner, windows = Network("elman", 3, 12), stream(3, features=3, size=1)
    memory = SnAp(1).step(learner, windows[0], SnAp(1).init(learner))[1]
    own = sum(w.numel() for w in learner.layer.parameters())
    assert sum(entries.numel() for entries in memory.influence.entries.entries) == own


def test_eprop_of_an_lstm_is_the_papers() -> None:
    """Bellec et al. 2020, LSTM: eps_c = f eps_c + dc/dw; the gradient is L (dh/dc eps_c + dh/dw), L = dL/dh."""
    learner, windows = Network(LSTM, 2, 3), stream(4, 5, size=1)
    w, (v, c_out), x, y = numbers(learner, windows)
    n, steps = 3, len(x)
    h, c = np.zeros(n), np.zeros(n)
    eps, found = np.zeros((4, n, 2 + n + 1)), np.zeros((4, n, 2 + n + 1))

    def sigmoid(a: Any) -> Any:
        return 1 / (1 + np.exp(-a))

    for t in range(steps):
        z = np.concatenate([x[t], h, [1.0]])
        a = (w["weight_ih"] @ x[t] + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"]).reshape(4, n)
        i, f, o, g = sigmoid(a[0]), sigmoid(a[1]), sigmoid(a[3]), np.tanh(a[2])
        slopes = np.stack([i * (1 - i) * g, f * (1 - f) * c, (1 - g**2) * i, 0 * o])
        c = f * c + i * g
        h = o * np.tanh(c)
        eps = f[None, :, None] * eps + slopes[..., None] * z
        at_h = (o * (1 - np.tanh(c) ** 2))[None, :, None] * eps
        at_h[3] += (o * (1 - o) * np.tanh(c))[:, None] * z
        found += (v.T @ (2 * (v @ h + c_out - y[t]) / steps))[None, :, None] * at_h
    found = found.reshape(4 * n, -1)
    wanted = {"weight_ih": found[:, :2], "weight_hh": found[:, 2:-1], "bias_ih": found[:, -1]}
    expect(by_rule(EProp(), learner, windows), wanted)
    expect(by_rule(TruncatedRTRL(), learner, windows), wanted)  # for one layer the two are one rule


@pytest.mark.parametrize("layers", [1, 2])
def test_the_truncated_rule_is_backpropagation_with_recurrent_inputs_detached(layers: int) -> None:
    learner = Network(LSTM1997, layers=layers)
    windows = stream(4, 1, 5)
    exact = by_autograd(learner, windows)
    found = by_rule(TruncatedRTRL(), learner, windows)
    for cell in learner.layer.stack_cells():
        cell.truncated = True
    assert distance(found, by_autograd(learner, windows)) < 1e-10
    assert distance(found, exact) > 1e-3


@pytest.mark.parametrize("cell", ["lstm", "peephole_lstm", "coupled_lstm", "layer_norm_lstm"])
def test_the_truncated_rule_serves_the_family(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, windows = Network(cell), stream(4, 5)
    found = by_rule(TruncatedRTRL(), learner, windows)
    part = learner.layer.stack_cells()[0]
    plain = type(part).recur
    monkeypatch.setattr(type(part), "recur", lambda self, h, w, b=None: plain(self, h.detach(), w, b))
    learner.layer.backend = "reference"
    assert distance(found, by_autograd(learner, windows)) < 1e-10
    assert all(bool(part.any()) for part in found.values())


def test_eprop_is_exact_for_units_that_hear_no_other() -> None:
    learner, windows = Network("indrnn"), stream(4, 5)
    assert distance(by_rule(EProp(), learner, windows), by_autograd(learner, windows)) < 1e-10


def signs_in_turn(monkeypatch: pytest.MonkeyPatch, table: torch.Tensor) -> None:
    """Let `torch.randint` hand out the columns of a table of bits, (batch, bits), in turn."""
    at = 0

    def drawn(low: int, high: int, shape: Any, **options: Any) -> torch.Tensor:
        nonlocal at
        count = math.prod(shape) // len(table)
        bits = table[:, at : at + count]
        at += count
        assert at <= table.shape[1]
        return bits if shape[0] == len(table) else bits.T.reshape(shape)

    monkeypatch.setattr(torch, "randint", drawn)


@pytest.mark.parametrize(("rule", "bits"), [(UORO(), 8), (KFRTRL(), 8)], ids=repr)
def test_the_mean_over_all_signs_is_the_truth(rule: Any, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sign pattern has a copy of the sequence, so that one pass takes the mean over all of them."""
    steps = (2, 2) if isinstance(rule, UORO) else (2, 1)  # 2 units a step; 2 signs for 2 products from step 2 on
    learner, windows = Network(Elman, 2, 2), stream(*steps, size=2**bits, copies=True)
    truth = by_autograd(learner, windows)
    table = torch.tensor(list(itertools.product([0, 1], repeat=bits)))
    signs_in_turn(monkeypatch, table)
    assert distance(by_rule(rule, learner, windows), truth) < 1e-10


@pytest.mark.parametrize("cell", ["gru", pytest.param("lstm", marks=pytest.mark.slow)])
@pytest.mark.parametrize("rule", [UORO(), KFRTRL()], ids=repr)
def test_unbiased_rules_are_within_the_confidence_interval(rule: Any, cell: str) -> None:
    """Over seeds, across windows: the mean's error is what its standard error allows, and that is small."""
    learner, windows = (
        Network(cell, 2, 3, layers=2 if cell == "lstm" else 1),
        stream(3, 3, size=20 if cell == "lstm" else 64, copies=True),
    )
    truth = by_autograd(learner, windows)
    draws = []
    for seed in range(30):
        torch.manual_seed(seed)
        draws.append(torch.cat([part.reshape(-1) for part in by_rule(rule, learner, windows).values()]))
    drawn, wanted = torch.stack(draws), torch.cat([part.reshape(-1) for part in truth.values()])
    error = drawn.mean(0) - wanted
    standard = drawn.std(0) / len(drawn) ** 0.5
    random = standard > 1e-12
    assert bool((error[~random].abs() < 1e-10).all())
    z = error[random] / standard[random]
    # The coordinates hang together, so that the mean of their squares spreads widely around 1.
    assert float(z.abs().max()) < 5.0 and float(z.square().mean()) < 4.0
    assert float(standard.norm() / wanted.norm()) < 0.5
    if cell == "gru" and isinstance(rule, KFRTRL):  # the test would see a bias of the size that other rules have
        one = by_rule(SnAp(1), learner, windows)
        biased = torch.cat([part.reshape(-1) for part in one.values()]) - wanted
        assert float((biased[random] / standard[random]).square().mean()) > 8


def test_kfrtrl_carries_vectors_exactly() -> None:
    learner, windows = Network("indrnn"), stream(4, 5)
    found, truth = by_rule(KFRTRL(), learner, windows), by_autograd(learner, windows)
    for name in ("weight_hh", "bias_ih"):
        name = f"layer.cells.0.{name}"
        torch.testing.assert_close(found[name], truth[name], rtol=1e-9, atol=1e-12)
    assert distance(found, truth) > 1e-3


def test_uoro_balances_its_two_vectors() -> None:
    """Tallec and Ollivier 2018: with r0, r1 as published both vectors of a long stream stay of like size."""
    learner, windows = Network("elman", hidden=8), stream(60, size=1)
    memory = UORO().step(learner, windows[0], UORO().init(learner))[1]
    units, weights = memory.influence
    ratio = float(units.norm()) / float(torch.cat([b.reshape(-1) for b in weights.values()]).norm())
    assert 1e-2 < ratio < 1e2


def test_rules_differ_from_the_truth_in_the_order_of_what_they_keep() -> None:
    learner, windows = Network("elman", hidden=6), stream(5, 5, 5)
    truth = by_autograd(learner, windows)
    assert distance(by_rule(RTRL(), learner, windows), truth) < 1e-10
    assert 1e-3 < distance(by_rule(SnAp(1), learner, windows), truth) < 1.0
