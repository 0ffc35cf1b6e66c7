"""The modern Hopfield network as a layer: states of one sequence recall from another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import check_input, check_number_format, check_size
from recurra.cells.time_step import check_positive
from recurra.errors import ShapeError, UsageError
from recurra.nn.attention.memory import masked_softmax
from recurra.unroll import check_lengths, within_lengths


class HopfieldLayer(nn.Module):
    """A layer whose states fall into a memory's patterns before they read it; one step of it is attention.

    Equations:
        s = W_q r,  k = W_k m,  v = W_v m  for each step r of the query and each step m of the memory;
        for each head, with its part of s, k and v,
        s <- softmax(beta s k^T) k,  steps - 1 times,
        z = softmax(beta s k^T) v;
        the output is W_o z of all heads side by side.

    Args:
        query_size: features of the query.
        memory_size: features of the memory; query_size when absent.
        size: features of s, k and v over all heads; query_size when absent.
        output_size: features of the output; query_size when absent.
        heads: how many heads; size is a multiple of it.
        steps: how often the memory is visited.
        beta: how sharply patterns are told apart; 1 / sqrt(size / heads) when absent.
        causal: whether step t of the query sees steps 0 ... t of the memory only.
        bias: whether the four maps have biases.
        batch_first: whether query, memory and output are (batch, time, features).
        device, dtype: where and in which number format the weights are made.

    Shapes:
        query (time, batch, query_size), memory (memory_time, batch, memory_size), the query itself when absent; lengths
        (batch,), the steps of each memory; output (time, batch, output_size), weights (batch, heads, time,
        memory_time). A step of the query that may see nothing reads 0. weight_query (size, query_size), weight_memory
        and weight_value (size, memory_size), weight_output (output_size, size), drawn by Glorot's uniform rule; biases
        bias_query, bias_memory, bias_value and bias_output begin at 0.

    Raises:
        UsageError: a size is not positive, size is no multiple of heads, or beta is not positive.
        ShapeError: query, memory or lengths does not fit.

    Differs from the paper: v is a map of the memory itself, not of k; queries and patterns are not normalised, which a
    layer before this one can do; the number of steps is fixed instead of running to a tolerance.

    Reference:
        H. Ramsauer et al. Hopfield networks is all you need. ICLR (2021).

    Example:
        >>> import torch
        >>> layer = HopfieldLayer(6, heads=2, steps=3)
        >>> output, weights = layer(torch.ones(5, 2, 6), torch.ones(7, 2, 6), lengths=[7, 4])
        >>> output.shape, weights[1, 0, 0].tolist()
        (torch.Size([5, 2, 6]), [0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0])
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int | None = None,
        size: int | None = None,
        output_size: int | None = None,
        *,
        heads: int = 1,
        steps: int = 1,
        beta: float | None = None,
        causal: bool = False,
        bias: bool = True,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        where = "HopfieldLayer"
        self.query_size = check_size(query_size, "query_size", where)
        self.memory_size = check_size(query_size if memory_size is None else memory_size, "memory_size", where)
        self.size = check_size(query_size if size is None else size, "size", where)
        self.output_size = check_size(query_size if output_size is None else output_size, "output_size", where)
        self.heads, self.steps = check_size(heads, "heads", where), check_size(steps, "steps", where)
        if self.size % heads:
            raise UsageError(f"size is {self.size} and heads is {heads}", where=where, need="size a multiple of heads")
        self.beta = 1.0 / math.sqrt(self.size // heads) if beta is None else check_positive(beta, "beta", where)
        self.causal, self.batch_first = bool(causal), bool(batch_first)
        shapes = {
            "query": (self.size, self.query_size),
            "memory": (self.size, self.memory_size),
            "value": (self.size, self.memory_size),
            "output": (self.output_size, self.size),
        }
        for name, shape in shapes.items():
            weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            self.register_parameter(f"weight_{name}", weight)
            offset = nn.Parameter(torch.empty(shape[0], device=device, dtype=dtype)) if bias else None
            self.register_parameter(f"bias_{name}", offset)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights by Glorot's uniform rule, and set the biases to 0."""
        for name, parameter in self.named_parameters():
            (nn.init.xavier_uniform_ if name.startswith("weight") else nn.init.zeros_)(parameter)

    def forward(
        self, query: Tensor, memory: Tensor | None = None, *, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """`(output, weights)` of the last visit to the memory."""
        names = ("batch", "time") if self.batch_first else ("time", "batch")
        memory = query if memory is None else memory
        for name, given, size in (("query", query, self.query_size), ("memory", memory, self.memory_size)):
            _check_features(given, names, size, name)
            check_number_format(given, self, where="HopfieldLayer", name=name)
        if not self.batch_first:
            query, memory = query.transpose(0, 1), memory.transpose(0, 1)
        if len(query) != len(memory):
            need = f"{len(query)}, as the query has"
            raise ShapeError(f"memory has batch {len(memory)}", where="HopfieldLayer", need=need)
        within = self._within(query, memory, lengths)
        # Padding takes no part, NaN included.
        there = within.any((1, 2)).unsqueeze(-1)
        memory = torch.where(there, memory, torch.zeros_like(memory))
        s, k, v = self._split("query", query), self._split("memory", memory), self._split("value", memory)
        weights = masked_softmax(self.beta * (s @ k.mT), within)
        for _ in range(self.steps - 1):
            s = weights @ k
            weights = masked_softmax(self.beta * (s @ k.mT), within)
        output = self._map("output", (weights @ v).transpose(1, 2).flatten(2))
        return (output if self.batch_first else output.transpose(0, 1)), weights

    def _within(self, query: Tensor, memory: Tensor, lengths: Any) -> Tensor:
        """What each step of the query may see, (batch, 1, time, memory_time)."""
        time, steps = query.shape[1], memory.shape[1]
        within = torch.ones(len(query), 1, time, steps, dtype=torch.bool, device=query.device)
        if self.causal:
            within = within & torch.ones(time, steps, dtype=torch.bool, device=query.device).tril()
        if lengths is not None:
            lengths = check_lengths(lengths, memory.transpose(0, 1), where="HopfieldLayer")
            within = within & within_lengths(lengths, steps).mT[:, None, None]
        return within

    def _split(self, name: str, x: Tensor) -> Tensor:
        """(batch, heads, time, size / heads)."""
        return self._map(name, x).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _map(self, name: str, x: Tensor) -> Tensor:
        return nn.functional.linear(x, getattr(self, f"weight_{name}"), getattr(self, f"bias_{name}"))

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.memory_size}, heads={self.heads}, steps={self.steps}, beta={self.beta:.4g}"


def _check_features(x: Any, names: tuple[str, ...], features: int, name: str) -> None:
    try:
        check_input(x, names, features, where="HopfieldLayer", name=name)
    except ShapeError as error:
        # The cells' check speaks of input_size, which there is none of here.
        need = f"({', '.join((*names, str(features)))}), since {name}_size is {features}"
        raise ShapeError(error.given, where=error.where, need=need) from None
