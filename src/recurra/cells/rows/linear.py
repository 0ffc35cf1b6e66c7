"""Linear recurrences and other cells of the years after 2015 that run as a parallel scan."""

from __future__ import annotations

from recurra.cells.entry import CellEntry

ROWS: tuple[CellEntry, ...] = (
    CellEntry("qrnn", "recurra.cells.qrnn:QRNN", "quasi-recurrent network, fo-pooling", "Bradbury et al. 2017"),
    CellEntry(
        "qrnn_f",
        "recurra.cells.qrnn:QRNN",
        "quasi-recurrent network, f-pooling",
        "Bradbury et al. 2017",
        (("pooling", "f"),),
    ),
    CellEntry(
        "qrnn_ifo",
        "recurra.cells.qrnn:QRNN",
        "quasi-recurrent network, ifo-pooling",
        "Bradbury et al. 2017",
        (("pooling", "ifo"),),
    ),
    CellEntry("sru", "recurra.cells.sru:SRU", "simple recurrent unit", "Lei et al. 2018"),
    CellEntry(
        "sru_linear",
        "recurra.cells.sru:SRU",
        "simple recurrent unit, first version: gates of the input alone",
        "Lei & Zhang 2017",
        (("peephole", False), ("activation", "tanh"), ("rescale", False)),
    ),
    CellEntry("lru", "recurra.cells.lru:LRU", "linear recurrent unit, complex and diagonal", "Orvieto et al. 2023"),
    CellEntry("rg_lru", "recurra.cells.rg_lru:RGLRU", "real-gated linear recurrent unit", "De et al. 2024"),
    CellEntry("min_gru", "recurra.cells.min_gru:MinGRU", "minimal gated recurrent unit", "Feng et al. 2024"),
    CellEntry("min_lstm", "recurra.cells.min_gru:MinLSTM", "minimal long short-term memory", "Feng et al. 2024"),
    CellEntry("slstm", "recurra.cells.slstm:sLSTM", "sLSTM of the xLSTM, with memory mixing", "Beck et al. 2024"),
    CellEntry(
        "slstm_linear",
        "recurra.cells.slstm:sLSTM",
        "sLSTM of the xLSTM, without memory mixing",
        "Beck et al. 2024",
        (("recurrent", False),),
    ),
    CellEntry("mlstm", "recurra.cells.mlstm:mLSTM", "mLSTM of the xLSTM, a matrix memory", "Beck et al. 2024"),
    CellEntry("trnn", "recurra.cells.strongly_typed:TRNN", "strongly-typed network", "Balduzzi & Ghifary 2016"),
    CellEntry("tgru", "recurra.cells.strongly_typed:TGRU", "strongly-typed GRU", "Balduzzi & Ghifary 2016"),
    CellEntry("tlstm", "recurra.cells.strongly_typed:TLSTM", "strongly-typed LSTM", "Balduzzi & Ghifary 2016"),
)
