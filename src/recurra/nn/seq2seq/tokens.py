"""Sequences of tokens: checks, lengths, and what a decoder reads when it is to give a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.unroll import check_lengths, in_transform, within_lengths


def read_tokens(
    tokens: Any,
    lengths: Tensor | Sequence[int] | None,
    *,
    vocabulary: int,
    padding: int,
    batch_first: bool,
    name: str,
) -> tuple[Tensor, Tensor]:
    """Tokens time first, with `padding` past their lengths, and the lengths: up to the last token that is no padding.

    Raises:
        ShapeError: tokens is no tensor of whole numbers with two dimensions, or lengths does not fit.
        UsageError: a token or a length is out of range.
    """
    where = "Seq2Seq"
    need = f"whole numbers {'(batch, time)' if batch_first else '(time, batch)'}"
    if not isinstance(tokens, Tensor) or tokens.dim() != 2:
        got = f"has shape {tuple(tokens.shape)}" if isinstance(tokens, Tensor) else f"is {type(tokens).__name__}"
        raise ShapeError(f"{name} {got}", where=where, need=need)
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise ShapeError(f"{name} is {tokens.dtype}", where=where, need=need, cure=f"{name}.long()")
    tokens = (tokens.transpose(0, 1) if batch_first else tokens).long()
    places = torch.arange(1, tokens.shape[0] + 1, device=tokens.device).unsqueeze(1)
    if lengths is None:
        filled = torch.where(tokens != padding, places, 0)
        lengths = filled.amax(0) if tokens.shape[0] else filled.sum(0)
    else:
        lengths = check_lengths(lengths, tokens, where=f"{where}, {name}")
    tokens = torch.where(within_lengths(lengths, tokens.shape[0]), tokens, padding)
    if tokens.numel() and not in_transform() and not torch.compiler.is_compiling():
        low, high = (int(bound) for bound in torch.aminmax(tokens))
        if low < 0 or high >= vocabulary:
            raise UsageError(
                f"{name} holds {low if low < 0 else high}",
                where=where,
                need=f"tokens from 0 to {vocabulary - 1}, as the vocabulary is {vocabulary}",
            )
    return tokens, lengths


def shift(target: Tensor, begin: int) -> Tensor:
    """The token before each token of a target (time, batch): `begin`, then the target without its last one."""
    return torch.cat([torch.full_like(target[:1], begin), target[:-1]])


def token_loss(
    logits: Tensor, target: Tensor, lengths: Tensor, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy of the tokens within the lengths: their mean, or the sum of each sequence.

    Args:
        logits: (time, batch, vocabulary).
        target: (time, batch).
        lengths: (batch,).
        label_smoothing: share of the probability that is spread over all tokens.
        reduction: "mean" over all tokens, 0 where there are none, or "sequence" for the sum of each, (batch,).
    """
    within = within_lengths(lengths, target.shape[0])
    each = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), target.flatten(), reduction="none", label_smoothing=label_smoothing
    ).unflatten(0, target.shape)
    each = torch.where(within, each, torch.zeros_like(each))
    return each.sum(0) if reduction == "sequence" else each.sum() / within.sum().clamp(min=1)
