"""Where a training's batches come from: data at hand, batches that come by, or a source that makes fresh ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import check_size
from recurra.errors import DataError, UsageError
from recurra.learn.fitting.batches import as_batch, choose_sequences
from recurra.learn.objectives.learner import SequenceBatch
from recurra.learn.objectives.objective import Objective


class Batches:
    """The batches of a training, epoch by epoch, in one of three ways.

    - at hand: (x, target), (x, target, lengths), a list of (x, target) of several lengths, or a SequenceBatch: shuffled
      anew in each epoch, in an order that follows from the seed and the epoch;
    - an iterable of batches (a DataLoader, a list of SequenceBatch): taken as it comes, once an epoch;
    - a callable: makes a fresh batch at each call; there are no epochs. It is given a torch.Generator where it takes an
      argument `generator`, or takes exactly one argument without a default.

    Args:
        data: the data.
        objective: what they are judged by; None where the network has a loss of its own.
        dtype, device: the network's.
        batch_size: sequences a batch, where data are at hand; all of them when absent.
        shuffle: whether they are shuffled.
        seed: of the order, and of the generator.
        where: whose data they are, for messages.

    Raises:
        UsageError, ShapeError: the data have none of these forms.
        DataError: there are no sequences.
    """

    def __init__(
        self,
        data: Any,
        objective: Objective | None,
        dtype: torch.dtype | None,
        device: torch.device,
        batch_size: int | None,
        shuffle: bool,
        seed: int,
        where: str = "fit, data",
    ):
        self.objective, self.dtype, self.device = objective, dtype, device
        self.shuffle, self.seed, self.where = shuffle, seed, where
        self.generator = torch.Generator().manual_seed(seed)
        self.whole: Any = None
        self.many: Iterable[Any] | None = None
        self.make: Callable[[], Any] | None = None
        if batch_size is not None:
            check_size(batch_size, "batch_size", "fit")
        if callable(data) and not hasattr(data, "__iter__"):
            self.make = self._maker(data)
        elif _at_hand(data):
            self.whole = self._ready(data)
            if not self.whole.size:
                raise DataError("there are no sequences", where=where, need="at least one")
        elif hasattr(data, "__iter__") and not isinstance(data, Tensor | str | dict):
            self.many = data
        else:
            given = f"data is {type(data).__name__}"
            need = "(x, target) tensors, a list of (x, target), an iterable of batches, or a callable that makes one"
            raise UsageError(given, where=where, need=need)
        self.batch_size = batch_size

    @property
    def fresh(self) -> bool:
        """Whether there are always new batches, and so no epochs."""
        return self.make is not None

    def epoch(self, number: int) -> Iterator[Any]:
        """The batches of an epoch; without end where they are made fresh."""
        if self.make is not None:
            while True:
                yield self._ready(self.make())
        found = False
        for batch in self._split(number) if self.many is None else self.many:
            found = True
            yield batch if self.many is None else self._ready(batch)
        if not found:
            cure = "an iterable that can be gone through again, a list say" if number else None
            raise DataError(f"epoch {number + 1} has no batches", where=self.where, need="at least one", cure=cure)

    def all(self) -> list[Any]:
        """All data as batches in a fixed order; one batch where they are made fresh."""
        if self.make is not None:
            return [self._ready(self.make())]
        if self.many is not None:
            return [self._ready(batch) for batch in self.many]
        if self.batch_size is None or not isinstance(self.whole, SequenceBatch) or self.whole.size <= self.batch_size:
            return [self.whole]
        rows = torch.arange(self.whole.size)
        return [choose_sequences(self.whole, part) for part in rows.split(self.batch_size)]

    def _split(self, number: int) -> Iterator[Any]:
        whole = self.whole
        if not isinstance(whole, SequenceBatch) or self.batch_size is None or whole.size <= self.batch_size:
            yield whole
            return
        order = torch.arange(whole.size)
        if self.shuffle:
            order = torch.randperm(whole.size, generator=torch.Generator().manual_seed(_mixed(self.seed, number)))
        for part in order.split(self.batch_size):
            yield choose_sequences(whole, part)

    def _ready(self, given: Any) -> Any:
        return as_batch(given, self.objective, self.dtype, self.where).to(self.device)

    def _maker(self, data: Callable[..., Any]) -> Callable[[], Any]:
        try:
            parameters = dict(inspect.signature(data).parameters)
        except (TypeError, ValueError):
            parameters = {}
        needed = [p for p in parameters.values() if p.default is p.empty and p.kind in (0, 1) and p.name != "generator"]
        if "generator" in parameters and not needed:
            return lambda: data(generator=self.generator)
        if len(needed) == 1:
            return lambda: data(self.generator)
        if needed:
            raise UsageError(
                f"the callable needs {', '.join(p.name for p in needed)}",
                where=self.where,
                need="a callable without arguments, or with a torch.Generator as its one argument",
                cure="functools.partial(adding_problem, 50, 32), say",
            )
        return data


def _at_hand(data: Any) -> bool:
    """Whether the data are one set of sequences, and not many batches."""
    if hasattr(data, "steps") and hasattr(data, "size"):
        return True
    if isinstance(data, tuple):
        return True
    return (
        isinstance(data, list)
        and bool(data)
        and all(isinstance(part, tuple) and len(part) == 2 and _one_sequence(part[0]) for part in data)
    )


def _one_sequence(x: Any) -> bool:
    """(time, features) or (time,): a sequence, where a batch has one dimension more."""
    shape = getattr(x, "shape", None)
    return len(shape) <= 2 if shape is not None else isinstance(x, list)


def _mixed(seed: int, number: int) -> int:
    # Far apart, so that the orders of two seeds never meet in a later epoch.
    return (seed * 1_000_003 + number) % (2**63)
