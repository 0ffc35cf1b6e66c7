"""Causal recursive back-propagation, for locally recurrent networks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.rules.cell_calls import CellCall, CellWatch, walk_back, why_not_watched
from recurra.learn.rules.local_layers import LocalLayer, local_layer, serves
from recurra.types import Batch, Cost


@dataclass
class Moment:
    """A time step whose errors are still on their way: one entry a layer in each list.

    Attributes:
        calls: the cells' calls.
        slopes: 1 - y^2.
        sensitivities: ds/dw; None once used.
        deltas: the errors at s, None until they are complete.
        left_out: sequences that have ended before this step.
    """

    calls: list[CellCall]
    slopes: list[Tensor]
    sensitivities: list[Tensor | None]
    deltas: list[Tensor | None]
    left_out: Tensor | None


@dataclass
class CRBPMemory:
    """What the rule carries from step to step, and from batch to batch of one stream.

    Attributes:
        state: the learner's state.
        size: sequences of the batch.
        past: for each layer, the latest sensitivities that are fed back, newest first.
        moments: the steps on their way, oldest first.
        first: the number of the oldest of them.
        done, reached: for each layer, the steps whose delta is complete, and whose error was handed down.
        watch: what sees the cells.
    """

    state: Any = None
    size: int = 0
    past: list[deque[Tensor]] = field(default_factory=list)
    moments: deque[Moment] = field(default_factory=deque)
    first: int = 0
    done: list[int] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)
    watch: CellWatch | None = None


class CRBP:
    """Causal recursive back-propagation: forward recursions inside the synapses, backward ones between the layers.

    Equations:
        for layer l = 1..M, y_n = tanh(s_n), and errors e_n(t) = dL/dy_n(t):
        delta_n(t) = e_n(t) (1 - y_n(t)^2)
        dL/dw = sum_t delta_n(t) ds_n(t)/dw        ds/dw by a recursion forward in time, exact, never cut off
        e(t) of layer l - 1 = sum_{j=0..Q} sum_n delta_n(t+j) ds_n(t+j)/dx(t), from the deltas of layer l
        Q = horizon; the weights of layer l at step t are served at step t + (M - l) Q, when all this is known.
        The recursions of each kind of layer stand in `local_layers.py`.

    Without the cut (Q at least the sequence's length less one) it is the exact gradient (recursive back-propagation).
    Special cases:

    - weights of memory at zero: back-propagation (BP);
    - FIR synapses of order D and Q >= D: temporal back-propagation (TBP), exact;
    - memory in one layer alone, with layers without memory above: back-propagation for sequences (BPS), exact for
      every Q, with nothing delayed;
    - Q = 0: the rule of Back and Tsoi, which sends errors through the instantaneous coefficients w_0 alone.

    Truncated BPTT is not a special case: it cuts the recursions inside the synapses too.

    What stands below, between and above the cells may be any layers without memory; they are served with the cells. The
    influences are carried on from batch to batch of a stream until `reset`, and so are errors on their way until
    `flush`.

    Args:
        horizon: Q, how many later steps' errors a layer hands to the layer below, from 0.

    Shapes:
        the learner's own: cells FIR, IIR and LocalFeedback, on their own or stacked, in one direction.

    Raises:
        UsageError: horizon is no whole number from 0; the learner has a memory beside its cells, runs a cell twice a
            step, or changes a sequence's state between steps that count; the batch has another size than the one whose
            stream is carried on.

    Differs from the paper: there, weights change at every step; here the gradients of a batch are added up first, so
    that every optimiser sees one gradient a batch. One horizon serves all layers.

    Reference:
        P. Campolucci, A. Uncini, F. Piazza, B. D. Rao. On-line learning algorithms for locally recurrent neural
        networks. IEEE Transactions on Neural Networks 10 (1999) 253-271.
        A. D. Back, A. C. Tsoi. FIR and IIR synapses, a new neural network architecture for time series modeling. Neural
        Computation 3 (1991) 375-385.

    Example:
        >>> CRBP(horizon=10)
        CRBP(horizon=10)
        >>> CRBP(10).cost(hidden=8, parameters=100, steps=50).time
        1100.0
    """

    name = "crbp"
    exact = False
    unbiased = False
    online = True
    one_backward = False

    def __init__(self, horizon: int):
        if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 0:
            raise UsageError(
                f"horizon is {horizon!r}",
                where="rule crbp(horizon)",
                need="a whole number of steps, at least 0",
                cure="write crbp(10); crbp(0) is the rule of Back and Tsoi",
            )
        self.horizon = horizon

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """Each step's errors reach horizon + 1 steps; sensitivities are kept until theirs have arrived."""
        much = float(parameters * (min(self.horizon, max(steps - 1, 0)) + 1))
        return Cost(much, much, "time O(p (K + Q)) a step, memory O(p (K + Q)), K the filters' order")

    def supports(self, learner: nn.Module) -> str | None:
        """None, or what in the learner is not a locally recurrent cell."""
        return why_not_watched(learner, serves, self.name, "locally recurrent cells alone (FIR, IIR, LocalFeedback)")

    def init(self, learner: nn.Module) -> CRBPMemory:
        """Nothing has been read."""
        return CRBPMemory()

    def step(self, learner: nn.Module, batch: Batch, memory: CRBPMemory) -> tuple[Tensor, CRBPMemory]:
        """Add to `.grad` what has become complete; returns the detached loss and the memory."""
        reason = self.supports(learner)
        if reason:
            raise UsageError(reason, where="rule crbp", need="a locally recurrent network")
        if memory.state is not None and memory.size != batch.size:
            raise UsageError(
                f"the batch has {batch.size} sequences, and the stream that is carried on has {memory.size}",
                where="rule crbp",
                need="the same sequences, further on",
                cure="rule.reset(memory) before new sequences",
            )
        if batch.steps == 0:
            return learner(batch, 0, 0, memory.state)[0].detach(), memory
        watch = memory.watch = memory.watch or CellWatch(learner, self.name)
        watch.learner, memory.size = learner, batch.size
        layers: list[LocalLayer] = []
        losses = []
        for t in range(batch.steps):
            loss, memory.state, calls = watch.step(batch, t, memory.state)
            walk_back(loss, None, self.name)
            losses.append(loss.detach())
            layers = layers or [local_layer(call.cell) for call in calls]
            with torch.no_grad():
                self._take_up(layers, calls, memory)
                newest = memory.first + len(memory.moments) - 1
                self._bring_back(layers, memory, newest)
        return torch.stack(losses).sum(), memory

    def flush(self, learner: nn.Module, memory: CRBPMemory) -> CRBPMemory:
        """Bring all errors that are on their way to their ends; none arrive from later steps."""
        if memory.moments and memory.watch:
            layers = [local_layer(cell) for cell in memory.watch.cells]
            with torch.no_grad():
                self._bring_back(layers, memory, None)
        return memory

    def reset(self, memory: CRBPMemory) -> CRBPMemory:
        """Forget the stream: its state, its sensitivities, and errors not yet brought back."""
        return CRBPMemory()

    def _take_up(self, layers: list[LocalLayer], calls: list[CellCall], memory: CRBPMemory) -> None:
        if not memory.past:
            memory.past = [deque(maxlen=layer.order) for layer in layers]
            memory.done, memory.reached = [0] * len(layers), [0] * len(layers)
        slopes = [1.0 - call.y.detach() ** 2 for call in calls]
        found: list[Tensor | None] = []
        for layer, call, slope, past in zip(layers, calls, slopes, memory.past, strict=True):
            sensitivity = layer.sensitivity(call, past)
            past.appendleft(layer.fed_back(sensitivity, slope))
            found.append(sensitivity)
        left_out = memory.watch.left_out if memory.watch else None
        memory.moments.append(Moment(calls, slopes, found, [None] * len(calls), left_out))

    def _bring_back(self, layers: list[LocalLayer], memory: CRBPMemory, newest: int | None) -> None:
        """Serve each layer, the top one first, as far as its errors are complete after step `newest`, or to the end."""
        last = memory.first + len(memory.moments) - 1
        for index in reversed(range(len(layers))):
            delay = (len(layers) - 1 - index) * self.horizon
            ready = last if newest is None else newest - delay
            handed = last if newest is None else ready - self.horizon
            while memory.done[index] <= ready:
                self._finish(layers[index], index, memory, memory.moments[memory.done[index] - memory.first])
                memory.done[index] += 1
            while memory.reached[index] <= handed:
                place = memory.reached[index] - memory.first
                # The oldest comes first, so that what follows it is at hand.
                following = list(islice(memory.moments, place, place + self.horizon + 1))
                self._hand_down(layers[index], index, following)
                memory.reached[index] += 1
        while memory.moments and memory.first < min(memory.reached):
            memory.moments.popleft()
            memory.first += 1

    def _finish(self, layer: LocalLayer, index: int, memory: CRBPMemory, moment: Moment) -> None:
        y = moment.calls[index].y
        error = torch.zeros_like(y) if y.grad is None else y.grad
        assert memory.watch is not None
        memory.watch.check(error, moment.left_out)
        delta = error * moment.slopes[index]
        sensitivity = moment.sensitivities[index]
        assert sensitivity is not None
        layer.add_gradient(delta, sensitivity)
        moment.deltas[index], moment.sensitivities[index] = delta, None

    def _hand_down(self, layer: LocalLayer, index: int, following: list[Moment]) -> None:
        x = following[0].calls[index].x
        if x.requires_grad:
            deltas = [delta for moment in following if (delta := moment.deltas[index]) is not None]
            slopes = [moment.slopes[index] for moment in following]
            with torch.enable_grad():
                walk_back(x, layer.reach(deltas, slopes), self.name)

    def __repr__(self) -> str:
        return f"CRBP(horizon={self.horizon})"
