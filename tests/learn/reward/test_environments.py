"""Environments: gymnasium's, the poles, and observations of which a part is hidden."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from recurra.errors import ShapeError, UsageError
from recurra.learn.reward import (
    ContinuousActions,
    DiscreteActions,
    EpisodeFitness,
    GymnasiumEnvironment,
    PartialObservation,
    PoleEnvironment,
    Policy,
    play_episodes,
)
from recurra.problems.double_pole import DOUBLE_POLE, SINGLE_POLE

try:
    import gymnasium
except ImportError:
    gymnasium = None

needs_gymnasium = pytest.mark.skipif(gymnasium is None, reason="gymnasium is not installed")


@needs_gymnasium
@pytest.mark.parametrize("vector", [False, True])
def test_copies_are_gymnasiums_own_environments_begun_again_in_the_same_step(vector):
    limit = 12
    make = {"disable_env_checker": True, "max_episode_steps": limit}
    if vector:
        mode = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
        source = gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync", vector_kwargs=mode, **make)
        env = GymnasiumEnvironment(source)
    else:
        env = GymnasiumEnvironment("CartPole-v1", copies=3, **make)
    alone = [gymnasium.make("CartPole-v1", **make) for _ in range(3)]
    seen = [each.reset(seed=7 + copy)[0] for copy, each in enumerate(alone)]
    np.testing.assert_array_equal(env.reset(7), seen)
    random, ends = np.random.default_rng(0), [0, 0]
    for t in range(40):
        actions = random.integers(0, 2, 3)
        actions[0], actions[1] = 1, t % 2  # one that falls, one that is cut off
        step = env.step(actions)
        for copy, each in enumerate(alone):
            last, reward, terminated, truncated, _ = each.step(int(actions[copy]))
            after = each.reset()[0] if terminated or truncated else last
            np.testing.assert_array_equal(step.last[copy], last)
            np.testing.assert_array_equal(step.observation[copy], after)
            assert step.reward[copy] == reward and step.terminated[copy] == terminated
            assert step.truncated[copy] == (truncated and not terminated)
        ends = [ends[0] + step.terminated.sum(), ends[1] + step.truncated.sum()]
    assert min(ends) > 0
    env.close()


@needs_gymnasium
def test_continuous_actions_span_the_bounds():
    env = GymnasiumEnvironment("Pendulum-v1", copies=2)
    assert env.actions == ContinuousActions((-2.0,), (2.0,)) and env.observation_size == 3
    env.reset(0)
    assert env.step(env.actions.to_environment(torch.tensor([[0.5], [-9.0]]))).reward.shape == (2,)
    torch.manual_seed(0)
    played = play_episodes(Policy.for_environment("gru", env, 4), env, 2)
    assert played.lengths.tolist() == [200, 200] and bool((played.returns < 0).all())


@needs_gymnasium
def test_copies_at_rest_change_no_fitness():
    torch.manual_seed(0)
    env = PartialObservation(GymnasiumEnvironment("CartPole-v1", copies=12), hide=(1, 3))
    policy = Policy.for_environment("gru", env, 3, value="none")
    population = 2.0 * torch.randn(6, EpisodeFitness(policy, env).vector.dimension)
    found = EpisodeFitness(policy, env, 2)(population)
    alone = PartialObservation(GymnasiumEnvironment("CartPole-v1", copies=2), hide=(1, 3))
    alone.rest = lambda which: None
    for row in range(6):
        assert float(EpisodeFitness(policy, alone, 2)(population[row : row + 1])) == float(found[row])
    assert len(set(found.tolist())) > 3


@needs_gymnasium
def test_gymnasium_refusals():
    with pytest.raises(UsageError, match="source is 'NoSuchThing-v0'.*Needed: a name that gymnasium.make knows"):
        GymnasiumEnvironment("NoSuchThing-v0")
    with pytest.raises(UsageError, match="the observations are Discrete.*Needed: a Box.*FlattenObservation"):
        GymnasiumEnvironment("FrozenLake-v1")
    with pytest.raises(UsageError, match="mode of reset is AutoresetMode.NEXT_STEP.*Needed: AutoresetMode.SAME_STEP"):
        GymnasiumEnvironment(gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync"))
    with pytest.raises(UsageError, match="copies is 0. Needed: a positive whole number"):
        GymnasiumEnvironment("CartPole-v1", copies=0)
    with pytest.raises(ShapeError, match="3 seeds were given. Needed: 2, one for each copy, or one"):
        GymnasiumEnvironment("CartPole-v1", copies=2).reset([1, 2, 3])


def test_without_gymnasium_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(UsageError, match=r"gymnasium is not installed.*Cure: pip install 'recurra\[control\]'"):
        GymnasiumEnvironment("CartPole-v1")


@pytest.mark.parametrize("discrete", [True, False])
def test_poles_follow_their_plant(discrete):
    env = PoleEnvironment(DOUBLE_POLE, copies=3, limit=4, discrete=discrete, jitter=0.01)
    seen = env.reset([4, 5, 5])
    np.testing.assert_array_equal(seen[1], seen[2])
    assert not np.array_equal(seen[0], seen[1])
    state = env._state.copy()
    noise = np.random.default_rng(4).uniform(-0.01, 0.01, 6)
    np.testing.assert_allclose(state[:, 0], DOUBLE_POLE.initial(1)[:, 0] + noise, rtol=1e-12)
    for t in range(1, 5):
        actions = np.array([0, 1, 1]) if discrete else np.array([[-1.0], [1.0], [1.7]])
        state = DOUBLE_POLE.advance(state, DOUBLE_POLE.force(np.array([-1.0, 1.0, 1.0])))
        step = env.step(actions)
        np.testing.assert_array_equal(step.last, DOUBLE_POLE.observe(state, False).T)
        assert not step.terminated.any() and step.truncated.all() == (t == 4)
        assert np.array_equal(step.observation, step.last) == (t < 4)


def test_a_pole_that_falls_terminates_without_a_reward():
    env = PoleEnvironment(SINGLE_POLE, copies=1, discrete=True)
    env.reset(0)
    for _ in range(100):
        step = env.step(np.array([0]))
        if step.terminated[0]:
            break
        assert step.reward[0] == 1.0
    assert step.terminated[0] and step.reward[0] == 0.0 and not step.truncated[0]
    np.testing.assert_array_equal(step.observation[0], env.reset(0)[0])


def test_hidden_numbers_are_gone_and_the_others_stay():
    whole = PoleEnvironment(SINGLE_POLE, copies=2, velocities=True, limit=2, jitter=0.1)
    seen = PartialObservation(PoleEnvironment(SINGLE_POLE, copies=2, velocities=True, limit=2, jitter=0.1), hide=(3, 0))
    assert seen.observation_size == 2 and seen.actions == whole.actions and seen.copies == 2
    np.testing.assert_array_equal(seen.reset(3), whole.reset(3)[:, [1, 2]])
    for _ in range(3):
        one, other = seen.step(np.zeros((2, 1))), whole.step(np.zeros((2, 1)))
        np.testing.assert_array_equal(one.observation, other.observation[:, [1, 2]])
        np.testing.assert_array_equal(one.last, other.last[:, [1, 2]])


def test_refusals():
    env = PoleEnvironment(SINGLE_POLE, copies=2)
    for hide in ((0, 0), (2,), (-1,), (0, 1)):
        with pytest.raises(UsageError, match="hide is .*Needed: different positions from 0 to 1, and at least one"):
            PartialObservation(env, hide=hide)
    with pytest.raises(UsageError, match="env is Linear, which has no copies.*Cure: GymnasiumEnvironment"):
        PartialObservation(torch.nn.Linear(1, 1), hide=())
    with pytest.raises(ShapeError, match=r"actions has shape \(2,\). Needed: \(2, 1\)"):
        env.step(np.zeros(2))
    for name in ("copies", "limit"):
        with pytest.raises(UsageError, match=f"{name} is 0. Needed: a positive whole number"):
            PoleEnvironment(SINGLE_POLE, **{name: 0})
    with pytest.raises(UsageError, match="count is 1. Needed: a whole number, at least 2"):
        DiscreteActions(1)
    with pytest.raises(UsageError, match="Needed: each low bound below its high bound"):
        ContinuousActions((0.0,), (0.0,))
    with pytest.raises(UsageError, match="1 low and 2 high bounds"):
        ContinuousActions((0.0,), (1.0, 2.0))
