"""Signal-flow graphs of discrete-time networks, their adjoint graphs, and the gradients that follow from both."""

from recurra.learn.signal_flow.adjoint import Gradient, adjoint, gradient
from recurra.learn.signal_flow.graph import Delay, Derivative, Function, Gain, SignalFlowGraph
from recurra.learn.signal_flow.rule import Adjoint, OnlineAdjoint
from recurra.learn.signal_flow.simulate import Record, Step, simulate
from recurra.learn.signal_flow.tracing import graph_of_cell

__all__ = [
    "Adjoint",
    "Delay",
    "Derivative",
    "Function",
    "Gain",
    "Gradient",
    "OnlineAdjoint",
    "Record",
    "SignalFlowGraph",
    "Step",
    "adjoint",
    "gradient",
    "graph_of_cell",
    "simulate",
]
