"""Other gated cells."""

from __future__ import annotations

from recurra.cells.entry import CellEntry

ROWS: tuple[CellEntry, ...] = (
    CellEntry(
        "atr",
        "recurra.cells.atr:ATR",
        "addition-subtraction twin gates",
        "Zhang et al. 2018",
    ),
    CellEntry(
        "br",
        "recurra.cells.bistable:BRC",
        "bistable recurrent cell",
        "Vecoven et al. 2021",
    ),
    CellEntry(
        "nbr",
        "recurra.cells.bistable:NBRC",
        "bistable recurrent cell, neuromodulated",
        "Vecoven et al. 2021",
    ),
    CellEntry(
        "cfn",
        "recurra.cells.cfn:CFN",
        "chaos-free network",
        "Laurent & von Brecht 2017",
    ),
    CellEntry(
        "sgu",
        "recurra.cells.sgu:SGU",
        "simple gated unit",
        "Gao & Glowacka 2016",
    ),
    CellEntry(
        "dsgu",
        "recurra.cells.sgu:DSGU",
        "deep simple gated unit",
        "Gao & Glowacka 2016",
    ),
    CellEntry(
        "sgrn",
        "recurra.cells.sgrn:SGRN",
        "simple gated recurrent network",
        "Zu & Wei 2021",
    ),
    CellEntry(
        "miru1",
        "recurra.cells.miru:MiRU",
        "minion recurrent unit, constant update",
        "Zyarah & Kudithipudi 2026",
        (("variant", 1),),
    ),
    CellEntry(
        "miru2",
        "recurra.cells.miru:MiRU",
        "minion recurrent unit, constant update and reset",
        "Zyarah & Kudithipudi 2026",
        (("variant", 2),),
    ),
    CellEntry(
        "minimal_rnn",
        "recurra.cells.minimal_rnn:MinimalRNN",
        "minimal recurrent network, one gate",
        "Chen 2017",
    ),
    CellEntry(
        "star",
        "recurra.cells.star:STAR",
        "stackable recurrent cell, one gate",
        "Turkoglu et al. 2021",
    ),
    CellEntry(
        "rhn",
        "recurra.cells.rhn:RHN",
        "recurrent highway network, coupled gates",
        "Zilly et al. 2017",
    ),
    CellEntry(
        "rhn_uncoupled",
        "recurra.cells.rhn:RHN",
        "recurrent highway network, a carry gate of its own",
        "Zilly et al. 2017",
        (("coupled", False),),
    ),
    CellEntry(
        "intersection_rnn",
        "recurra.cells.intersection_rnn:IntersectionRNN",
        "intersection network, gated along time and in depth",
        "Collins et al. 2017",
    ),
    CellEntry(
        "ugrnn",
        "recurra.cells.ugrnn:UGRNN",
        "update gate network, one gate",
        "Collins et al. 2017",
    ),
    CellEntry(
        "ran",
        "recurra.cells.ran:RAN",
        "recurrent additive network, tanh",
        "Lee et al. 2017",
    ),
    CellEntry(
        "ran_identity",
        "recurra.cells.ran:RAN",
        "recurrent additive network, no tanh",
        "Lee et al. 2017",
        (("squash", "identity"),),
    ),
    CellEntry(
        "fast_slow",
        "recurra.cells.fast_slow:FastSlow",
        "fast cells in a row and a slow one beside, LSTMs",
        "Mujika et al. 2017",
    ),
    CellEntry(
        "fast_rnn",
        "recurra.cells.fast_rnn:FastRNN",
        "weighted residual connection, two numbers",
        "Kusupati et al. 2018",
    ),
    CellEntry(
        "fast_grnn", "recurra.cells.fast_rnn:FastGRNN", "one gate that shares its matrices", "Kusupati et al. 2018"
    ),
    CellEntry("plrnn", "recurra.cells.plrnn:PLRNN", "piecewise-linear recurrent network", "Koppe et al. 2019"),
    CellEntry(
        "dendritic_plrnn",
        "recurra.cells.plrnn:DendriticPLRNN",
        "piecewise-linear recurrent network with dendritic branches",
        "Brenner et al. 2022",
    ),
    CellEntry("srnn", "recurra.cells.srnn:SRNN", "shuffling recurrent network", "Rotman & Wolf 2021"),
    CellEntry("su_rnn", "recurra.cells.su_rnn:SuRNN", "selective-update recurrent network", "Yin et al. 2026"),
    CellEntry(
        "su_gru",
        "recurra.cells.su_rnn:SuRNN",
        "selective-update recurrent network around a GRU",
        "Yin et al. 2026",
        (("base", "gru"),),
    ),
)
