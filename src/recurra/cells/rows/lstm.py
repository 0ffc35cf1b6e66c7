"""Long short-term memory and its variants."""

from __future__ import annotations

from recurra.cells.entry import CellEntry

ROWS = (
    CellEntry("lstm", "recurra.cells.lstm:LSTM", "long short-term memory with forget gate", "Gers et al. 2000"),
    CellEntry(
        "peephole_lstm",
        "recurra.cells.peephole_lstm:PeepholeLSTM",
        "LSTM whose gates see the memory cells",
        "Gers et al. 2002",
    ),
    CellEntry(
        "lstm_1997",
        "recurra.cells.lstm_1997:LSTM1997",
        "LSTM without a forget gate",
        "Hochreiter & Schmidhuber 1997",
    ),
    CellEntry(
        "coupled_lstm",
        "recurra.cells.coupled_lstm:CoupledLSTM",
        "LSTM with coupled input and forget gates (CIFG)",
        "Greff et al. 2017",
    ),
    CellEntry(
        "coupled_peephole_lstm",
        "recurra.cells.coupled_lstm:CoupledLSTM",
        "LSTM with coupled gates that see the memory cells",
        "Greff et al. 2017",
        (("peepholes", True),),
    ),
    CellEntry(
        "layer_norm_lstm",
        "recurra.cells.layer_norm_lstm:LayerNormLSTM",
        "LSTM with layer normalisation",
        "Ba et al. 2016",
    ),
    CellEntry(
        "recurrent_output_lstm",
        "recurra.cells.recurrent_output_lstm:RecurrentOutputLSTM",
        "LSTM whose output layer sees its last output",
        "Zen & Sak 2015",
    ),
    CellEntry(
        "multiplicative_lstm",
        "recurra.cells.multiplicative_lstm:MultiplicativeLSTM",
        "LSTM whose recurrent matrix depends on the input",
        "Krause et al. 2016",
    ),
    CellEntry(
        "janet",
        "recurra.cells.janet:JANET",
        "LSTM with the forget gate alone",
        "van der Westhuizen & Lasenby 2018",
    ),
    CellEntry(
        "mc_lstm",
        "recurra.cells.mc_lstm:MCLSTM",
        "mass-conserving LSTM",
        "Hoedt et al. 2021",
    ),
    CellEntry(
        "wmc_lstm",
        "recurra.cells.wmc_lstm:WMCLSTM",
        "LSTM with working memory connections",
        "Landi et al. 2021",
    ),
    CellEntry(
        "elstm",
        "recurra.cells.elstm:ELSTM",
        "LSTM with element-wise recurrence",
        "Irie et al. 2024",
    ),
    CellEntry(
        "res_lstm",
        "recurra.cells.res_lstm:ResLSTM",
        "residual LSTM, whose output gate lets the input through",
        "Kim et al. 2017",
    ),
    CellEntry(
        "nas",
        "recurra.cells.nas:NASCell",
        "cell found by neural architecture search",
        "Zoph & Le 2017",
    ),
    CellEntry(
        "extended_lstm",
        "recurra.cells.extended_lstm:ExtendedLSTM",
        "LSTM whose steps have learned factors of their own",
        "Su & Kuo 2019",
    ),
)
