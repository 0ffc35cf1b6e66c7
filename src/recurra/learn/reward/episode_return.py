"""The return of whole episodes as a fitness: what searches make large on the same environments."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.state import map_state
from recurra.errors import UsageError
from recurra.learn.reward.environment import Environment, check_environment
from recurra.learn.reward.policy import Policy, policy_of
from recurra.learn.reward.result import RewardProgress, RewardResult, reporter
from recurra.learn.reward.update import check_count
from recurra.learn.search.base import Search
from recurra.learn.search.run import run_search
from recurra.learn.search.stopping import MaxEvaluations, Progress, Stop
from recurra.learn.search.weight_vector import WeightVector


class EpisodeFitness:
    """The mean return of each row of a population, which all play the same episodes; a copy for each, all at once.

    Equations:
        fitness_i = 1 / episodes sum_e (undiscounted return of the policy with weights i in the episode of seed_e), the
        most probable action (or the mean) being taken.

    Args:
        policy: whose weights the rows are.
        env: with copies >= episodes; copies / episodes rows play at once, and a larger population in several goes.
        episodes: of each row.
        limit: steps after which an episode counts as it is.
        seed: of the first episode.
        new_episodes: whether each call plays other episodes.

    Shapes:
        population (P, dimension), result (P,) float64.

    Attributes:
        vector: how rows become weights; its dimension is the search's.
        steps: taken so far.

    Raises:
        UsageError: an argument is out of range, or the policy does not fit the environment.
        ShapeError: the population does not fit.

    Example:
        >>> from recurra.learn.reward import Policy, PoleEnvironment
        >>> from recurra.problems.double_pole import SINGLE_POLE
        >>> env = PoleEnvironment(SINGLE_POLE, copies=6, limit=50)
        >>> fitness = EpisodeFitness(Policy.for_environment("elman", env, 2, value="none"), env)
        >>> fitness(torch.zeros(2, fitness.vector.dimension))
        tensor([22., 22.], dtype=torch.float64)
    """

    def __init__(
        self,
        policy: Policy,
        env: Environment,
        episodes: int = 1,
        *,
        limit: int = 10_000,
        seed: int = 0,
        new_episodes: bool = False,
    ) -> None:
        where = "EpisodeFitness"
        check_environment(env, where)
        self.episodes, self.limit = check_count("episodes", episodes, where), check_count("limit", limit, where)
        if env.copies < episodes:
            need = f"at least {episodes} copies, as a row plays all of its episodes at once"
            raise UsageError(f"the environment has {env.copies} copies", where=where, need=need)
        self.policy, self.env = policy_of(policy, env, where), env
        self.seed, self.new_episodes, self.steps, self._calls = seed, new_episodes, 0, 0
        # What does not bear on the most probable action is no gene: the value, and the spread of actions.
        genes = [name for name, weight in policy.named_parameters() if weight.requires_grad]
        idle = ("read_value", "value_network", "free")
        self.vector = WeightVector(policy, [name for name in genes if name.split(".")[0] not in idle])

    def __call__(self, population: Tensor) -> Tensor:
        """The fitness of each row."""
        training = self.policy.training
        self.policy.eval()
        at_once = self.env.copies // self.episodes
        with torch.no_grad():
            found = [self._play(part) for part in population.split(at_once)]
        self.policy.train(training)
        self._calls += 1
        return torch.cat(found)

    def _play(self, population: Tensor) -> Tensor:
        rows, spare = len(population), self.env.copies - len(population) * self.episodes
        first = self.seed + (self._calls * self.episodes if self.new_episodes else 0)
        seeds = [first + episode for episode in range(self.episodes)] * rows
        seen = torch.as_tensor(self.env.reset([*seeds, *[first] * spare]))
        returns = torch.zeros(self.env.copies, dtype=torch.float64)
        going = torch.arange(self.env.copies) < rows * self.episodes
        like, action, rest = self.policy.read_out.weight, None, getattr(self.env, "rest", lambda copies: None)
        # The rows that still play, their weights and states; rows that are through are taken out once they are half.
        playing, weights, state = torch.arange(rows), self.vector.stack(population), None
        for _ in range(self.limit):
            rest(~going.numpy())
            alive = going[: rows * self.episodes].view(rows, self.episodes).any(1)[playing]
            if state is not None and 2 * int(alive.sum()) <= len(playing):
                playing, state = playing[alive], map_state(lambda part: part[alive.to(part.device)], state)  # noqa: B023
                weights = {name: part[alive.to(part.device)] for name, part in weights.items()}
            places = (playing.unsqueeze(1) * self.episodes + torch.arange(self.episodes)).flatten()
            x = seen[places].to(like).unflatten(0, (len(playing), self.episodes))
            parameters, state = torch.vmap(self._look, in_dims=(0, 0, None if state is None else 0))(weights, x, state)
            chosen = self.policy.actions.best(parameters).flatten(0, 1).cpu()
            # Copies that no row has need of are given an action all the same.
            action = chosen[:1].expand(self.env.copies, *chosen.shape[1:]) if action is None else action
            action = action.index_copy(0, places, chosen)
            step = self.env.step(self.policy.actions.to_environment(action))
            returns = returns + torch.where(going, torch.as_tensor(step.reward, dtype=torch.float64), 0.0)
            self.steps += int(going.sum())
            going = going & ~(torch.as_tensor(step.terminated) | torch.as_tensor(step.truncated))
            if not bool(going.any()):
                break
            seen = torch.as_tensor(step.observation)
        return returns[: rows * self.episodes].view(rows, self.episodes).mean(1)

    def _look(self, weights: dict[str, Tensor], seen: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One network's step in all of its episodes."""
        output, state = self.vector.call(weights, seen.unsqueeze(0), state)
        return output.parameters[0], state


class EpisodeReturn:
    """The return of whole episodes as what is to become large, by any search.

    Args:
        episodes: of each network that is evaluated.
        limit: steps after which an episode counts as it is.
        new_episodes: whether each generation plays other episodes (the best fitness may then be luck).

    Raises:
        UsageError: an argument is out of range.

    Example:
        >>> from recurra.learn.reward import Policy, PoleEnvironment
        >>> from recurra.learn.search import CoSyNE, MaxEvaluations, MinFitness
        >>> from recurra.problems.double_pole import SINGLE_POLE
        >>> env = PoleEnvironment(SINGLE_POLE, copies=20, limit=200)
        >>> policy = Policy.for_environment("elman", env, 1, value="none")
        >>> stop = MinFitness(200) | MaxEvaluations(2000)
        >>> found = EpisodeReturn().fit(policy, env, lambda n: CoSyNE(n, population=20, spread=5.0), stop=stop)
        >>> found.history[-1].mean_return
        200.0
    """

    def __init__(self, episodes: int = 1, *, limit: int = 10_000, new_episodes: bool = False) -> None:
        self.episodes = check_count("episodes", episodes, "EpisodeReturn")
        self.limit, self.new_episodes = check_count("limit", limit, "EpisodeReturn"), bool(new_episodes)

    def fit(
        self,
        net: nn.Module,
        env: Environment,
        rule: Any,
        *,
        stop: Stop | None = None,
        seed: int = 0,
        progress: Any = None,
    ) -> RewardResult:
        """Search in the environment; the best weights are in the policy afterwards.

        Args:
            net: a `Policy`, or a layer or cell, of which one is made.
            env: where.
            rule: a search, what makes one from the number of weights, or a plan of one: `recurra.learn.CoSyNE()`, say.
            stop: when to stop; after 10,000 evaluations when absent.
            seed: of the episodes, and of a search that is planned.
            progress: True for lines on standard error, or a function that is given a `RewardProgress` every generation.
        """
        check_environment(env, "EpisodeReturn")
        policy = policy_of(net, env, "EpisodeReturn", "none")
        fitness = EpisodeFitness(
            policy, env, self.episodes, limit=self.limit, seed=seed, new_episodes=self.new_episodes
        )
        search = rule if isinstance(rule, Search) else _made(rule, fitness.vector, seed)
        if search.dimension != fitness.vector.dimension:
            need = f"{fitness.vector.dimension}, the number of the policy's weights that take part"
            raise UsageError(f"the search has dimension {search.dimension}", where="EpisodeReturn", need=need)
        report, started = reporter(progress, "EpisodeReturn"), time.monotonic()
        history: list[RewardProgress] = []
        nan = float("nan")

        def keep(now: Progress) -> None:
            seconds, episodes = time.monotonic() - started, now.evaluations * self.episodes
            history.append(RewardProgress(fitness.steps, episodes, now.fitness, nan, nan, nan, seconds))
            report(history[-1])

        outcome = run_search(search, fitness, MaxEvaluations(10_000) if stop is None else stop, report=keep)
        if outcome.best.vector is not None:
            fitness.vector.write(outcome.best.vector)
        return RewardResult(policy, history, [], outcome.reason)

    fit_reward = fit


def _made(rule: Any, vector: WeightVector, seed: int) -> Search:
    """The search of a plan, or of a function from the number of weights."""
    if hasattr(rule, "build"):
        search = rule.build(vector, seed)
    else:
        search = rule(vector.dimension) if callable(rule) else None
    if not isinstance(search, Search):
        need = "a search, a plan of one, or a function that makes one from the number of weights"
        cure = "lambda dimension: CoSyNE(dimension), or recurra.learn.CoSyNE()"
        raise UsageError(f"rule is {rule!r}", where="EpisodeReturn", need=need, cure=cure)
    return search
