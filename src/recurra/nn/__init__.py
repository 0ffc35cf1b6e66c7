"""Recurrent layers for people who build models: stacks of cells in one or both directions."""

from recurra.nn.layers import GRU, LSTM, RNN, IndRNN
from recurra.nn.recurrent import Recurrent

__all__ = ["GRU", "IndRNN", "LSTM", "RNN", "Recurrent"]
