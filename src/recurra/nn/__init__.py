"""Layers for people who build models: cells along time, up trees and over grids, attention, sequence to sequence."""

from recurra.nn.attention import Attention, AttentionDecoder
from recurra.nn.grid import Grid
from recurra.nn.layers import GRU, LSTM, RNN, IndRNN
from recurra.nn.pyramid import Pyramid
from recurra.nn.recurrent import Recurrent
from recurra.nn.seq2seq import Seq2Seq
from recurra.nn.skip import Skip
from recurra.nn.stream import Stream
from recurra.nn.tree import Tree

__all__ = [
    "Attention",
    "AttentionDecoder",
    "GRU",
    "Grid",
    "IndRNN",
    "LSTM",
    "Pyramid",
    "RNN",
    "Recurrent",
    "Seq2Seq",
    "Skip",
    "Stream",
    "Tree",
]
