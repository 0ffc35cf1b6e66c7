"""Which of our cells stands beside which one of torchrecurrent, and how its weights become ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def pick(tensor: Tensor, count: int, *order: int) -> Tensor:
    """Some of the equal blocks along the rows, in the order given."""
    parts = tensor.chunk(count)
    return torch.cat([parts[index] for index in order])


def scaled(weights: Weights, *factors: float) -> Weights:
    """Each of the equal blocks along the rows times its factor."""

    def rows(weight: Tensor) -> Tensor:
        blocks = zip(weight.chunk(len(factors)), factors, strict=True)
        return torch.cat([factor * block for block, factor in blocks])

    return {name: rows(weight) for name, weight in weights.items()}


def summed(w: Weights) -> Weights:
    """The same weights, and their two biases as the one bias that both amount to."""
    return {"weight_ih": w["weight_ih"], "weight_hh": w["weight_hh"], "bias_ih": w["bias_ih"] + w["bias_hh"]}


def gated_antisymmetric(w: Weights) -> Weights:
    gate, units = w["bias_ih"].chunk(2)
    weight_ih, bias_ih = pick(w["weight_ih"], 2, 1, 0), torch.cat([units + w["bias_hh"], gate])
    return {"weight_ih": weight_ih, "weight_hh": w["weight_hh"], "bias_ih": bias_ih}


def without_last_bias(w: Weights) -> Weights:
    """Two gates with biases, and a candidate without one."""
    bias_ih = pick(w["bias_ih"], 3, 0, 1) + w["bias_hh"]
    return {"weight_ih": w["weight_ih"], "weight_hh": w["weight_hh"], "bias_ih": bias_ih}


def cornn(w: Weights) -> Weights:
    bias_ih = w["bias_ih"] + w["bias_hh"] + w["bias_ch"]
    return {
        "weight_ih": w["weight_ih"],
        "weight_hh": w["weight_hh"],
        "weight_velocity": w["weight_ch"],
        "bias_ih": bias_ih,
    }


def fast(*numbers: str) -> Callable[[Weights], Weights]:
    return lambda w: {**summed(w), **{name: w[name] for name in numbers}}


def indrnn(w: Weights) -> Weights:
    return {"weight_ih": w["weight_ih"], "weight_hh": w["vector_u"], "bias_ih": w["bias_ih"] + w["bias_hh"]}


def lem(w: Weights) -> Weights:
    """Their first gate is the hidden units' and their second one the memory's; ours stand the other way round."""
    bias_hh = torch.cat([w["bias_hh"], w["bias_ch"]])
    return {
        "weight_ih": pick(w["weight_ih"], 4, 1, 0, 2, 3),
        "weight_hh": pick(w["weight_hh"], 3, 1, 0, 2),
        "weight_memory": w["weight_ch"],
        "bias_ih": pick(w["bias_ih"] + bias_hh, 4, 1, 0, 2, 3),
    }


def light_ru(w: Weights) -> Weights:
    bias_ih = w["bias_ih"].chunk(2)[1] + w["bias_hh"]
    return {"weight_ih": pick(w["weight_ih"], 2, 1, 0), "weight_hh": w["weight_hh"], "bias_ih": bias_ih}


def minimal_rnn(w: Weights) -> Weights:
    return {name: w[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")} | {"weight_nh": w["weight_mm"]}


def multiplicative_lstm(w: Weights) -> Weights:
    return {
        "weight_mx": pick(w["weight_ih"], 5, 0),
        "weight_mh": w["weight_hh"],
        "weight_ih": pick(w["weight_ih"], 5, 1, 2, 3, 4),
        "weight_hh": w["weight_mh"],
        "bias_ih": pick(w["bias_ih"], 5, 1, 2, 3, 4) + w["bias_mh"],
    }


def mut1(w: Weights) -> Weights:
    update, reset, _ = w["bias_ih"].chunk(3)
    for_reset, for_new = w["bias_hh"].chunk(2)
    bias_ih = torch.cat([update, reset + for_reset, for_new])
    return {"weight_ih": w["weight_ih"], "weight_hh": w["weight_hh"], "bias_ih": bias_ih}


def nas(w: Weights) -> Weights:
    return {"weight_ih": w["weight_ih"], "weight_hh": w["weight_hh"], "bias_hh": w["bias_ih"] + w["bias_hh"]}


def peephole_lstm(w: Weights) -> Weights:
    return {**summed(w), "peephole": w["weight_ph"]}


def ran(w: Weights) -> Weights:
    return {**summed(w), "weight_ih": pick(w["weight_ih"], 3, 1, 2, 0)}


def res_lstm(w: Weights) -> Weights:
    return {**peephole_lstm(w), "weight_hr": w["weight_proj"], "weight_shortcut": w["weight_res"]}


def scrn(w: Weights) -> Weights:
    """Without what they put between the hidden units and the output."""
    return {
        "weight_sx": pick(w["weight_ih"], 2, 0),
        "weight_ih": pick(w["weight_ih"], 2, 1),
        "weight_hh": pick(w["weight_hh"], 2, 0),
        "weight_hs": pick(w["weight_ch"], 2, 0),
        "bias_ih": pick(w["bias_ih"], 2, 1) + pick(w["bias_hh"] + w["bias_ch"], 2, 0),
    }


def sgu(w: Weights) -> Weights:
    """Their hard sigmoid has 5/6 of the paper's slope; the factor goes into the gate's weights, which stand first."""
    return scaled({name: pick(weight, 2, 1, 0) for name, weight in summed(w).items()}, 5.0 / 6.0, 1.0)


def dsgu(w: Weights) -> Weights:
    weights = sgu(w)
    return {**weights, "weight_hh": torch.cat([weights["weight_hh"], w["weight_ho"]])}


def sgrn(w: Weights) -> Weights:
    return {"weight_ih": w["weight_ih"], "weight_hh": w["weight_hh"], "bias_ih": w["bias_hh"]}


def star(w: Weights) -> Weights:
    new, gate = w["bias_ih"].chunk(2)
    bias_ih = torch.cat([gate + w["bias_hh"], new])
    return {"weight_ih": pick(w["weight_ih"], 2, 1, 0), "weight_hh": w["weight_hh"], "bias_ih": bias_ih}


def tau_gru(w: Weights) -> Weights:
    return {
        "weight_ih": pick(w["weight_ih"], 4, 0, 2, 3, 1),
        "weight_hh": pick(w["weight_hh"], 4, 0, 2, 3),
        "weight_delayed": pick(w["weight_hh"], 4, 1),
        "bias_ih": pick(w["bias_ih"] + w["bias_hh"], 4, 0, 2, 3, 1),
    }


def trnn(w: Weights) -> Weights:
    return {"weight_ih": w["weight_ih"], "bias_ih": pick(w["bias_ih"], 2, 1)}


def typed(w: Weights) -> Weights:
    return {"weight_ih": w["weight_ih"], "weight_past": w["weight_hh"], "bias_ih": w["bias_ih"] + w["bias_hh"]}


def unicornn(w: Weights) -> Weights:
    return {name: w[name] for name in ("weight_ih", "weight_hh", "bias_ih")} | {"time_scale": w["weight_ch"]}


def wmc_lstm(w: Weights) -> Weights:
    return {**summed(w), "weight_ch": w["weight_mh"]}


def none_of(*blocks: tuple[str, int, int]) -> Callable[[Weights], None]:
    """Sets biases to zero that the paper does not have: (name, index, of how many blocks)."""

    def clear(w: Weights) -> None:
        for name, index, count in blocks:
            w[name].chunk(count)[index].zero_()

    return clear


@dataclass(frozen=True)
class Pair:
    """A cell of each side.

    Attributes:
        theirs: the name of their cell, without "Cell".
        ours: the registered name of ours.
        weights: ours from theirs.
        clear: sets to zero what the paper does not have.
        their_arguments, our_arguments: of the constructors.
        features: of x.
    """

    theirs: str
    ours: str
    weights: Callable[[Weights], Weights] = summed
    clear: Callable[[Weights], None] = none_of()
    their_arguments: dict[str, Any] = field(default_factory=dict)
    our_arguments: dict[str, Any] = field(default_factory=dict)
    features: int = 3


EULER: dict[str, Any] = {"gamma": 0.1}
RANDOM = ("bias_ih", 2, 3)

EQUAL = [
    Pair("AntisymmetricRNN", "antisymmetric_rnn", summed, none_of(), {**EULER, "epsilon": 0.3}, {**EULER, "dt": 0.3}),
    Pair(
        "GatedAntisymmetricRNN",
        "gated_antisymmetric_rnn",
        gated_antisymmetric,
        none_of(),
        {**EULER, "epsilon": 0.3},
        {**EULER, "dt": 0.3},
    ),
    Pair("ATR", "atr", summed, none_of(("bias_hh", 0, 1))),
    Pair("BR", "br", without_last_bias, none_of(RANDOM)),
    Pair("NBR", "nbr", without_last_bias, none_of(RANDOM)),
    Pair("CFN", "cfn", without_last_bias, none_of(RANDOM)),
    Pair(
        "coRNN",
        "cornn",
        cornn,
        none_of(),
        {"dt": 0.1, "gamma": 1.5, "epsilon": 0.7},
        {"dt": 0.1, "gamma": 1.5, "epsilon": 0.7},
    ),
    Pair("FastRNN", "fast_rnn", fast("alpha", "beta")),
    Pair("FastGRNN", "fast_grnn", fast("zeta", "nu"), none_of(), {"nonlinearity": "sigmoid"}),
    Pair("IndRNN", "indrnn", indrnn, none_of(), {"nonlinearity": "relu"}),
    Pair("IndRNN", "indrnn_tanh", indrnn),
    Pair("IntersectionRNN", "intersection_rnn", summed, none_of(), features=4),
    Pair("JANET", "janet", summed, none_of(), {"beta": 0.5}, {"beta": 0.5}),
    Pair("LiGRU", "ligru"),
    Pair("LightRU", "light_ru", light_ru, none_of(("bias_ih", 0, 2))),
    Pair("MGU", "mgu"),
    Pair("MinimalRNN", "minimal_rnn", minimal_rnn),
    Pair("MiRU1", "miru1", summed, none_of(), {"update_coefficient": 0.3}, {"update_coefficient": 0.3}),
    Pair(
        "MiRU2",
        "miru2",
        summed,
        none_of(),
        {"update_coefficient": 0.3, "reset_coefficient": 0.8},
        {"update_coefficient": 0.3, "reset_coefficient": 0.8},
    ),
    Pair(
        "MultiplicativeLSTM", "multiplicative_lstm", multiplicative_lstm, none_of(("bias_ih", 0, 5), ("bias_hh", 0, 1))
    ),
    Pair("MUT1", "mut1", mut1, none_of(RANDOM)),
    Pair("MUT2", "mut2"),
    Pair("MUT3", "mut3"),
    Pair("PeepholeLSTM", "peephole_lstm", peephole_lstm),
    Pair("RAN", "ran", ran),
    Pair("ResLSTM", "res_lstm", res_lstm),
    Pair("SGRN", "sgrn", sgrn, none_of(("bias_ih", 0, 1))),
    Pair("STAR", "star", star),
    Pair("TRNN", "trnn", trnn, none_of(("bias_ih", 0, 2))),
    Pair("TGRU", "tgru", typed),
    Pair("TLSTM", "tlstm", typed),
    Pair("UGRNN", "ugrnn"),
    Pair("UnICORNN", "unicornn", unicornn, none_of(), {"dt": 0.3, "alpha": 0.5}, {"dt": 0.3, "alpha": 0.5}),
    Pair("WMCLSTM", "wmc_lstm", wmc_lstm, none_of(("bias_mh", 0, 1))),
]
"""Cells that give the same numbers on both sides."""
