"""The gradients: against the enumeration of all that can happen, the paper's formula, and rule against rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from reward_worlds import Corridor, Counter, TinyMDP

from recurra.errors import UsageError
from recurra.learn.reward import PPO, REINFORCE, Actor, ContinuousActions, DiscreteActions, Policy, Rollout
from recurra.learn.reward.learner import RewardLearner
from recurra.learn.reward.update import look_again
from recurra.learn.rules import BPTT, RTRL, TBPTT
from recurra.nn import Recurrent

pytestmark = pytest.mark.usefixtures("double")


def gradients(policy: Policy) -> torch.Tensor:
    """All of them as one vector, and zeroed."""
    found = torch.cat([torch.zeros(w.numel()) if w.grad is None else w.grad.flatten() for w in policy.parameters()])
    policy.zero_grad()
    return found


def expected_return(policy: Policy, discount: float) -> torch.Tensor:
    """sum over all paths of p(path) (discounted return), differentiable, the policy stepped by hand."""
    total = torch.zeros(())
    for states, actions, rewards, chance in TinyMDP().paths():
        state, probability = None, torch.tensor(chance)
        for seen, action in zip(states, actions, strict=True):
            y, state = policy.network.step(torch.tensor([[float(seen)]]), state)
            probability = probability * torch.softmax(policy.read_out(y)[0], 0)[action]
        total = total + probability * sum(discount**k * reward for k, reward in enumerate(rewards))
    return total


def as_rollout(policy: Policy, paths: list) -> Rollout:
    """Paths as if they had been played side by side by the policy."""
    seen = torch.tensor([[[float(s)] for s in path[0]] for path in paths]).transpose(0, 1)
    action, reward = (torch.tensor([path[k] for path in paths]).T for k in (1, 2))
    with torch.no_grad():
        output, _ = policy(seen)
    end, reset = torch.zeros(reward.shape, dtype=torch.bool), torch.zeros(reward.shape, dtype=torch.bool)
    end[-1], reset[0] = True, True
    chance = policy.actions.log_probability(output.parameters, action)
    value = output.value
    follows = torch.cat([value[1:], torch.zeros_like(value[:1])])
    return Rollout(seen, action, chance, value, follows, reward, end, reset, None)


def probability(path: tuple, rollout: Rollout, copy: int) -> float:
    return path[3] * float(rollout.log_probability[:, copy].sum().exp())


@pytest.mark.parametrize("baseline", ["none", "value"])
def test_reinforce_weighted_by_all_that_can_happen_is_the_gradient_of_the_expected_return(baseline):
    policy = Policy(Recurrent("gru", 1, 3), DiscreteActions(2))
    with torch.no_grad():
        for weight in policy.parameters():
            weight.normal_()
    expected_return(policy, 1.0).backward()
    wanted = gradients(policy)
    # With a baseline that is no constant the mean stays the same: that is what makes it a baseline.
    method = REINFORCE(discount=1.0, baseline=baseline, value_weight=0.0)
    paths = TinyMDP().paths()
    everything, found, mass = as_rollout(policy, paths), torch.zeros_like(wanted), 0.0
    for copy, path in enumerate(paths):
        chance = probability(path, everything, copy)
        batch = method.batch(as_rollout(policy, [path]))
        BPTT().step(RewardLearner(policy, method.loss), batch, None)
        found, mass = found - chance * gradients(policy), mass + chance
    assert abs(mass - 1.0) < 1e-12 and wanted.abs().max() > 0.05
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_a_baseline_of_the_other_episodes_is_unbiased_and_smaller():
    policy = Policy(Recurrent("elman", 1, 2), DiscreteActions(2), value="none")
    with torch.no_grad():
        for weight in policy.parameters():
            weight.normal_()
    expected_return(policy, 1.0).backward()
    wanted = gradients(policy)
    paths = TinyMDP().paths()
    everything = as_rollout(policy, paths)
    method = REINFORCE(discount=1.0, baseline="mean")
    # All pairs of paths, each with its probability: of both copies' mean gradient.
    pairs = [(a, b) for a in range(len(paths)) for b in range(len(paths))]
    rollout = as_rollout(policy, [paths[copy] for pair in pairs for copy in pair])
    batch = method.batch(rollout)
    advantage = []
    for index in range(0, 2 * len(pairs), 2):
        part = method.batch(as_rollout(policy, [paths[copy] for copy in pairs[index // 2]]))
        advantage.append(part.advantage)
    chances = [probability(paths[c], everything, c) for c in range(len(paths))]
    weights = torch.tensor([chances[a] * chances[b] for a, b in pairs for _ in range(2)])
    batch = replace(batch, advantage=torch.cat(advantage, 1), divisor=torch.tensor(2.0))
    batch = replace(batch, weight=batch.weight * weights)
    BPTT().step(RewardLearner(policy, method.loss), batch, None)
    torch.testing.assert_close(-gradients(policy), wanted, rtol=1e-9, atol=1e-11)


def test_only_the_first_episode_of_each_copy_counts():
    policy = Policy(Recurrent("gru", 1, 3), DiscreteActions(2))
    table = [[(2, False), (2, False), (9, False)], [(4, False)]]
    rollout = Actor(policy, Counter(table)).act(10, until_all_ended=True)
    batch = REINFORCE(discount=0.5, baseline="none").batch(rollout)
    assert batch.weight.T.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]] and float(batch.divisor) == 2
    returns = batch.target[:, 1] * 7
    torch.testing.assert_close(returns, torch.tensor([1 + 1 + 0.75 + 0.5, 2 + 1.5 + 1, 3 + 2.0, 4.0]))


def ppo_by_hand(ratio, advantage, value, old_value, target, entropy, clip, value_clip, value_weight, entropy_weight):
    total = 0.0
    for r, a, v, o, g, h in zip(*map(np.ravel, (ratio, advantage, value, old_value, target, entropy)), strict=True):
        gain = min(r * a, min(max(r, 1 - clip), 1 + clip) * a)
        error = (v - g) ** 2
        if value_clip is not None:
            error = max(error, (o + min(max(v - o, -value_clip), value_clip) - g) ** 2)
        total += -gain + value_weight * error / 2 - entropy_weight * h
    return total / np.size(ratio)


@pytest.mark.parametrize("value_clip", [None, 0.05])
@pytest.mark.parametrize("actions", [DiscreteActions(3), ContinuousActions((-1.0, -2.0), (1.0, 2.0))])
def test_ppos_loss_is_the_papers(actions, value_clip):
    policy = Policy(Recurrent("gru", 2, 4), actions)
    rollout = _random_rollout(policy, 7, 5)
    method = PPO(value_clip=value_clip, entropy_weight=0.03, value_weight=0.7, clip=0.1)
    batch = method.batch(rollout)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    output = look_again(policy, batch)
    if isinstance(actions, DiscreteActions):
        chosen = torch.distributions.Categorical(logits=output.parameters)
        log_chance, entropy = chosen.log_prob(batch.action), chosen.entropy()
    else:
        mean, spread = output.parameters.chunk(2, -1)
        normal = torch.distributions.Independent(torch.distributions.Normal(mean, spread.exp()), 1)
        log_chance, entropy = normal.log_prob(batch.action), normal.entropy()
    ratio = (log_chance - batch.log_probability).exp()
    assert bool((ratio > 1.1).any()) and bool((ratio < 0.9).any())
    parts = (ratio, batch.advantage, output.value, batch.value, batch.target, entropy)
    wanted = ppo_by_hand(*(each.numpy() for each in parts), 0.1, value_clip, 0.7, 0.03)
    found, _ = RewardLearner(policy, method.loss)(batch, 0, batch.steps, None)
    assert abs(float(found.detach()) - wanted) < 1e-12


def _random_rollout(policy: Policy, steps: int, batch: int) -> Rollout:
    """Steps with resets inside and a first state; not of any world."""
    seen, reward = torch.randn(steps, batch, policy.input_size), torch.randn(steps, batch)
    reset = torch.rand(steps, batch) < 0.2
    reset[0] = torch.arange(batch) % 2 == 0
    with torch.no_grad():
        _, state = policy(torch.randn(3, batch, policy.input_size))
        output, _ = policy(seen, state, reset=reset)
        action = policy.actions.sample(output.parameters, torch.Generator().manual_seed(0))
        chance = policy.actions.log_probability(output.parameters, action)
    end = torch.cat([reset[1:], torch.zeros_like(reset[:1])])
    follows = torch.cat([output.value[1:], torch.randn(1, batch)])
    return Rollout(seen, action, chance, output.value, torch.where(end, 0.0, follows), reward, end, reset, state)


def test_the_ratio_is_one_before_the_first_step():
    """The gradient of the clipped loss is then the plain policy gradient."""
    policy = Policy(Recurrent("lstm", 2, 4), DiscreteActions(2))
    policy.scale.update(torch.randn(50, 2) * 3 + 1)
    actor = Actor(policy, Corridor(6, 3), seed=1)
    actor.act(5)
    rollout = actor.act(9)
    method = PPO(value_weight=0.0)
    batch = method.batch(rollout)
    learner = RewardLearner(policy, method.loss)
    BPTT().step(learner, batch, None)
    found = gradients(policy)
    output, _ = policy(batch.observation, batch.first_state, reset=batch.reset)
    chances = policy.actions.log_probability(output.parameters, batch.action)
    torch.testing.assert_close(chances.detach(), batch.log_probability, rtol=1e-12, atol=1e-12)
    (-(chances * batch.advantage).mean()).backward()
    torch.testing.assert_close(found, gradients(policy), rtol=1e-10, atol=1e-12)


def test_rules_see_first_states_and_resets():
    """TBPTT over all steps and RTRL give BPTT's gradient; TBPTT(2) is a sum of windows whose states are constants."""
    policy = Policy(Recurrent("gru", 2, 3), DiscreteActions(2))
    method = PPO(entropy_weight=0.1, clip=5.0)
    batch = method.batch(_random_rollout(policy, 6, 4))
    learner = RewardLearner(policy, method.loss)
    found = {}
    for rule in (BPTT(), TBPTT(6), TBPTT(2, 6), TBPTT(2), RTRL()):
        assert rule.supports(learner) is None
        loss, _ = rule.step(learner, batch, rule.reset(rule.init(learner)))
        found[repr(rule)] = (float(loss), gradients(policy))
    whole_loss, whole = found["BPTT()"]
    for name, (loss, gradient) in found.items():
        assert abs(loss - whole_loss) < 1e-10, name
        if name != "TBPTT(k1=2, k2=2)":
            torch.testing.assert_close(gradient, whole, rtol=1e-9, atol=1e-11)
    state = batch.first_state
    for start in (0, 2, 4):
        loss, state = learner(batch, start, start + 2, state)
        loss.backward()
        own, values = state
        state = (tuple(type(each)(*(part.detach() for part in each)) for each in own), values)
    windows = gradients(policy)
    torch.testing.assert_close(found["TBPTT(k1=2, k2=2)"][1], windows)
    assert not torch.allclose(windows, whole, rtol=1e-3)


def test_a_rule_that_cannot_serve_is_refused():
    class Never(BPTT):
        def supports(self, learner):
            return "it never does; use the rule bptt instead"

    policy = Policy(Recurrent("gru", 2, 3), DiscreteActions(2))
    with pytest.raises(UsageError, match="cannot serve this policy: it never does; use the rule bptt instead"):
        PPO(minibatches=1).fit(policy, Corridor(2), rule=Never(), steps=10)
