"""Scores: how well a query fits each step of a memory, one class a formula."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DotScore(nn.Module):
    """s . h, or s . h / sqrt(query_size) where `scaled`."""

    def __init__(self, query_size: int, scaled: bool):
        super().__init__()
        self.factor = 1.0 / math.sqrt(query_size) if scaled else 1.0

    def keys(self, values: Tensor) -> Tensor:
        """The part that needs no query: the memory itself."""
        return values

    def forward(self, query: Tensor, keys: Tensor, alignment: Tensor | None = None) -> Tensor:
        """Scores (..., batch, memory_time) of query (..., batch, query_size)."""
        return torch.einsum("...bq,btq->...bt", query, keys) * self.factor


class GeneralScore(nn.Module):
    """s^T W h."""

    def __init__(self, query_size: int, memory_size: int, device: Any, dtype: Any):
        super().__init__()
        self.weight = _drawn((query_size, memory_size), memory_size, device, dtype)

    def keys(self, values: Tensor) -> Tensor:
        """The part that needs no query: W h."""
        return F.linear(values, self.weight)

    def forward(self, query: Tensor, keys: Tensor, alignment: Tensor | None = None) -> Tensor:
        """Scores (..., batch, memory_time) of query (..., batch, query_size)."""
        return torch.einsum("...bq,btq->...bt", query, keys)


class AdditiveScore(nn.Module):
    """v . tanh(W_q s + W_m h + b); with `channels` the bracket holds U f too, f features of the last alignment."""

    bias: Tensor | None

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        attention_size: int,
        bias: bool,
        device: Any,
        dtype: Any,
        channels: int = 0,
        width: int = 0,
    ):
        super().__init__()
        self.weight_query = _drawn((attention_size, query_size), query_size, device, dtype)
        self.weight_memory = _drawn((attention_size, memory_size), memory_size, device, dtype)
        self.register_parameter("bias", _drawn((attention_size,), memory_size, device, dtype) if bias else None)
        self.weight_score = _drawn((attention_size,), attention_size, device, dtype)
        self.width = width
        if channels:
            self.weight_location = _drawn((attention_size, channels), channels, device, dtype)
            self.filters = _drawn((channels, width), width, device, dtype)

    def keys(self, values: Tensor) -> Tensor:
        """The part that needs no query: W_m h + b."""
        return F.linear(values, self.weight_memory, self.bias)

    def forward(self, query: Tensor, keys: Tensor, alignment: Tensor | None = None) -> Tensor:
        """Scores (..., batch, memory_time) of query (..., batch, query_size)."""
        total = F.linear(query, self.weight_query).unsqueeze(-2) + keys
        if self.width and alignment is not None and alignment.shape[-1]:
            total = total + F.linear(self.features(alignment), self.weight_location)
        return torch.tanh(total) @ self.weight_score

    def features(self, alignment: Tensor) -> Tensor:
        """The filters laid over the alignment (batch, memory_time), zeros beyond its ends: (batch, memory_time, k)."""
        windows = F.pad(alignment, (self.width // 2, self.width // 2)).unfold(-1, self.width, 1)
        return F.linear(windows, self.filters)


def _drawn(shape: tuple[int, ...], inputs: int, device: Any, dtype: Any) -> nn.Parameter:
    """A weight, uniform in +-1/sqrt(inputs) as torch.nn.Linear draws it."""
    weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
    nn.init.uniform_(weight, -1.0 / math.sqrt(inputs), 1.0 / math.sqrt(inputs))
    return weight
