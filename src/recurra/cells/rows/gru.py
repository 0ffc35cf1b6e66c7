"""Gated recurrent units and their variants."""

from __future__ import annotations

from recurra.cells.entry import CellEntry

ROWS = (
    CellEntry(
        "gru",
        "recurra.cells.gru:GRU",
        "gated recurrent unit, reset after the product (as in cuDNN)",
        "Cho et al. 2014",
    ),
    CellEntry(
        "gru_reset_before",
        "recurra.cells.gru:GRU",
        "gated recurrent unit, reset before the product",
        "Cho et al. 2014",
        (("reset_after", False),),
    ),
    CellEntry(
        "gru1",
        "recurra.cells.gate_variant_gru:GateVariantGRU",
        "GRU whose gates see state and bias alone",
        "Dey & Salem 2017",
        (("variant", 1),),
    ),
    CellEntry(
        "gru2",
        "recurra.cells.gate_variant_gru:GateVariantGRU",
        "GRU whose gates see the state alone",
        "Dey & Salem 2017",
        (("variant", 2),),
    ),
    CellEntry(
        "gru3",
        "recurra.cells.gate_variant_gru:GateVariantGRU",
        "GRU whose gates are biases alone",
        "Dey & Salem 2017",
        (("variant", 3),),
    ),
    CellEntry(
        "mgu",
        "recurra.cells.mgu:MGU",
        "minimal gated unit, one gate",
        "Zhou et al. 2016",
    ),
    CellEntry(
        "mgu1",
        "recurra.cells.mgu:MGU",
        "minimal gated unit whose gate sees state and bias alone",
        "Heck & Salem 2017",
        (("variant", 1),),
    ),
    CellEntry(
        "mgu2",
        "recurra.cells.mgu:MGU",
        "minimal gated unit whose gate sees the state alone",
        "Heck & Salem 2017",
        (("variant", 2),),
    ),
    CellEntry(
        "mgu3",
        "recurra.cells.mgu:MGU",
        "minimal gated unit whose gate is a bias alone",
        "Heck & Salem 2017",
        (("variant", 3),),
    ),
    CellEntry(
        "mut1",
        "recurra.cells.mut:MUT",
        "mutated gated unit, update gate sees the input alone",
        "Jozefowicz et al. 2015",
        (("variant", 1),),
    ),
    CellEntry(
        "mut2",
        "recurra.cells.mut:MUT",
        "mutated gated unit, near to GRU",
        "Jozefowicz et al. 2015",
        (("variant", 2),),
    ),
    CellEntry(
        "mut3",
        "recurra.cells.mut:MUT",
        "mutated gated unit, update gate sees tanh of the state",
        "Jozefowicz et al. 2015",
        (("variant", 3),),
    ),
    CellEntry(
        "ligru",
        "recurra.cells.ligru:LiGRU",
        "light GRU: no reset gate, ReLU",
        "Ravanelli et al. 2018",
    ),
    CellEntry(
        "light_ru",
        "recurra.cells.light_ru:LightRU",
        "light recurrent unit, candidate from the input alone",
        "Ye et al. 2024",
    ),
    CellEntry(
        "layer_norm_gru",
        "recurra.cells.layer_norm_gru:LayerNormGRU",
        "GRU with layer normalisation",
        "Ba et al. 2016",
    ),
)
