"""Simple recurrent networks and their near kin."""

from __future__ import annotations

from recurra.cells.entry import CellEntry

ROWS = (
    CellEntry("elman", "recurra.cells.elman:Elman", "simple recurrent network, tanh", "Elman 1990"),
    CellEntry(
        "elman_relu",
        "recurra.cells.elman:Elman",
        "simple recurrent network, ReLU",
        "Elman 1990",
        (("nonlinearity", "relu"),),
    ),
    CellEntry("indrnn", "recurra.cells.indrnn:IndRNN", "independently recurrent network, ReLU", "Li et al. 2018"),
    CellEntry(
        "indrnn_tanh",
        "recurra.cells.indrnn:IndRNN",
        "independently recurrent network, tanh",
        "Li et al. 2018",
        (("nonlinearity", "tanh"),),
    ),
    CellEntry("jordan", "recurra.cells.jordan:Jordan", "Jordan's network, context from the output", "Jordan 1986"),
    CellEntry(
        "fully_recurrent",
        "recurra.cells.fully_recurrent:FullyRecurrent",
        "fully recurrent network, some units are outputs",
        "Williams & Zipser 1989",
    ),
    CellEntry(
        "second_order",
        "recurra.cells.second_order:SecondOrderRNN",
        "second-order network, a matrix for each input",
        "Giles et al. 1992",
    ),
    CellEntry(
        "multiplicative_rnn",
        "recurra.cells.multiplicative_rnn:MultiplicativeRNN",
        "multiplicative network, factored second order",
        "Sutskever et al. 2011",
    ),
    CellEntry("narx", "recurra.cells.narx:NARX", "delay lines of inputs and of outputs", "Lin et al. 1996"),
    CellEntry(
        "recurrent_mlp",
        "recurra.cells.recurrent_mlp:RecurrentMLP",
        "recurrent multilayer perceptron, cascaded subnetworks",
        "Puskorius & Feldkamp 1994",
    ),
    CellEntry("fir", "recurra.cells.fir:FIR", "finite impulse response synapses", "Back & Tsoi 1991"),
    CellEntry("iir", "recurra.cells.iir:IIR", "infinite impulse response synapses", "Back & Tsoi 1991"),
    CellEntry(
        "local_feedback",
        "recurra.cells.local_feedback:LocalFeedback",
        "local feedback of activations",
        "Frasconi et al. 1992",
    ),
    CellEntry(
        "local_output_feedback",
        "recurra.cells.local_feedback:LocalFeedback",
        "local feedback of outputs",
        "Tsoi & Back 1994",
        (("feedback", "output"),),
    ),
    CellEntry(
        "clockwork",
        "recurra.cells.clockwork:ClockworkRNN",
        "clockwork network, modules at their own periods",
        "Koutnik et al. 2014",
    ),
    CellEntry(
        "hierarchical",
        "recurra.cells.hierarchical:HierarchicalRNN",
        "hierarchical network, levels at their own rates",
        "El Hihi & Bengio 1995",
    ),
    CellEntry(
        "hm_rnn", "recurra.cells.hm_rnn:HMLSTM", "hierarchical multiscale LSTM, learned boundaries", "Chung et al. 2017"
    ),
    CellEntry(
        "orthogonal",
        "recurra.cells.orthogonal:OrthogonalRNN",
        "orthogonal network, matrix exponential",
        "Lezcano-Casado & Martinez-Rubio 2019",
    ),
    CellEntry(
        "orthogonal_cayley",
        "recurra.cells.orthogonal:OrthogonalRNN",
        "orthogonal network, scaled Cayley transform",
        "Helfrich et al. 2018",
        (("method", "cayley"),),
    ),
    CellEntry(
        "unitary",
        "recurra.cells.unitary:UnitaryRNN",
        "unitary evolution network, complex units",
        "Arjovsky et al. 2016",
    ),
    CellEntry(
        "scrn", "recurra.cells.scrn:SCRN", "structurally constrained network, slow context units", "Mikolov et al. 2015"
    ),
)
