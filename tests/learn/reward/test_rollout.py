"""Acting: what is kept of it, where episodes end, and that no state leaks from one into the next."""

from __future__ import annotations

import pytest
import torch
from reward_worlds import Corridor, Counter

from recurra.cells import GRU, LSTM
from recurra.learn.reward import Actor, DiscreteActions, Policy
from recurra.nn import Recurrent

pytestmark = pytest.mark.usefixtures("double")
TABLE = [[(2, False), (3, True)], [(4, True), (1, False), (2, False)], [(7, True)], []]


def step_by_step(policy: Policy, seen: list[list[float]]) -> list[float]:
    """The values of one episode, by calls of the cells alone."""
    state, found = None, []
    layer = policy.network
    with torch.no_grad():
        for row in seen:
            y, state = layer.step(torch.tensor([row]), state)
            found.append(float(policy.read_value(y)))
    return found


@pytest.mark.parametrize("cell", ["gru", "lstm", "elman", "min_gru"])
def test_values_and_what_follows_them_episode_by_episode(cell):
    """Every value, and every value of where a step led, is that of the episode by itself."""
    policy = Policy(Recurrent(cell, 1, 5), DiscreteActions(2))
    actor = Actor(policy, Counter(TABLE), seed=3)
    parts = [actor.act(4), actor.act(5)]  # a window that ends within episodes, and the next
    value, follows = (torch.cat([getattr(part, name) for part in parts]) for name in ("value", "next_value"))
    end, reset = (torch.cat([getattr(part, name) for part in parts]) for name in ("end", "reset"))
    for copy, table in enumerate(TABLE):
        t = 0
        for number, (length, cut) in enumerate([*table, (9, True)]):
            length = min(length, 10)
            alone = step_by_step(policy, [[10.0 * number + k] for k in range(length + 1)])
            for k in range(length):
                if t == 9:
                    break
                assert abs(float(value[t, copy]) - alone[k]) < 1e-12
                over = k == length - 1 and number < len(table)
                assert bool(end[t, copy]) == over and bool(reset[t, copy]) == (k == 0)
                wanted = 0.0 if over and not cut else alone[k + 1]
                assert abs(float(follows[t, copy]) - wanted) < 1e-12
                t += 1


def test_learning_sees_what_acting_saw():
    """The whole window at once, from its first state and with its resets, gives the values of acting."""
    policy = Policy(Recurrent("lstm", 1, 5, num_layers=2, learn_initial_state=True), DiscreteActions(2), value="own")
    with torch.no_grad():
        for weight in policy.parameters():
            weight.normal_()
    actor = Actor(policy, Counter(TABLE))
    for steps in (4, 5, 1):
        rollout = actor.act(steps)
        output, _ = policy(rollout.observation, rollout.first_state, reset=rollout.reset)
        torch.testing.assert_close(output.value, rollout.value)
        chances = policy.actions.log_probability(output.parameters, rollout.action)
        torch.testing.assert_close(chances, rollout.log_probability)


def test_what_came_before_a_reset_reaches_no_value_and_no_gradient_after_it():
    policy = Policy(GRU(2, 4), DiscreteActions(2))
    seen = torch.randn(6, 3, 2, requires_grad=True)
    reset = torch.zeros(6, 3, dtype=torch.bool)
    reset[3, 1] = True
    output, _ = policy(seen, reset=reset)
    alone, _ = policy(seen[3:, 1:2])
    torch.testing.assert_close(output.value[3:, 1], alone.value[:, 0])
    gradient = torch.autograd.grad(output.value[3:].sum(), seen)[0]
    assert bool((gradient[:3, 1] == 0).all()) and bool((gradient[:3, [0, 2]] != 0).all())


def test_episodes_are_counted():
    actor = Actor(Policy(LSTM(1, 3), DiscreteActions(2)), Counter(TABLE))
    actor.act(5)
    actor.act(4)
    assert [each.length for each in actor.episodes] == [2, 4, 3, 1, 2, 7]
    assert [each.at for each in actor.episodes] == [8, 16, 20, 20, 28, 28]
    assert actor.episodes[2].total == pytest.approx((11 + 12 + 13) / 7)


def test_the_same_seed_gives_the_same_experience():
    torch.manual_seed(1)
    policy = Policy(GRU(2, 4), DiscreteActions(2))
    first, again, other = (Actor(policy, Corridor(4), seed).act(20) for seed in (5, 5, 6))
    assert torch.equal(first.observation, again.observation) and torch.equal(first.action, again.action)
    assert not torch.equal(first.action, other.action)
