"""Attention to a memory of steps, and decoders that attend at every step."""

from recurra.nn.attention.attention import Attention
from recurra.nn.attention.decoder import AttentionDecoder, AttentionDecoderState, BoundDecoder
from recurra.nn.attention.memory import AlignmentState, AttentionMemory

__all__ = [
    "AlignmentState",
    "Attention",
    "AttentionDecoder",
    "AttentionDecoderState",
    "AttentionMemory",
    "BoundDecoder",
]
