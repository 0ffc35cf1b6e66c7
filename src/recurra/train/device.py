"""The device and the number format of the forward pass: chosen, checked and said."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Args:
        name: what was asked for; `auto` takes CUDA, then MPS, then the CPU.
        local_rank: the process's number on this machine, which picks its GPU when several train together.

    Errors: UsageError when the device is not known or not there.
    """
    kind, _, number = name.strip().lower().partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "cpu" and not number:
        return torch.device("cpu")
    if kind == "mps" and not number:
        if torch.backends.mps.is_available():
            return torch.device("mps")
        raise _absent(name, "an Apple GPU that PyTorch can use")
    if kind == "cuda" and (not number or number.isdigit()):
        index = int(number) if number else local_rank
        if torch.cuda.is_available() and index < torch.cuda.device_count():
            return torch.device("cuda", index)
        raise _absent(name, "an NVIDIA GPU that PyTorch can use, counted from 0")
    raise UsageError(f"{name!r} is not a device", where="train.device", need="auto, cpu, cuda, cuda:N or mps")


def describe_device(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu, {threads} thread{'s' if threads > 1 else ''} of {os.cpu_count()} cores"
    return str(device)


def describe_training(device: torch.device, dtype: torch.dtype | None, processes: int) -> dict[str, Any]:
    """The facts of the event "device": what was chosen, and a sentence that says so."""
    text = f"training on {describe_device(device)}" + (f", {processes} processes" if processes > 1 else "")
    text += ", matrix products in bf16" if dtype else ""
    return {"device": str(device), "precision": "bf16" if dtype else "float32", "processes": processes, "text": text}


def choose_precision(name: str, device: torch.device, learner: nn.Module) -> torch.dtype | None:
    """The number format that matrix products run in, or None for the weights' own.

    `auto` takes bf16 on a GPU that computes in it, for a network in float32; a bf16 number has float32's range, so
    that no loss scaling is needed. Weights, gradients, the optimiser and the loss stay in float32.
    """
    if name == "bf16":
        return torch.bfloat16
    floats = {p.dtype for p in learner.parameters() if p.is_floating_point()}
    if name == "auto" and device.type == "cuda" and floats == {torch.float32}:
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    return None


class InPrecision(nn.Module):
    """A learner whose forward pass runs under autocast; its loss comes out in float32, its state as it is."""

    def __init__(self, learner: nn.Module, device: torch.device, dtype: torch.dtype):
        super().__init__()
        self.learner, self.device_type, self.dtype = learner, device.type, dtype

    def forward(self, batch: Any, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        with torch.autocast(self.device_type, dtype=self.dtype):
            loss, state = self.learner(batch, start, stop, state)
        return loss.float(), state


def _absent(name: str, need: str) -> UsageError:
    return UsageError(
        f"the device {name!r} is not there", where="train.device", need=need, cure="use auto, which takes what is there"
    )
