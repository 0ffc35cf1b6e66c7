"""Memories: patterns stored and recalled from a part of themselves; histories compressed to what was not expected."""

from recurra.memory.bidirectional import BidirectionalCell, BidirectionalMemory, BidirectionalState
from recurra.memory.compressor import Compressed, HistoryCompressor, LevelDescription
from recurra.memory.compressor_events import EventPredictor, Events
from recurra.memory.compressor_pair import ChunkerAutomatizer, PairReport, PairState
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
    "ChunkerAutomatizer",
    "Compressed",
    "ContinuousHopfield",
    "ContinuousHopfieldCell",
    "EventPredictor",
    "Events",
    "HistoryCompressor",
    "Hopfield",
    "HopfieldCell",
    "HopfieldLayer",
    "JumpMode",
    "JumpRun",
    "LevelDescription",
    "MarkovJumpingMemory",
    "ModernHopfield",
    "ModernHopfieldCell",
    "PairReport",
    "PairState",
    "Recall",
    "draw_energy",
    "draw_patterns",
]
