"""Copies of modules in float64, on which the instruments measure."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def in_float64(module: Module) -> Module:
    """A copy on the processor in float64, whose weights ask for no gradient.

    The instruments work on such copies alone: float32 would lose what has shrunk below 1e-38 of the first value, and a
    copy leaves the given module as it is, its parameters' `requires_grad` and its mode of training included.
    """
    module = copy.deepcopy(module)
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, value in tensors.items():
                if value is not None and value.is_floating_point():
                    tensors[name] = value.detach().cpu().double()  # type: ignore[assignment]
    return module.eval()
