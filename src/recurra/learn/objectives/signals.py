"""The common frame of objectives with a teacher signal for some outputs at some steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives.objective import Loss
from recurra.learn.objectives.places import check_counts, check_start, last_steps, pick, spread

FORMS = ("step", "sequence", "end")


class Teacher(NamedTuple):
    """A target made ready.

    Attributes:
        signal: (time, batch, values), or (1, batch, values) where the target has no time.
        present: where there is a signal, (time, batch, signals); `signals` is 1 where the outputs share one signal.
        in_time: whether the target has a signal for each step.
    """

    signal: Tensor
    present: Tensor
    in_time: bool


class Counted(NamedTuple):
    """Which signals count, and how much, all with three dimensions, time (or 1), batch and signals (or 1)."""

    signal: Tensor
    counts: Tensor
    weights: Tensor | None
    own: Tensor | None
    sequences: Tensor | None
    last: Tensor | None


class SignalObjective(ABC):
    """A loss of each teacher signal, weighted and added up, over all that is masked, missing or padded.

    Equations:
        sum = sum over counted signals of weight * loss(output, target), where a signal counts if it is there, within
        its sequence's length, and not masked; what does not count reaches neither the sum nor any gradient, NaN
        included.
        "step":     weight = sum over counted signals of their weights, so that sum / weight is the mean signal's loss;
        "sequence": weight = sum over sequences of at least one step of their weights: the loss of a whole sequence,
                    whatever its length, is the sum of its signals' losses;
        "end":      only each sequence's last valid step counts, weight as with "step".

    Windows: all three forms may be cut in time. With `start` given, `lengths` are still those of whole sequences, and
    sums and weights of the windows add up to those of the whole ("sequence" weighs a sequence in the window with its
    first step, "end" in the window with its last).

    Args:
        form: "step", "sequence" or "end".

    Shapes:
        output (time, batch, outputs); target as the class says; lengths (batch,), whole numbers; mask, True where a
        signal counts, and weights: (batch,) for whole sequences, (time, batch), or (time, batch, outputs) where each
        output has its own signal. With "end" a target may be without time; mask and weights then are too.

    Raises:
        UsageError: an argument is out of range.
        ShapeError: output, target, lengths, mask or weights does not fit.
    """

    def __init__(self, form: str = "step"):
        if form not in FORMS:
            raise UsageError(f"form is {form!r}", where=type(self).__name__, need="'step', 'sequence' or 'end'")
        self.form = form

    @abstractmethod
    def _read(self, target: Tensor, outputs: int | None) -> Teacher:
        """Check a target's form and find its signals; `outputs` is unknown where only the weight is asked for."""

    @abstractmethod
    def _losses(self, output: Tensor, signal: Tensor) -> Tensor:
        """The loss of each signal, (time, batch, signals), weighted by what the objective itself weighs it with.

        Where no signal counts, output and signal are 0.
        """

    def _own_weights(self, signal: Tensor) -> Tensor | None:
        """What the objective itself weighs each signal with, or None for 1."""
        return None

    def __call__(
        self,
        output: Tensor,
        target: Any,
        lengths: Any = None,
        mask: Any = None,
        weights: Any = None,
        start: int | None = None,
    ) -> Loss:
        """The sum of the losses and their weight; see the class."""
        losses, found = self._judge(output, target, lengths, mask, weights, start)
        total = losses.sum()
        return Loss(total, self._weights_of(found, total.dtype).sum())

    def loss_of_sequences(
        self, output: Tensor, target: Any, lengths: Any = None, mask: Any = None, weights: Any = None
    ) -> Tensor:
        """The sum of each whole sequence's losses, (batch,)."""
        return self._judge(output, target, lengths, mask, weights, None)[0].sum((0, 2))

    def _judge(
        self, output: Tensor, target: Any, lengths: Any, mask: Any, weights: Any, start: int | None
    ) -> tuple[Tensor, Counted]:
        """The weighted losses, 0 where no signal counts, and what counts."""
        where = type(self).__name__
        start = check_start(start, where)
        if not isinstance(output, Tensor) or output.dim() != 3 or not output.is_floating_point():
            got = (
                f"{output.dtype} of shape {tuple(output.shape)}"
                if isinstance(output, Tensor)
                else type(output).__name__
            )
            raise ShapeError(f"output is {got}", where=where, need="floating-point numbers (time, batch, outputs)")
        # A sum over many steps in half precision would lose most of its digits.
        output = output.float() if output.dtype in (torch.float16, torch.bfloat16) else output
        steps, batch, outputs = output.shape
        teacher = self._teacher(target, outputs)
        size = (teacher.signal.shape[0] if teacher.in_time else steps, teacher.signal.shape[1])
        if size != (steps, batch):
            need = f"the output's time and batch, {steps} and {batch}" if teacher.in_time else f"the batch, {batch}"
            raise ShapeError(f"target has shape {tuple(target.shape)}", where=where, need=need)
        found = self._count(teacher, steps, lengths, mask, weights, start)
        if found.last is not None:
            output = pick(output, found.last) if steps else pick(output, found.last) + output.sum()
        output = torch.where(found.counts, output, torch.zeros_like(output))
        losses = self._losses(output, found.signal)
        losses = losses if found.weights is None else losses * found.weights.to(losses.dtype)
        return torch.where(found.counts, losses, torch.zeros_like(losses)), found

    def weight(self, target: Any, lengths: Any = None, mask: Any = None, weights: Any = None) -> Tensor:
        """The weight of whole sequences, before any output is known."""
        return self.weight_of_sequences(target, lengths, mask, weights).sum()

    def weight_of_sequences(self, target: Any, lengths: Any = None, mask: Any = None, weights: Any = None) -> Tensor:
        """The weight of each whole sequence, (batch,)."""
        teacher = self._teacher(target, None)
        steps = teacher.signal.shape[0]
        if not teacher.in_time and lengths is not None and len(lengths):
            steps = max(int(torch.as_tensor(lengths).max()), 0)
        found = self._count(teacher, steps, lengths, mask, weights, None)
        dtype = teacher.signal.dtype if teacher.signal.dtype == torch.float64 else torch.float32
        return self._weights_of(found, dtype).sum((0, 2))

    def why_not_cut(self) -> str | None:
        """None: windows of a sequence may be judged one by one."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(form={self.form!r})"

    def _teacher(self, target: Any, outputs: int | None) -> Teacher:
        where = type(self).__name__
        if not isinstance(target, Tensor):
            raise ShapeError(f"target is {type(target).__name__}", where=where, need="a tensor", cure="torch.as_tensor")
        teacher = self._read(target, outputs)
        if not teacher.in_time and self.form != "end":
            raise ShapeError(
                f"target has shape {tuple(target.shape)}, no time",
                where=f"{where}, form {self.form!r}",
                need="a target for each step, (time, batch, ...)",
                cure="form='end', if the target is that of the last step",
            )
        return teacher

    def _count(self, teacher: Teacher, steps: int, lengths: Any, mask: Any, weights: Any, start: int | None) -> Counted:
        where = type(self).__name__
        signal, counts = teacher.signal, teacher.present
        batch, device = signal.shape[1], signal.device
        if lengths is not None:
            most = steps if start is None else None
            cure = "give start=..., where the output is a window of longer sequences"
            lengths = check_counts(lengths, batch, most, device, name="lengths", where=where, cure=cure)
        elif start is not None and self.form == "end":
            need = "the lengths of the whole sequences, to know which window holds the last step"
            raise UsageError("start was given without lengths", where=f"{where}, form 'end'", need=need)
        last = last_steps(lengths, steps, batch, start, device) if self.form == "end" else None
        known: dict[str, Any] = {"in_time": teacher.in_time, "where": where}
        shape = (steps, batch, counts.shape[2])
        every = torch.ones((), dtype=torch.bool, device=device)
        sequences = torch.ones(1, batch, 1, dtype=torch.bool, device=device)
        factors: Tensor | None = None
        of_sequences: Tensor | None = None
        if mask is not None:
            every = spread(mask, shape, name="mask", flags=True, **known).to(device)
            sequences = sequences & every if mask.dim() == 1 else sequences
        if weights is not None:
            factors = spread(weights, shape, name="weights", flags=False, **known).to(device)
            of_sequences = factors if weights.dim() == 1 else None
        if last is not None:
            if teacher.in_time:
                signal, counts = pick(signal, last), pick(counts, last)
                every = pick(every, last) if mask is not None and mask.dim() > 1 else every
                factors = pick(factors, last) if factors is not None and weights.dim() > 1 else factors
            inside = ((last >= 0) & (last < steps)).reshape(1, batch, 1)
        else:
            place = torch.arange(steps, device=device).reshape(-1, 1, 1) + (start or 0)
            inside = torch.ones_like(place, dtype=torch.bool)
            if lengths is not None:
                inside = place < lengths.reshape(1, batch, 1)
            # One window, the one with the first step, weighs the sequence.
            here = sequences if steps and not start else torch.zeros_like(sequences)
            sequences = here if lengths is None else here & (lengths.reshape(1, batch, 1) > 0)
        counts = counts & every & inside
        clean = torch.where(counts, signal, torch.zeros_like(signal))
        own = self._own_weights(clean)
        if self.form != "sequence":
            return Counted(clean, counts, factors, own, None, last)
        weighed = sequences if of_sequences is None else torch.where(sequences, of_sequences, 0)
        return Counted(clean, counts, factors, own, weighed, None)

    def _weights_of(self, found: Counted, dtype: torch.dtype) -> Tensor:
        """What is added up to the weight, (time or 1, batch, signals or 1)."""
        if found.sequences is not None:
            return found.sequences.detach().to(dtype)
        weights = found.counts.to(dtype)
        for factor in (found.weights, found.own):
            if factor is not None:
                weights = torch.where(found.counts, weights * factor.detach().to(dtype), 0.0)
        return weights
