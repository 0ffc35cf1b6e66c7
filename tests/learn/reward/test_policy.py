"""Policies: their parts, their distributions, their scaling, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reward_worlds import Corridor

from recurra.cells import GRU
from recurra.errors import ShapeError, UsageError
from recurra.learn.reward import (
    PPO,
    REINFORCE,
    ContinuousActions,
    DiscreteActions,
    EpisodeFitness,
    EpisodeReturn,
    FeedForward,
    ObservationScale,
    Policy,
    RewardScale,
)
from recurra.learn.search import CoSyNE
from recurra.nn import LSTM as TorchLike
from recurra.nn import Recurrent


def test_frequencies_of_actions_are_their_probabilities():
    parameters = torch.tensor([0.3, -1.0, 1.2]).expand(20_000, 3)
    drawn = DiscreteActions(3).sample(parameters, torch.Generator().manual_seed(0))
    share = torch.bincount(drawn, minlength=3) / 20_000
    torch.testing.assert_close(share, torch.softmax(parameters[0], 0), atol=0.015, rtol=0)
    assert int(DiscreteActions(3).best(parameters[0])) == 2


def test_continuous_actions_have_their_mean_and_deviation():
    actions = ContinuousActions((-1.0, -np.inf), (1.0, np.inf))
    parameters = torch.tensor([0.5, -2.0, -1.0, 0.7])
    drawn = actions.sample(parameters.expand(20_000, 4), torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), parameters[:2], atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.std(0), parameters[2:].exp(), atol=0.05, rtol=0)
    given = actions.to_environment(torch.tensor([[0.25, 40.0], [-3.0, -40.0]]))
    np.testing.assert_array_equal(given, [[0.25, 40.0], [-1.0, -40.0]])
    assert ContinuousActions((0.0,), (4.0,)).to_environment(torch.tensor([[0.0]])) == 2.0


def test_the_value_reads_the_same_network_its_own_or_none():
    for value in ("shared", "own", "none"):
        policy = Policy(Recurrent("gru", 2, 4), DiscreteActions(2), value=value)
        output, (own, values) = policy(torch.randn(3, 2, 2))
        network = {id(weight) for weight in policy.network.parameters()}
        if value == "none":
            assert not output.value.any() and not output.value.requires_grad
            continue
        reached = torch.autograd.grad(output.value.sum(), list(policy.parameters()), allow_unused=True)
        touched = {id(w) for w, g in zip(policy.parameters(), reached, strict=True) if g is not None}
        assert bool(network & touched) == (value == "shared")
        assert (values == ()) == (value == "shared")
        assert value == "shared" or not torch.equal(policy.value_network.cells[0].weight_hh, own[0].h)


def test_a_value_network_begins_with_other_weights():
    policy = Policy(GRU(2, 4), DiscreteActions(2), value="own")
    assert not torch.equal(policy.network.cell.weight_hh, policy.value_network.cell.weight_hh)


def test_observations_are_scaled_by_all_that_was_seen():
    random = np.random.default_rng(0)
    parts = [random.normal(3.0, 5.0, (7, 4, 2)), random.normal(-1.0, 2.0, (1, 3, 2)), random.normal(size=(9, 1, 2))]
    scale = ObservationScale(2)
    x = torch.tensor([[100.0, -0.5]])
    assert torch.equal(scale(x), x)
    for part in parts:
        scale.update(torch.from_numpy(part))
    rows = np.concatenate([part.reshape(-1, 2) for part in parts])
    np.testing.assert_allclose(scale.mean.numpy(), rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(scale.variance.numpy(), rows.var(0), rtol=1e-12)
    wanted = np.clip((x.numpy() - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-8), -10, 10)
    np.testing.assert_allclose(scale(x).numpy(), wanted, rtol=1e-5)
    assert wanted[0, 0] == 10


def test_rewards_are_scaled_by_the_discounted_return():
    random = np.random.default_rng(1)
    reward, end = random.normal(size=(13, 3)), random.random((13, 3)) < 0.2
    scale, seen, running = RewardScale(3, 0.9), [], np.zeros(3)
    for t in range(13):
        running = 0.9 * running + reward[t]
        seen.append(running)
        running = np.where(end[t], 0.0, running)
    for start, stop in ((0, 5), (5, 13)):
        scale.update(torch.from_numpy(reward[start:stop]), torch.from_numpy(end[start:stop]))
    assert abs(scale.factor - 1 / np.sqrt(np.var(seen) + 1e-8)) < 1e-12


def test_what_does_not_act_is_no_gene():
    class Steered(Corridor):
        def __init__(self) -> None:
            super().__init__(3)
            self.actions = ContinuousActions((-1.0,), (1.0,))

    env = Steered()
    policy = Policy.for_environment("gru", env, 2, value="own")
    names = EpisodeFitness(policy, env).vector.names
    assert "read_out.weight" in names and "network.cells.0.weight_hh" in names
    assert not [name for name in names if name.startswith(("read_value", "value_network", "free"))]


CASES = [
    (lambda: Policy(torch.nn.Linear(2, 3), DiscreteActions(2)), "network is Linear.*Needed: a layer with weights"),
    (lambda: Policy(Recurrent("gru", 2, 3, bidirectional=True), DiscreteActions(2)), "bidirectional=True, which would"),
    (
        lambda: Policy(Recurrent("gru", 2, 3, batch_first=True), DiscreteActions(2)),
        "batch_first=True.*batch_first=False",
    ),
    (
        lambda: Policy(TorchLike(2, 3, 2), DiscreteActions(2)),
        r"\(2, 97, 3\) for a batch of 97. Needed: the batch first",
    ),
    (lambda: Policy(GRU(2, 3), DiscreteActions(2), value="all"), "value is 'all'. Needed: 'shared', 'own' or 'none'"),
    (
        lambda: Policy(GRU(2, 3), DiscreteActions(2), first_deviation=0),
        "first_deviation is 0. Needed: a number above 0",
    ),
    (lambda: FeedForward(2, (3, 0)), "hidden_sizes is 0. Needed: a positive whole number"),
    (lambda: PPO(window=0), "window is 0. Needed: a positive whole number"),
    (lambda: PPO(discount=1.5), "discount is 1.5. Needed: a number from 0 to 1"),
    (lambda: PPO(clip=0), "clip is 0. Needed: a number above 0"),
    (lambda: PPO(target_divergence=-1), "target_divergence is -1. Needed: a number above 0"),
    (lambda: REINFORCE(baseline="best"), "baseline is 'best'. Needed: 'value', 'mean' or 'none'"),
    (lambda: PPO(minibatches=5).fit(GRU(2, 3), Corridor(4)), "minibatches is 5. Needed: at most 4.*whole sequences"),
    (lambda: PPO().fit(GRU(3, 3), Corridor(4)), "reads 3 numbers.*Needed: 2 numbers and.*Cure: Policy.for_environment"),
    (lambda: PPO().fit(GRU(2, 3), Corridor(4), steps=0), "steps is 0. Needed: a positive whole number of steps"),
    (lambda: PPO().fit(GRU(2, 3), Corridor(4), progress=3), "progress is 3. Needed: True, False, or a function"),
    (
        lambda: PPO().fit(GRU(2, 3), Corridor(4), rule="bptt"),
        r"rule is 'bptt'. Needed: a gradient rule, such as BPTT\(\)",
    ),
    (lambda: PPO().fit(GRU(2, 3), object()), "env is object, which has no copies"),
    (
        lambda: PPO().fit(Policy(GRU(2, 3), DiscreteActions(2), value="none"), Corridor(4)),
        "value='none'. Needed: .*'own'",
    ),
    (lambda: REINFORCE().fit(Policy(GRU(2, 3), DiscreteActions(2), value="none"), Corridor(4)), "or another baseline"),
    (lambda: EpisodeReturn(2).fit(GRU(2, 3), Corridor(1), CoSyNE), "has 1 copies. Needed: at least 2 copies"),
    (lambda: EpisodeReturn().fit(GRU(2, 3), Corridor(1), CoSyNE(4)), r"dimension 4. Needed: \d+, the number"),
    (
        lambda: EpisodeReturn().fit(GRU(2, 3), Corridor(1), "ga"),
        "rule is 'ga'. Needed: a search.*Cure: lambda dimension",
    ),
]


@pytest.mark.parametrize(("wrong", "message"), CASES)
def test_messages(wrong, message):
    with pytest.raises(UsageError, match=f"(?s){message}"):
        wrong()


def test_an_observation_that_does_not_fit():
    with pytest.raises(ShapeError, match=r"observation has shape \(2, 3, 4\).*Needed: \(time, batch, 2\)"):
        Policy(GRU(2, 3), DiscreteActions(2))(torch.zeros(2, 3, 4))
