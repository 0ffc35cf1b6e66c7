"""The network of a sequence classifier: recurrent layers, three poolings over the valid steps, one linear layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurra.nn import Recurrent


@dataclass
class SequenceBatch:
    """Padded sequences, time first.

    Attributes:
        values: (time, batch, channels) float; anything, NaN too, past a sequence's length.
        codes: (time, batch, categories) int64.
        lengths: (batch,) int64.
        label: (batch,) int64.
        index: which sequences of the data these are.
    """

    values: Tensor
    codes: Tensor
    lengths: Tensor
    label: Tensor
    index: Any = None

    @property
    def steps(self) -> int:
        return self.values.shape[0]

    @property
    def size(self) -> int:
        return self.values.shape[1]

    def to(self, device: torch.device) -> SequenceBatch:
        moved = {name: getattr(self, name).to(device) for name in ("values", "codes", "lengths", "label")}
        return replace(self, **moved)


class Pooled(NamedTuple):
    """What is carried along a sequence besides the recurrent state: (batch, outputs) each."""

    total: Tensor
    maximum: Tensor
    last: Tensor


class SequenceState(NamedTuple):
    """The learner's state between spans of time."""

    recurrent: Any
    pooled: Pooled


class SequenceNetwork(nn.Module):
    """Reads a sequence and gives one logit a class; as a learner, its loss over a span of time.

        h_1 .. h_T = recurrent layers(x_1 .. x_T)
        logits     = W dropout([mean_t h_t ; max_t h_t ; h_last]) + b

    over the valid steps only; with two directions, `last` joins the forward output at the last step and the backward
    output at the first. The loss is the cross-entropy weighted by class, and falls due in the span in which a
    sequence's last step lies.

    In training two light regularisers work. Normal noise is added to the standardised channels (Bishop 1995). And the
    pooled features of sequence i are mixed with those of another one j of the batch, l f_i + (1 - l) f_j with l from
    Beta(mixing, mixing) taken as max(l, 1 - l), the loss being mixed in the same way (manifold mixup, Verma et al.
    2019, at the last layer only: sequences themselves, of different lengths and with categories, are never mixed).

    Args:
        channels: numeric input channels; the first `noisy` of them are standardised features.
        levels: number of levels of each categorical feature (code 0 is the unknown level).
        classes: number of classes.
        cell: a registered cell.
        hidden_size, layers, bidirectional, dropout: of the recurrent layers.
        noisy: channels that get noise in training.
        noise: its standard deviation, in deviations of the feature.
        mixing: parameter of the Beta distribution; 0 turns mixing off.
        class_weight: (classes,) weights of the loss, or None.

    Shapes:
        values (time, batch, channels), codes (time, batch, categories), lengths (batch,) -> logits (batch, classes).

    Example:
        >>> network = SequenceNetwork(channels=2, levels=(), classes=3, cell="gru", hidden_size=4)
        >>> x, codes = torch.zeros(5, 2, 2), torch.zeros(5, 2, 0, dtype=torch.long)
        >>> network.logits(x, codes, torch.tensor([5, 1])).shape
        torch.Size([2, 3])
    """

    class_weight: Tensor

    def __init__(
        self,
        *,
        channels: int,
        levels: tuple[int, ...],
        classes: int,
        cell: str,
        hidden_size: int,
        layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
        noisy: int = 0,
        noise: float = 0.0,
        mixing: float = 0.0,
        class_weight: tuple[float, ...] | None = None,
    ):
        super().__init__()
        self.noisy, self.noise, self.mixing = noisy, noise, mixing
        self.embeddings = nn.ModuleList(nn.Embedding(n + 1, min(16, 1 + n // 2)) for n in levels)
        width = channels + sum(min(16, 1 + n // 2) for n in levels)
        self.recurrent = Recurrent(
            cell,
            width,
            hidden_size,
            num_layers=layers,
            dropout=dropout if layers > 1 else 0.0,
            bidirectional=bidirectional,
        )
        self.bidirectional = bidirectional
        self.outputs = self.recurrent.output_size
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(3 * self.outputs, classes)
        weight = torch.ones(classes) if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer("class_weight", weight, persistent=False)

    def why_not_streamed(self) -> str | None:
        """A network that also reads from the end needs the whole sequence at once."""
        if self.bidirectional:
            return "the network reads sequences in both directions; set bidirectional=false to train in spans"
        return None

    def inputs(self, values: Tensor, codes: Tensor, lengths: Tensor) -> Tensor:
        """What the recurrent layers read, (time, batch, width); steps past a sequence's length are zero."""
        valid = torch.arange(values.shape[0], device=values.device)[:, None] < lengths
        x = values
        if self.training and self.noise > 0 and self.noisy > 0:
            spread = torch.zeros(values.shape[2], dtype=values.dtype, device=values.device)
            spread[: self.noisy] = self.noise
            x = x + spread * torch.randn_like(x)
        parts = [x, *(table(codes[..., k]) for k, table in enumerate(self.embeddings))]
        return torch.cat(parts, dim=2).masked_fill(~valid[..., None], 0.0)

    def _start(self, like: Tensor) -> Pooled:
        size = like.shape[1]
        zero = like.new_zeros(size, self.outputs)
        return Pooled(zero, like.new_full((size, self.outputs), torch.finfo(like.dtype).min), zero)

    def _pool(self, pooled: Pooled, output: Tensor, lengths: Tensor, first: bool) -> Pooled:
        """Take in a span's outputs (time, batch, outputs); `lengths` are counted from the span's first step."""
        steps = output.shape[0]
        if steps == 0:
            return pooled
        valid = (torch.arange(steps, device=output.device)[:, None] < lengths)[..., None]
        total = pooled.total + output.masked_fill(~valid, 0.0).sum(0)
        lowest = torch.finfo(output.dtype).min
        maximum = torch.maximum(pooled.maximum, output.masked_fill(~valid, lowest).amax(0))
        place = (lengths - 1).clamp(0, steps - 1)
        there = output.gather(0, place[None, :, None].expand(1, -1, self.outputs))[0]
        ends = (lengths >= 1) & (lengths <= steps)
        last = torch.where(ends[:, None], there, pooled.last)
        if self.bidirectional and first:
            half = self.outputs // 2
            backward = torch.where((lengths >= 1)[:, None], output[0, :, half:], pooled.last[:, half:])
            last = torch.cat([last[:, :half], backward], dim=1)
        return Pooled(total, maximum, last)

    def _features(self, pooled: Pooled, lengths: Tensor) -> Tensor:
        """The poolings of whole sequences side by side, (batch, 3 * outputs)."""
        mean = pooled.total / lengths.clamp(min=1)[:, None].to(pooled.total.dtype)
        maximum = torch.where((lengths > 0)[:, None], pooled.maximum, torch.zeros_like(pooled.maximum))
        return torch.cat([mean, maximum, pooled.last], dim=1)

    def _span(
        self, values: Tensor, codes: Tensor, lengths: Tensor, start: int, stop: int, state: SequenceState | None
    ) -> SequenceState:
        within = (lengths - start).clamp(0, stop - start)
        x = self.inputs(values[start:stop], codes[start:stop], within)
        output, recurrent = self.recurrent(x, None if state is None else state.recurrent, lengths=within)
        output = output.float() if output.dtype in (torch.bfloat16, torch.float16) else output
        before = self._start(output) if state is None else state.pooled
        return SequenceState(recurrent, self._pool(before, output, lengths - start, start == 0))

    def logits(self, values: Tensor, codes: Tensor, lengths: Tensor) -> Tensor:
        """Logits (batch, classes) of whole sequences."""
        pooled = self._span(values, codes, lengths, 0, values.shape[0], None).pooled
        return self.head(self.dropout(self._features(pooled, lengths)))

    def forward(
        self, batch: SequenceBatch, start: int, stop: int, state: SequenceState | None
    ) -> tuple[Tensor, SequenceState]:
        """The loss of the sequences that end in steps start..stop-1, over the weight of the whole batch."""
        state = self._span(batch.values, batch.codes, batch.lengths, start, stop, state)
        last_step = (batch.lengths - 1).clamp(min=0)
        due = (last_step >= start) & (last_step < stop)
        features = self._features(state.pooled, batch.lengths)
        if self.training and self.mixing > 0:
            each = self._mixed(features, batch.label, last_step < stop)
        else:
            each = self._losses(features, batch.label)
        weight = self.class_weight[batch.label].to(each.dtype)
        return (each * weight * due).sum() / weight.sum(), state

    def _losses(self, features: Tensor, label: Tensor) -> Tensor:
        logits = self.head(self.dropout(features))
        return functional.cross_entropy(logits.to(features.dtype), label, reduction="none")

    def _mixed(self, features: Tensor, label: Tensor, ended: Tensor) -> Tensor:
        """Losses (batch,) with each sequence mixed with a partner; one that has not ended yet mixes with nobody."""
        partner = torch.randperm(len(label), device=label.device)
        # From Beta(mixing, mixing): the operation under torch.distributions.Beta, which itself cannot be traced.
        share = torch._sample_dirichlet(torch.full((2,), self.mixing))[0].to(features)
        own = torch.where(ended[partner], torch.maximum(share, 1 - share), torch.ones_like(share))
        mixed = own[:, None] * features + (1 - own)[:, None] * features[partner]
        logits = self.head(self.dropout(mixed)).to(features.dtype)
        first = functional.cross_entropy(logits, label, reduction="none")
        second = functional.cross_entropy(logits, label[partner], reduction="none")
        return own * first + (1 - own) * second
