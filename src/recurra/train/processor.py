"""How the processor is used while a network runs: its threads, and numbers too small for its fast path.

Threads. A recurrent network is thousands of small operations one after the other. Below some size a second thread gains
little on an idle machine, and on a busy one it waits for a core at each of them: the same training took 10 times as
long with two threads beside one other process. The number also decides how sums are rounded, so it follows from the
network and the settings alone: the same seed gives the same bits however busy the machine is.

Denormal numbers. A gradient that fades over hundreds of steps ends in numbers below 1.2e-38, on which processors are
many times slower: an LSTM's backward pass over 250 steps took 15 times as long with them. They carry nothing that
training could use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

SMALL = 2_000_000
"""Weights below which one thread is used."""


def choose_threads(asked: int | None, network: nn.Module) -> int:
    """The number of threads asked for, else one for a small network and torch's own choice for a large one."""
    if asked is not None:
        return asked
    weights = sum(p.numel() for p in network.parameters())
    return 1 if weights < SMALL else torch.get_num_threads()


@contextmanager
def processor(threads: int) -> Iterator[None]:
    """Use that many threads and flush denormal numbers to zero inside the block; restore both after it."""
    before = torch.get_num_threads()
    flushed = bool((torch.tensor([1e-39]) * 1.0 == 0.0).item())
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(before)
