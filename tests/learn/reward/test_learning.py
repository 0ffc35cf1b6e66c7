"""What can be learned: a maze that needs a memory, poles that need velocities, by gradients and by searches."""

from __future__ import annotations

import pytest
import torch
from reward_worlds import Corridor

from recurra.learn.reward import (
    PPO,
    REINFORCE,
    EpisodeFitness,
    EpisodeReturn,
    PoleEnvironment,
    Policy,
    play_episodes,
)
from recurra.learn.rules import BPTT, TBPTT
from recurra.learn.search import CoSyNE, MaxEvaluations, MaxGenerations, MinFitness, RandomGuess
from recurra.nn import Recurrent
from recurra.problems.double_pole import SINGLE_POLE


def mean_return(policy: Policy, length: int) -> float:
    """Over 200 episodes that it has not learned from."""
    return float(play_episodes(policy, Corridor(20, length), 200, seed=99).returns.mean())


@pytest.mark.parametrize("method", ["ppo", "reinforce"])
def test_a_gru_solves_the_maze_and_a_network_without_memory_does_not(method):
    ppo = PPO(window=8, epochs=4, minibatches=1, learning_rate=0.02, entropy_weight=0.01)
    learner = ppo if method == "ppo" else REINFORCE(learning_rate=0.03, entropy_weight=0.01)
    env, reached = Corridor(16, 1), {}
    for cell in ("gru", "feed_forward"):
        torch.manual_seed(0)
        policy = Policy.for_environment(cell, env, 8)
        learner.fit(policy, env, steps=4000, seed=0)
        reached[cell] = mean_return(policy, 1)
    assert reached["gru"] == 1.0
    assert abs(reached["feed_forward"]) < 0.3


def test_windows_that_begin_within_episodes_carry_the_state_over():
    """Episodes of 3 steps in windows of 7: every third window begins at the sign."""
    env = Corridor(16, 2)
    torch.manual_seed(0)
    policy = Policy.for_environment("gru", env, 8)
    method = PPO(window=7, minibatches=1, learning_rate=0.02, gae_lambda=1.0, discount=1.0, entropy_weight=0.01)
    method.fit(policy, env, rule=TBPTT(7), steps=4500, seed=0)
    assert mean_return(policy, 2) > 0.95


def test_a_goal_ends_learning_and_the_same_seed_repeats_it():
    env, results = Corridor(16, 1), []
    for _ in range(2):
        torch.manual_seed(0)
        policy = Policy.for_environment("gru", env, 8)
        method = PPO(window=8, minibatches=2, learning_rate=0.02, normalise_observations=True, normalise_rewards=True)
        seen: list[int] = []
        result = method.fit(
            policy,
            env,
            rule=BPTT(),
            steps=20_000,
            seed=1,
            goal=0.7,
            progress=lambda row, seen=seen: seen.append(row.steps),
        )
        assert result.stopped_because.startswith("the mean return is") and result.steps < 20_000
        assert seen == [row.steps for row in result.history] and result.history[-1].mean_return >= 0.7
        results.append(result)
    first, again = results
    assert [row.loss for row in first.history] == [row.loss for row in again.history]
    assert first.episodes == again.episodes


def test_policies_that_act_anew_keep_what_was_scaled():
    env = Corridor(8, 1)
    policy = Policy.for_environment("gru", env, 4)
    PPO(window=8, minibatches=1, normalise_observations=True).fit(policy, env, steps=200)
    other = Policy.for_environment("gru", env, 4)
    other.load_state_dict(policy.state_dict())
    seen = torch.randn(4, 2, 2)
    assert not torch.equal(policy.scale.mean, torch.zeros(2))
    torch.testing.assert_close(policy(seen)[0].parameters, other(seen)[0].parameters, rtol=0, atol=0)


def test_fitness_is_the_return_of_each_row_played_alone():
    env = PoleEnvironment(SINGLE_POLE, copies=7, limit=60, jitter=0.05)
    policy = Policy(Recurrent("gru", 2, 3, dtype=torch.float64), env.actions, value="none")
    fitness = EpisodeFitness(policy, env, episodes=2, seed=5)
    population = 3.0 * torch.randn(8, fitness.vector.dimension, dtype=torch.float64, generator=torch.manual_seed(0))
    found = fitness(population)  # in three goes, the last one with spare copies
    alone = PoleEnvironment(SINGLE_POLE, copies=2, limit=60, jitter=0.05)
    for row, vector in enumerate(population):
        fitness.vector.write(vector)
        played = play_episodes(policy, alone, 2, seed=5)
        assert float(found[row]) == float(played.returns.mean())
    assert len(set(found.tolist())) > 3
    assert torch.equal(found, fitness(population))


def test_new_episodes_are_other_episodes():
    env = PoleEnvironment(SINGLE_POLE, copies=4, limit=60, jitter=0.1)
    policy = Policy(Recurrent("elman", 2, 3), env.actions, value="none")
    fitness = EpisodeFitness(policy, env, new_episodes=True)
    population = torch.randn(4, fitness.vector.dimension, generator=torch.manual_seed(0))
    assert not torch.equal(fitness(population), fitness(population))


def test_a_search_balances_a_pole_without_velocities():
    env = PoleEnvironment(SINGLE_POLE, copies=20, limit=200)
    policy = Policy.for_environment("elman", env, 1, value="none")
    stop = MinFitness(200.0) | MaxEvaluations(3000)
    found = EpisodeReturn().fit(policy, env, lambda n: CoSyNE(n, population=20, spread=5.0), stop=stop)
    assert found.stopped_because == "the fitness is 200"
    assert play_episodes(policy, env, 1).lengths.tolist() == [200]
    assert found.history[-1].episodes < 3000 and found.steps > 0


def test_objectives_may_be_given_layers_and_cells():
    env = Corridor(4, 1)
    for net in (Recurrent("gru", 2, 4), Recurrent("gru", 2, 4).cells[0]):
        result = PPO(window=4, minibatches=2).fit_reward(net, env, rule=TBPTT(2), steps=32)
        assert isinstance(result.policy, Policy) and result.steps == 32
        assert REINFORCE(limit=4).fit_reward(net, env, rule=BPTT(), steps=32).steps >= 32
        search = EpisodeReturn(limit=4).fit_reward(net, env, rule=lambda n: RandomGuess(n, 4), stop=MaxGenerations(2))
        assert len(search.history) == 2


def test_fit_hands_over_to_the_objective(capsys):
    from recurra import learn

    env = Corridor(4, 1)
    policy = Policy.for_environment("gru", env, 4)
    result = learn.fit(policy, env, PPO(window=4, minibatches=2), rule=TBPTT(2), steps=32, progress=True)
    assert result.policy is policy and result.steps == 32
    assert capsys.readouterr().err.startswith("16 steps, 8 episodes, mean return ")
    plan = learn.CoSyNE(population=8, stop=MaxGenerations(3))
    found = learn.fit(policy, env, EpisodeReturn(limit=4), rule=plan, seed=2, progress=False)
    assert len(found.history) == 3 and found.history[-1].episodes == 24
    assert capsys.readouterr().err == ""


def test_results_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    env = Corridor(4, 1)
    result = PPO(window=4, minibatches=2).fit(Recurrent("gru", 2, 4), env, steps=64)
    axes = result.plot()
    assert [len(line.get_xdata()) for line in axes.get_lines()] == [len(result.episodes), len(result.history)]
    axes.figure.savefig(tmp_path / "returns.svg")
