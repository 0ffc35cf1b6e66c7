"""Cells: the definitions of the networks. Names load on first use, so that the table of cells stays light.

Written by `python docs/write_cells.py`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurra.cells.antisymmetric_rnn import AntisymmetricRNN
    from recurra.cells.atr import ATR
    from recurra.cells.base import Cell, Gate
    from recurra.cells.bistable import BRC, NBRC
    from recurra.cells.cfc import CfC
    from recurra.cells.cfn import CFN
    from recurra.cells.circuits.memristive_reservoir import MemristiveReservoir
    from recurra.cells.clockwork import ClockworkRNN
    from recurra.cells.cornn import CoRNN
    from recurra.cells.coupled_lstm import CoupledLSTM
    from recurra.cells.ctrnn import CTRNN
    from recurra.cells.elman import Elman
    from recurra.cells.elstm import ELSTM
    from recurra.cells.extended_lstm import ExtendedLSTM
    from recurra.cells.external.dnc import DNC
    from recurra.cells.external.neural_stack import NeuralStack
    from recurra.cells.external.ntm import NTM
    from recurra.cells.external.pushdown import PushdownAutomaton
    from recurra.cells.external.stack_rnn import StackRNN
    from recurra.cells.facts import CellFacts, cell_facts
    from recurra.cells.fast_rnn import FastGRNN, FastRNN
    from recurra.cells.fast_slow import FastSlow
    from recurra.cells.fir import FIR
    from recurra.cells.fully_recurrent import FullyRecurrent
    from recurra.cells.gate_variant_gru import GateVariantGRU
    from recurra.cells.grids.leaky import MDLeakyLP
    from recurra.cells.grids.lstm import MDLSTM
    from recurra.cells.grids.simple import MDRNN
    from recurra.cells.gru import GRU
    from recurra.cells.gru_d import GRUD
    from recurra.cells.hierarchical import HierarchicalRNN
    from recurra.cells.hm_rnn import HMLSTM
    from recurra.cells.iir import IIR
    from recurra.cells.indrnn import IndRNN
    from recurra.cells.intersection_rnn import IntersectionRNN
    from recurra.cells.janet import JANET
    from recurra.cells.jordan import Jordan
    from recurra.cells.layer_norm_gru import LayerNormGRU
    from recurra.cells.layer_norm_lstm import LayerNormLSTM
    from recurra.cells.leaky_rnn import LeakyRNN
    from recurra.cells.lem import LEM
    from recurra.cells.light_ru import LightRU
    from recurra.cells.ligru import LiGRU
    from recurra.cells.lipschitz_rnn import LipschitzRNN
    from recurra.cells.liquid import Liquid
    from recurra.cells.local_feedback import LocalFeedback
    from recurra.cells.lru import LRU
    from recurra.cells.lstm import LSTM, LSTMState
    from recurra.cells.lstm_1997 import LSTM1997
    from recurra.cells.ltc import LTC
    from recurra.cells.mc_lstm import MCLSTM
    from recurra.cells.mgu import MGU
    from recurra.cells.min_gru import MinGRU, MinLSTM
    from recurra.cells.minimal_rnn import MinimalRNN
    from recurra.cells.miru import MiRU
    from recurra.cells.mlstm import mLSTM
    from recurra.cells.mtrnn import MTRNN
    from recurra.cells.multiplicative_lstm import MultiplicativeLSTM
    from recurra.cells.multiplicative_rnn import MultiplicativeRNN
    from recurra.cells.mut import MUT
    from recurra.cells.narx import NARX
    from recurra.cells.nas import NASCell
    from recurra.cells.ode_rnn import ODERNN
    from recurra.cells.orthogonal import OrthogonalRNN
    from recurra.cells.peephole_lstm import PeepholeLSTM
    from recurra.cells.phased_lstm import PhasedLSTM
    from recurra.cells.plrnn import PLRNN, DendriticPLRNN
    from recurra.cells.qrnn import QRNN
    from recurra.cells.ran import RAN
    from recurra.cells.recurrent_mlp import RecurrentMLP
    from recurra.cells.recurrent_output_lstm import RecurrentOutputLSTM
    from recurra.cells.registry import CELLS, cell_class
    from recurra.cells.res_lstm import ResLSTM
    from recurra.cells.rg_lru import RGLRU
    from recurra.cells.rhn import RHN
    from recurra.cells.scrn import SCRN
    from recurra.cells.second_order import SecondOrderRNN
    from recurra.cells.sgrn import SGRN
    from recurra.cells.sgu import DSGU, SGU
    from recurra.cells.slstm import sLSTM
    from recurra.cells.srnn import SRNN
    from recurra.cells.sru import SRU
    from recurra.cells.star import STAR
    from recurra.cells.state import HiddenState, map_state
    from recurra.cells.strongly_typed import TGRU, TLSTM, TRNN
    from recurra.cells.su_rnn import SuRNN
    from recurra.cells.tau_gru import TauGRU
    from recurra.cells.trees.recursive import RecursiveNetwork
    from recurra.cells.trees.tensor import RecursiveTensorNetwork
    from recurra.cells.trees.tree_lstm import ChildSumTreeLSTM, NaryTreeLSTM
    from recurra.cells.ugrnn import UGRNN
    from recurra.cells.unicornn import UnICORNN
    from recurra.cells.unitary import UnitaryRNN
    from recurra.cells.wmc_lstm import WMCLSTM
    from recurra.cells.zoneout import Zoneout

_PLACES = {
    "AntisymmetricRNN": "antisymmetric_rnn",
    "ATR": "atr",
    "BRC": "bistable",
    "Cell": "base",
    "cell_class": "registry",
    "cell_facts": "facts",
    "CellFacts": "facts",
    "CELLS": "registry",
    "CfC": "cfc",
    "CFN": "cfn",
    "ChildSumTreeLSTM": "trees.tree_lstm",
    "ClockworkRNN": "clockwork",
    "CoRNN": "cornn",
    "CoupledLSTM": "coupled_lstm",
    "CTRNN": "ctrnn",
    "DendriticPLRNN": "plrnn",
    "DNC": "external.dnc",
    "DSGU": "sgu",
    "Elman": "elman",
    "ELSTM": "elstm",
    "ExtendedLSTM": "extended_lstm",
    "FastGRNN": "fast_rnn",
    "FastRNN": "fast_rnn",
    "FastSlow": "fast_slow",
    "FIR": "fir",
    "FullyRecurrent": "fully_recurrent",
    "Gate": "base",
    "GateVariantGRU": "gate_variant_gru",
    "GRU": "gru",
    "GRUD": "gru_d",
    "HiddenState": "state",
    "HierarchicalRNN": "hierarchical",
    "HMLSTM": "hm_rnn",
    "IIR": "iir",
    "IndRNN": "indrnn",
    "IntersectionRNN": "intersection_rnn",
    "JANET": "janet",
    "Jordan": "jordan",
    "LayerNormGRU": "layer_norm_gru",
    "LayerNormLSTM": "layer_norm_lstm",
    "LeakyRNN": "leaky_rnn",
    "LEM": "lem",
    "LightRU": "light_ru",
    "LiGRU": "ligru",
    "LipschitzRNN": "lipschitz_rnn",
    "Liquid": "liquid",
    "LocalFeedback": "local_feedback",
    "LRU": "lru",
    "LSTM": "lstm",
    "LSTM1997": "lstm_1997",
    "LSTMState": "lstm",
    "LTC": "ltc",
    "map_state": "state",
    "MCLSTM": "mc_lstm",
    "MDLeakyLP": "grids.leaky",
    "MDLSTM": "grids.lstm",
    "MDRNN": "grids.simple",
    "MemristiveReservoir": "circuits.memristive_reservoir",
    "MGU": "mgu",
    "MinGRU": "min_gru",
    "MinimalRNN": "minimal_rnn",
    "MinLSTM": "min_gru",
    "MiRU": "miru",
    "mLSTM": "mlstm",
    "MTRNN": "mtrnn",
    "MultiplicativeLSTM": "multiplicative_lstm",
    "MultiplicativeRNN": "multiplicative_rnn",
    "MUT": "mut",
    "NARX": "narx",
    "NaryTreeLSTM": "trees.tree_lstm",
    "NASCell": "nas",
    "NBRC": "bistable",
    "NeuralStack": "external.neural_stack",
    "NTM": "external.ntm",
    "ODERNN": "ode_rnn",
    "OrthogonalRNN": "orthogonal",
    "PeepholeLSTM": "peephole_lstm",
    "PhasedLSTM": "phased_lstm",
    "PLRNN": "plrnn",
    "PushdownAutomaton": "external.pushdown",
    "QRNN": "qrnn",
    "RAN": "ran",
    "RecurrentMLP": "recurrent_mlp",
    "RecurrentOutputLSTM": "recurrent_output_lstm",
    "RecursiveNetwork": "trees.recursive",
    "RecursiveTensorNetwork": "trees.tensor",
    "ResLSTM": "res_lstm",
    "RGLRU": "rg_lru",
    "RHN": "rhn",
    "SCRN": "scrn",
    "SecondOrderRNN": "second_order",
    "SGRN": "sgrn",
    "SGU": "sgu",
    "sLSTM": "slstm",
    "SRNN": "srnn",
    "SRU": "sru",
    "StackRNN": "external.stack_rnn",
    "STAR": "star",
    "SuRNN": "su_rnn",
    "TauGRU": "tau_gru",
    "TGRU": "strongly_typed",
    "TLSTM": "strongly_typed",
    "TRNN": "strongly_typed",
    "UGRNN": "ugrnn",
    "UnICORNN": "unicornn",
    "UnitaryRNN": "unitary",
    "WMCLSTM": "wmc_lstm",
    "Zoneout": "zoneout",
}

__all__ = [
    "AntisymmetricRNN",
    "ATR",
    "BRC",
    "Cell",
    "cell_class",
    "cell_facts",
    "CellFacts",
    "CELLS",
    "CfC",
    "CFN",
    "ChildSumTreeLSTM",
    "ClockworkRNN",
    "CoRNN",
    "CoupledLSTM",
    "CTRNN",
    "DendriticPLRNN",
    "DNC",
    "DSGU",
    "Elman",
    "ELSTM",
    "ExtendedLSTM",
    "FastGRNN",
    "FastRNN",
    "FastSlow",
    "FIR",
    "FullyRecurrent",
    "Gate",
    "GateVariantGRU",
    "GRU",
    "GRUD",
    "HiddenState",
    "HierarchicalRNN",
    "HMLSTM",
    "IIR",
    "IndRNN",
    "IntersectionRNN",
    "JANET",
    "Jordan",
    "LayerNormGRU",
    "LayerNormLSTM",
    "LeakyRNN",
    "LEM",
    "LightRU",
    "LiGRU",
    "LipschitzRNN",
    "Liquid",
    "LocalFeedback",
    "LRU",
    "LSTM",
    "LSTM1997",
    "LSTMState",
    "LTC",
    "map_state",
    "MCLSTM",
    "MDLeakyLP",
    "MDLSTM",
    "MDRNN",
    "MemristiveReservoir",
    "MGU",
    "MinGRU",
    "MinimalRNN",
    "MinLSTM",
    "MiRU",
    "mLSTM",
    "MTRNN",
    "MultiplicativeLSTM",
    "MultiplicativeRNN",
    "MUT",
    "NARX",
    "NaryTreeLSTM",
    "NASCell",
    "NBRC",
    "NeuralStack",
    "NTM",
    "ODERNN",
    "OrthogonalRNN",
    "PeepholeLSTM",
    "PhasedLSTM",
    "PLRNN",
    "PushdownAutomaton",
    "QRNN",
    "RAN",
    "RecurrentMLP",
    "RecurrentOutputLSTM",
    "RecursiveNetwork",
    "RecursiveTensorNetwork",
    "ResLSTM",
    "RGLRU",
    "RHN",
    "SCRN",
    "SecondOrderRNN",
    "SGRN",
    "SGU",
    "sLSTM",
    "SRNN",
    "SRU",
    "StackRNN",
    "STAR",
    "SuRNN",
    "TauGRU",
    "TGRU",
    "TLSTM",
    "TRNN",
    "UGRNN",
    "UnICORNN",
    "UnitaryRNN",
    "WMCLSTM",
    "Zoneout",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
