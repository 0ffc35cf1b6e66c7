"""A network that acts: any recurrent layer with read-outs for the actions and for the value of where one stands."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, check_input
from recurra.cells.state import state_tensors
from recurra.errors import UsageError
from recurra.learn.reward.actions import Actions
from recurra.learn.reward.environment import Environment, check_environment
from recurra.learn.reward.feed_forward import FeedForward
from recurra.learn.reward.scaling import ObservationScale
from recurra.nn.recurrent import Recurrent
from recurra.types import State
from recurra.unroll import unroll

VALUES = ("shared", "own", "none")


class PolicyOutput(NamedTuple):
    """What a policy says at each step.

    Attributes:
        parameters: of the distribution of actions, (time, batch, read_out_size + free_size).
        value: the return that is expected from here on, (time, batch); zeros for a policy without values.
    """

    parameters: Tensor
    value: Tensor


class Policy(nn.Module):
    """A layer, recurrent or not, with a read-out of the actions' distribution and one of the value.

    Equations:
        y_t, s_t = network(scale(o_t), s_{t-1}),  parameters_t = [W_a y_t + b_a; free],  value_t = w_v y_t + b_v,
        with a network of the same kind of its own for the value where value = "own".

    Args:
        network: a layer called as network(x, state, reset=...), time first, that gives (y, state): any layer of
            `recurra.nn` in one direction, a cell, or a `FeedForward`.
        actions: what may be done.
        value: "shared" (read out of the same network), "own" (of a copy of it, its weights drawn anew) or "none".
        first_deviation: standard deviation of continuous actions at the start.

    Shapes:
        observation (time, batch, input_size), reset (time, batch); the state is a pair, the network's and that of the
        value's own network (or ()).

    Raises:
        UsageError: the network does not serve, or an argument is out of range.
        ShapeError: the observation does not fit.

    Reference:
        D. Wierstra, A. Foerster, J. Peters, J. Schmidhuber. Solving deep memory POMDPs with recurrent policy gradients.
        ICANN (2007) 697-706.

    Example:
        >>> from recurra.learn.reward import DiscreteActions
        >>> policy = Policy(Recurrent("gru", 2, 8), DiscreteActions(3))
        >>> output, state = policy(torch.zeros(5, 4, 2))
        >>> output.parameters.shape, output.value.shape
        (torch.Size([5, 4, 3]), torch.Size([5, 4]))
    """

    def __init__(
        self, network: nn.Module, actions: Actions, *, value: str = "shared", first_deviation: float = 0.6
    ) -> None:
        super().__init__()
        if value not in VALUES:
            raise UsageError(
                f"value is {value!r}", where="Policy", need=", ".join(map(repr, VALUES[:-1])) + " or 'none'"
            )
        if not first_deviation > 0:
            raise UsageError(f"first_deviation is {first_deviation!r}", where="Policy", need="a number above 0")
        network = CellAlongTime(network) if isinstance(network, Cell) else network
        self.input_size, width = check_network(network)
        self.actions, self.value_from = actions, value
        like = next(network.parameters())
        made: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
        self.scale = ObservationScale(self.input_size).to(like.device)
        self.network = network
        self.read_out = nn.Linear(width, actions.read_out_size, **made)
        self.free = None
        if actions.free_size:
            start = torch.full((actions.free_size,), first_deviation, **made).log()
            self.free = nn.Parameter(start)
        self.value_network = _drawn_anew(network) if value == "own" else None
        self.read_value = None if value == "none" else nn.Linear(width, 1, **made)
        with torch.no_grad():
            # Small, so that at first no action is preferred and nothing hinders exploration.
            for weight in (self.read_out.weight, self.read_out.bias):
                weight.mul_(0.01)

    @classmethod
    def for_environment(
        cls,
        cell: str | type[Cell],
        env: Environment,
        hidden_size: int = 32,
        *,
        value: str = "shared",
        first_deviation: float = 0.6,
        **layer: Any,
    ) -> Policy:
        """A policy that fits an environment: of a registered cell's name, or "feed_forward".

        Args:
            cell: as `Recurrent` takes it, or "feed_forward".
            env: the environment.
            hidden_size: units.
            value, first_deviation: as above.
            layer: further arguments of `Recurrent`.

        Example:
            >>> from recurra.learn.reward import PoleEnvironment
            >>> from recurra.problems.double_pole import SINGLE_POLE
            >>> policy = Policy.for_environment("lstm", PoleEnvironment(SINGLE_POLE), 16)
            >>> policy.network.cell
            'lstm'
        """
        check_environment(env, "Policy.for_environment")
        size = env.observation_size
        if cell == "feed_forward":
            network: nn.Module = FeedForward(size, hidden_size, **layer)
        else:
            network = Recurrent(cell, size, hidden_size, **layer)
        return cls(network, env.actions, value=value, first_deviation=first_deviation)

    def forward(
        self, observation: Tensor, state: State | None = None, *, reset: Tensor | None = None
    ) -> tuple[PolicyOutput, State]:
        """Whole sequences: the distributions and values at each step, and the state after the last one."""
        check_input(observation, ("time", "batch"), self.input_size, where="Policy", name="observation")
        x = self.scale(observation.to(self.read_out.weight.dtype))
        own, values = (None, None) if state is None else state
        y, own = self.network(x, own, reset=reset)
        parameters = self.read_out(y)
        if self.free is not None:
            parameters = torch.cat([parameters, self.free.expand(*parameters.shape[:-1], -1)], -1)
        if self.value_network is not None:
            y, values = self.value_network(x, values, reset=reset)
        else:
            values = ()
        value = torch.zeros_like(y[..., 0]) if self.read_value is None else self.read_value(y).squeeze(-1)
        return PolicyOutput(parameters, value), (own, values)

    def extra_repr(self) -> str:
        return f"{self.actions}, value={self.value_from!r}"


class CellAlongTime(nn.Module):
    """A cell in the form of a layer."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell, self.input_size, self.output_size = cell, cell.input_size, cell.output_size

    def forward(self, x: Tensor, state: State | None = None, *, reset: Tensor | None = None) -> tuple[Tensor, State]:
        """The cell run along time."""
        return unroll(self.cell, x, state, reset=reset)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.cell.reset_parameters()


def check_network(network: nn.Module) -> tuple[int, int]:
    """The features that a network reads and gives, or a UsageError where it does not serve a policy."""
    where, cure = "Policy", "Recurrent('gru', observation_size, hidden_size), say"
    reads, gives = getattr(network, "input_size", None), getattr(network, "output_size", None)
    if not isinstance(reads, int) or not isinstance(gives, int) or next(network.parameters(), None) is None:
        need = "a layer with weights, input_size and output_size"
        raise UsageError(f"network is {type(network).__name__}", where=where, need=need, cure=cure)
    for name, reason in (
        ("bidirectional", "which would have to see the future to act"),
        ("batch_first", "and sequences of actions come time first"),
    ):
        if getattr(network, name, False):
            raise UsageError(f"the network has {name}=True, {reason}", where=where, need=f"{name}=False", cure=cure)
    like = next(network.parameters())
    with torch.no_grad():
        # A prime that is nobody's number of layers.
        _, state = network(torch.zeros(1, 97, reads, dtype=like.dtype, device=like.device), None, reset=None)
    wrong = [tuple(part.shape) for part in state_tensors(state) if part.shape[:1] != (97,)]
    if wrong:
        raise UsageError(
            f"the state of {type(network).__name__} has a tensor {wrong[0]} for a batch of 97",
            where=where,
            need="the batch first in every tensor of the state, so that sequences can be dealt out to batches",
            cure=cure,
        )
    return reads, gives


def policy_of(net: nn.Module, env: Environment, where: str, value: str = "shared") -> Policy:
    """The policy that was given, or one made of a layer or cell; checked against the environment."""
    policy = net if isinstance(net, Policy) else Policy(net, env.actions, value=value)
    if policy.input_size != env.observation_size or policy.actions != env.actions:
        raise UsageError(
            f"the policy reads {policy.input_size} numbers and gives {policy.actions}",
            where=where,
            need=f"{env.observation_size} numbers and {env.actions}, as the environment has",
            cure="Policy.for_environment('gru', env) makes one that fits",
        )
    return policy


def _drawn_anew(network: nn.Module) -> nn.Module:
    other = copy.deepcopy(network)
    if not hasattr(other, "reset_parameters"):
        raise UsageError(
            f"{type(network).__name__} has no reset_parameters",
            where="Policy",
            need="it for value='own', as the value's network begins with other weights",
            cure="value='shared'",
        )
    other.reset_parameters()  # type: ignore[operator]
    return other
