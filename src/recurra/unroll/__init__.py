"""Cells along time: the one time loop of the library, and the parallel scan of linear cells."""

from recurra.unroll.checks import bounds_of, check_flags, check_lengths, in_transform, within_lengths
from recurra.unroll.loop import unroll
from recurra.unroll.scan import scan

__all__ = ["bounds_of", "check_flags", "check_lengths", "in_transform", "scan", "unroll", "within_lengths"]
