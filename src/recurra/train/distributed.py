"""Several processes that train one network together, as `torchrun` starts them; with one process, nothing happens.

Each process takes its share of an epoch's batches. A step's gradient is the average over the processes, each weighted
by its batch's size, which is the gradient of all their batches taken as one.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recurra.errors import UsageError


def rank() -> int:
    """This process's number among those that torchrun started; 0 when it trains alone. Only 0 writes files."""
    return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


def local_rank() -> int:
    """This process's number on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


class Group:
    """The processes that train together: here only one."""

    rank, world = 0, 1

    def shares(self, plans: Sequence[Any]) -> list[tuple[Any, bool]]:
        """This process's plans of an epoch, each with whether it counts (else it only keeps the others company)."""
        return [(plan, True) for plan in plans]

    def wrap(self, learner: nn.Module, one_backward: bool) -> nn.Module:
        """The module that a gradient rule is to call."""
        return learner

    def weigh(self, weight: float) -> None:
        """Say, before a step, how much this process's batch counts."""

    def average_gradients(self, learner: nn.Module) -> None:
        """Make `.grad` the weighted average over the processes."""

    def average(self, value: float) -> float:
        """The weighted average of a number."""
        return value

    def any(self, flag: bool) -> bool:
        """Whether it holds in any process."""
        return flag

    def same(self, value: Any) -> Any:
        """Process 0's value (JSON-able) in all processes."""
        return value

    def same_tensors(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """Process 0's CPU tensors in all processes."""
        return dict(tensors or {})


class Processes(Group):
    """Several processes over torch.distributed."""

    def __init__(self, device: torch.device):
        self.rank, self.world, self.device = dist.get_rank(), dist.get_world_size(), device
        self._weight = self._total = 1.0
        self._averaged = False

    def shares(self, plans: Sequence[Any]) -> list[tuple[Any, bool]]:
        rounds = -(-len(plans) // self.world)
        places = [turn * self.world + self.rank for turn in range(rounds)]
        return [(plans[place], True) if place < len(plans) else (plans[0], False) for place in places]

    def wrap(self, learner: nn.Module, one_backward: bool) -> nn.Module:
        # A rule that walks back several times a step would have each walk shared: it gets the bare learner, and its
        # gradients are averaged afterwards.
        for tensor in [*learner.parameters(), *learner.buffers()]:
            dist.broadcast(tensor.detach(), 0)
        if not one_backward:
            return learner
        with warnings.catch_warnings():
            # The new name of `broadcast_buffers` is not known to all releases that serve.
            warnings.simplefilter("ignore", FutureWarning)
            module = DistributedDataParallel(
                learner,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                broadcast_buffers=False,
                find_unused_parameters=False,
            )
        module.register_comm_hook(None, self._share_bucket)
        self._averaged = True
        return module

    def weigh(self, weight: float) -> None:
        self._weight = weight
        self._total = float(self._sum(torch.tensor([weight], dtype=torch.float64)))

    def average_gradients(self, learner: nn.Module) -> None:
        weights = [p for p in learner.parameters() if p.requires_grad]
        if self._averaged:
            missing = [name for name, p in learner.named_parameters() if p.requires_grad and p.grad is None]
            if missing:
                raise UsageError(
                    f"the weights {', '.join(missing[:3])} take no part in the loss",
                    where="training with several processes",
                    need="a loss that depends on all trainable weights",
                    cure="freeze them with requires_grad_(False), or train with one process",
                )
            return
        parts = [p.grad if p.grad is not None else torch.zeros_like(p) for p in weights]
        whole = torch.cat([part.reshape(-1) for part in parts]) * (self._weight / self._total)
        dist.all_reduce(whole)
        for p, part in zip(weights, whole.split([p.numel() for p in weights]), strict=True):
            p.grad = part.view_as(p).clone()

    def average(self, value: float) -> float:
        # What does not count is left out, not multiplied by zero: a stand-in's loss may be anything.
        share = value * self._weight / self._total if self._weight else 0.0
        return float(self._sum(torch.tensor([share], dtype=torch.float64)))

    def any(self, flag: bool) -> bool:
        return bool(self._sum(torch.tensor([float(flag)], dtype=torch.float64)) > 0)

    def same(self, value: Any) -> Any:
        content = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)
        size = self._from_first(torch.tensor([content.numel()]))
        if self.rank:
            content = torch.empty(int(size), dtype=torch.uint8)
        return json.loads(bytes(self._from_first(content).tolist()))

    def same_tensors(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        given = dict(tensors or {})
        listed = self.same({n: [str(t.dtype).removeprefix("torch."), list(t.shape)] for n, t in given.items()})
        found = {}
        for name, (kind, shape) in listed.items():
            mine = given[name] if self.rank == 0 else torch.empty(shape, dtype=getattr(torch, kind))
            found[name] = self._from_first(mine)
        return found

    def _share_bucket(self, state, bucket):  # no annotations: DDP compares them with types, and finds texts
        """DDP's hook for a bucket of gradients: the weighted average instead of the plain one."""
        part = bucket.buffer().mul_(self._weight / self._total)
        future = dist.all_reduce(part, async_op=True).get_future()
        return future.then(lambda done: done.value()[0])

    def _sum(self, value: Tensor) -> Tensor:
        value = value.to(self.device)
        dist.all_reduce(value)
        return value.cpu()

    def _from_first(self, value: Tensor) -> Tensor:
        value = value.to(self.device).contiguous()
        dist.broadcast(value, 0)
        return value.cpu()


@contextmanager
def together(device: torch.device) -> Iterator[Group]:
    """The group of processes that torchrun started, or the group of one; what it sets up it takes down."""
    if dist.is_available() and dist.is_initialized():
        yield Processes(device) if dist.get_world_size() > 1 else Group()
        return
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or "RANK" not in os.environ:
        yield Group()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(device)
    finally:
        dist.destroy_process_group()
