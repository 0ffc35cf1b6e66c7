"""Layers that causal recursive back-propagation serves."""

from __future__ import annotations

from typing import Any

import torch

from recurra.nn import Recurrent

LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "fir": ("fir", {"order": 3}),
    "iir": ("iir", {"input_order": 2, "feedback_order": 3}),
    "iir without taps": ("iir", {"input_order": 0, "feedback_order": 1, "bias": False}),
    "activation": ("local_feedback", {"order": 2}),
    "output": ("local_output_feedback", {"order": 3}),
    "output, no bias": ("local_output_feedback", {"order": 1, "bias": False}),
}


def stack(kind: str, layers: int, **more: Any) -> Recurrent:
    cell, arguments = LAYERS[kind]
    layer = Recurrent(cell, 2, 4, layers, **arguments, **more)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if "feedback" in name or "hh" in name:
                weight.mul_(1.5)  # a memory that is felt
    return layer
