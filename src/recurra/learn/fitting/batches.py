"""From what people have - tensors, sequences of several lengths, batches - to a `SequenceBatch`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives.learner import SequenceBatch
from recurra.learn.objectives.objective import Objective
from recurra.learn.objectives.signals import SignalObjective

NEED = "(x, target) or (x, target, lengths) with x (time, batch, features), a list of (x, target), or a SequenceBatch"


def as_batch(given: Any, objective: Objective | None, dtype: torch.dtype | None, where: str) -> Any:
    """One batch from any of the forms in which it may be given; what has steps and a size already stays as it is.

    Args:
        given: (x, target), (x, target, lengths), a list of such pairs, one a sequence, or a batch.
        objective: says whether a target has time; None where the network has its own loss, and then batches are its.
        dtype: the network's number format, which floating-point numbers of another format are brought to.
        where: whose data they are, for messages.

    Shapes:
        x (time, batch, features), or (time, batch) for one feature; in a list each x is (time, features) or (time,).

    Raises:
        ShapeError: x, target and lengths do not fit one another.
        UsageError: it is none of these forms.
    """
    if objective is None or isinstance(given, SequenceBatch):
        if not (hasattr(given, "steps") and hasattr(given, "size")):
            raise UsageError(f"a batch is {type(given).__name__}", where=where, need="batches with `steps` and `size`")
        return given
    if isinstance(given, list) and given and all(isinstance(part, tuple) and len(part) == 2 for part in given):
        return padded(given, objective, dtype, where)
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        got = f"{len(given)} parts" if isinstance(given, tuple | list) else type(given).__name__
        raise UsageError(f"the data are {got}", where=where, need=NEED)
    if isinstance(given[0], list) and isinstance(given[1], list | Tensor) and len(given) == 2:
        if len(given[0]) != len(given[1]):
            text = f"there are {len(given[0])} sequences and {len(given[1])} targets"
            raise ShapeError(text, where=where, need="a target for each sequence")
        return padded(list(zip(given[0], given[1], strict=True)), objective, dtype, where)
    x, target = given[0], given[1]
    lengths = given[2] if len(given) == 3 else None
    x = number_tensor(x, dtype, "x", where)
    x = x.unsqueeze(-1) if x.dim() == 2 else x
    if x.dim() != 3:
        raise ShapeError(f"x has shape {tuple(x.shape)}", where=where, need="(time, batch, features)")
    target = ready_target(target, x, objective, where)
    if lengths is not None:
        lengths = torch.as_tensor(lengths)
        if lengths.shape != x.shape[1:2]:
            need = f"({x.shape[1]},), one for each sequence of x"
            raise ShapeError(f"lengths has shape {tuple(lengths.shape)}", where=where, need=need)
    return SequenceBatch(x, target, lengths, target_in_time=has_time(target, objective))


def padded(pairs: Sequence[tuple[Any, Any]], objective: Objective, dtype: torch.dtype | None, where: str) -> Any:
    """Sequences of several lengths as one batch, padded with zeros; lengths say where each ends."""
    inputs = [number_tensor(x, dtype, "x", where) for x, _ in pairs]
    inputs = [x.unsqueeze(-1) if x.dim() == 1 else x for x in inputs]
    odd = next((x for x in inputs if x.dim() != 2 or x.shape[1] != inputs[0].shape[1]), None)
    if odd is not None:
        need = "(time, features), the same features in every sequence"
        raise ShapeError(f"a sequence has shape {tuple(odd.shape)}", where=where, need=need)
    lengths = torch.tensor([len(x) for x in inputs])
    steps = int(lengths.max())
    x = torch.stack([_longer(part, steps) for part in inputs], 1)
    if objective.why_not_cut() is not None:  # labellings: a whole sequence's own, of any length
        labels = [torch.as_tensor(target).tolist() for _, target in pairs]
        return SequenceBatch(x, labels, lengths, target_in_time=False)
    targets = [torch.as_tensor(target) for _, target in pairs]
    targets = [each.to(dtype) if each.is_floating_point() and dtype is not None else each for each in targets]
    if all(each.dim() > 0 and len(each) == n for each, n in zip(targets, lengths.tolist(), strict=True)) and not (
        _at_the_end(objective) and all(each.dim() < 2 for each in targets)
    ):
        target = torch.stack([_longer(each, steps) for each in targets], 1)
    else:
        odd = next((each for each in targets if each.shape != targets[0].shape), None)
        if odd is not None:
            need = "a target for each of a sequence's steps, or one of the same shape for each sequence"
            given = f"targets have shapes {tuple(targets[0].shape)} and {tuple(odd.shape)}"
            raise ShapeError(given, where=where, need=need)
        target = torch.stack(targets)
    target = ready_target(target, x, objective, where)
    return SequenceBatch(x, target, lengths, target_in_time=has_time(target, objective))


def choose_sequences(batch: SequenceBatch, index: Tensor) -> SequenceBatch:
    """Some sequences of a batch, cut at the longest of them."""
    lengths = None if batch.lengths is None else batch.lengths[index]
    steps = batch.steps if lengths is None or not len(lengths) else int(lengths.max())

    def of(part: Tensor | None, in_time: bool) -> Tensor | None:
        if part is None:
            return None
        return part[:steps].index_select(1, index.to(part.device)) if in_time else part[index.to(part.device)]

    in_time = batch.target_in_time
    target = batch.target
    if isinstance(target, Tensor):
        target = of(target, in_time)
    else:
        target = [target[number] for number in index.tolist()]
    mask = of(batch.mask, in_time and batch.mask is not None and batch.mask.dim() > 1)
    weights = of(batch.weights, in_time and batch.weights is not None and batch.weights.dim() > 1)
    x = batch.input[:steps].index_select(1, index.to(batch.input.device))
    return SequenceBatch(x, target, lengths, mask, weights, in_time)


def cut_window(batch: SequenceBatch, start: int, stop: int) -> SequenceBatch:
    """Steps start..stop-1 of a batch, as a batch of its own."""
    lengths = None if batch.lengths is None else (batch.lengths - start).clamp(0, stop - start)
    parts = batch.window(start, stop)
    return SequenceBatch(batch.input[start:stop], parts["target"], lengths, parts["mask"], parts["weights"])


def ready_target(target: Any, x: Tensor, objective: Objective, where: str) -> Any:
    """A target as the objective takes it: numbers without a last dimension of outputs are taken as one output."""
    if objective.why_not_cut() is not None:
        return target
    target = torch.as_tensor(target)
    if not target.is_floating_point():
        return target
    target = target.to(x.dtype)
    steps, batch = x.shape[:2]
    if target.dim() == 1 and target.shape[0] == batch:
        return target.unsqueeze(-1)
    # (time, batch) and (batch, outputs) both have two dimensions; what is judged at the end has no time.
    if target.dim() == 2 and tuple(target.shape) == (steps, batch) and not _at_the_end(objective):
        return target.unsqueeze(-1)
    return target


def has_time(target: Any, objective: Objective) -> bool:
    """Whether a target has a signal for each step."""
    if isinstance(objective, SignalObjective):
        return isinstance(target, Tensor) and objective._teacher(target, None).in_time
    return isinstance(target, Tensor) and target.dim() == 3


def number_tensor(x: Any, dtype: torch.dtype | None, name: str, where: str) -> Tensor:
    """Numbers as a tensor in the network's format."""
    try:
        x = torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{name} is {type(x).__name__}", where=where, need=NEED) from error
    return x if dtype is None or not (x.is_floating_point() or x.dtype == torch.bool) else x.to(dtype)


def _at_the_end(objective: Any) -> bool:
    return getattr(objective, "form", None) == "end"


def _longer(part: Tensor, steps: int) -> Tensor:
    """A sequence with zeros behind it."""
    if len(part) == steps:
        return part
    return torch.cat([part, part.new_zeros(steps - len(part), *part.shape[1:])])
