"""Associative memories: patterns are stored, forgotten, and recalled from a part of themselves."""

from recurra.memory.bidirectional import BidirectionalCell, BidirectionalMemory, BidirectionalState
from recurra.memory.continuous_hopfield import ContinuousHopfield
from recurra.memory.drawing import draw_energy, draw_patterns
from recurra.memory.hopfield import Hopfield
from recurra.memory.hopfield_cells import ContinuousHopfieldCell, HopfieldCell
from recurra.memory.hopfield_layer import HopfieldLayer
from recurra.memory.markov_jumping import JumpMode, JumpRun, MarkovJumpingMemory
from recurra.memory.modern_hopfield import ModernHopfield, ModernHopfieldCell
from recurra.memory.recall import Recall

__all__ = [
    "BidirectionalCell",
    "BidirectionalMemory",
    "BidirectionalState",
    "ContinuousHopfield",
    "ContinuousHopfieldCell",
    "Hopfield",
    "HopfieldCell",
    "HopfieldLayer",
    "JumpMode",
    "JumpRun",
    "MarkovJumpingMemory",
    "ModernHopfield",
    "ModernHopfieldCell",
    "Recall",
    "draw_energy",
    "draw_patterns",
]
