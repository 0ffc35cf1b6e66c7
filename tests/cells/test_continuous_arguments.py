"""Bad arguments of cells in continuous time: the message names the argument, what was given and what is needed."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from recurra.cells import Cell
from recurra.errors import ShapeError, UsageError

PLACES = {
    "CoRNN": "cornn",
    "UnICORNN": "unicornn",
    "LEM": "lem",
    "AntisymmetricRNN": "antisymmetric_rnn",
    "LipschitzRNN": "lipschitz_rnn",
    "TauGRU": "tau_gru",
    "CTRNN": "ctrnn",
    "MTRNN": "mtrnn",
    "LeakyRNN": "leaky_rnn",
    "LTC": "ltc",
    "CfC": "cfc",
    "GRUD": "gru_d",
    "PhasedLSTM": "phased_lstm",
    "ODERNN": "ode_rnn",
}


def kind_of(name: str) -> type[Cell]:
    return getattr(importlib.import_module(f"recurra.cells.{PLACES[name]}"), name)


CASES: list[tuple[str, dict[str, Any], str]] = [
    ("CoRNN", {"gamma": 0}, "gamma is 0. Needed: a positive number."),
    ("CoRNN", {"epsilon": -1.0}, "epsilon is -1.0. Needed: zero or a positive number."),
    ("CoRNN", {"damping": "none"}, "damping is 'none'. Needed: 'explicit' or 'implicit'."),
    ("UnICORNN", {"alpha": "a"}, "alpha is 'a'. Needed: zero or a positive number."),
    ("AntisymmetricRNN", {"gamma": float("nan")}, "gamma is nan. Needed: zero or a positive number."),
    ("LipschitzRNN", {"beta": 1.5}, "beta is 1.5. Needed: a number from 0 to 1."),
    ("LipschitzRNN", {"method": "rk4"}, "method is 'rk4'. Needed: 'euler' or 'rk2'."),
    ("TauGRU", {"delay": 0}, "delay is 0. Needed: a positive whole number."),
    ("CTRNN", {"method": "rk3"}, "method is 'rk3'. Needed: 'euler', 'exponential' or 'rk4'."),
    ("CTRNN", {"substeps": 1.5}, "substeps is 1.5. Needed: a positive whole number."),
    ("CTRNN", {"time_constant": 0.0}, "time_constant is 0.0. Needed: a positive number, or 4 of them."),
    ("CTRNN", {"time_constant": [1.0, 2.0]}, "time_constant has 2 entries. Needed: a positive number, or 4 of them."),
    ("CTRNN", {"nonlinearity": "relu"}, "nonlinearity is 'relu'. Needed: 'sigmoid' or 'tanh'."),
    ("MTRNN", {"time_constants": (2.0, -5.0)}, "a time constant is -5.0. Needed: a positive number."),
    ("MTRNN", {"time_constants": ()}, "time_constants is empty. Needed: one time constant for each group."),
    (
        "MTRNN",
        {"group_sizes": (3, 2)},
        "group_sizes is (3, 2). Needed: 2 whole numbers, one for each time constant, that add up to hidden_size, 4.",
    ),
    ("MTRNN", {"input_groups": (2,)}, "input_groups is (2,). Needed: numbers of groups, 0 to 1."),
    ("LeakyRNN", {"rate": 1.5}, "rate is 1.5. Needed: a positive number of at most 1, or 4 of them."),
    ("LeakyRNN", {"leak": -0.5}, "leak is -0.5. Needed: zero or a positive number."),
    ("LeakyRNN", {"nonlinearity": "sin"}, "nonlinearity is 'sin'. Needed: 'tanh' or 'relu'."),
    ("LTC", {"substeps": 0}, "substeps is 0. Needed: a positive whole number."),
    ("LTC", {"time_constant": [1, 1, 1, 0]}, "time_constant is [1, 1, 1, 0]. Needed: a positive number, or 4 of them."),
    ("CfC", {"mode": "x"}, "mode is 'x'. Needed: 'default', 'pure' or 'no_gate'."),
    ("CfC", {"backbone_layers": -1}, "backbone_layers is -1. Needed: a whole number from 0 on."),
    ("CfC", {"activation": "sin"}, "activation is 'sin'. Needed: 'lecun_tanh', 'tanh', 'relu', 'silu' or 'gelu'."),
    ("PhasedLSTM", {"open_ratio": 0.0}, "open_ratio is 0.0. Needed: a positive number."),
    ("PhasedLSTM", {"open_ratio": 1.1}, "open_ratio is 1.1. Needed: a number from 0 to 1."),
    (
        "PhasedLSTM",
        {"periods": (5.0, 2.0)},
        "periods is (5.0, 2.0). Needed: two positive numbers, the shortest period and the longest.",
    ),
    ("ODERNN", {"ode_units": 0}, "ode_units is 0. Needed: a positive whole number."),
    ("ODERNN", {"method": "exact"}, "method is 'exact'. Needed: 'euler', 'rk2' or 'rk4'."),
]


@pytest.mark.parametrize(("name", "arguments", "message"), CASES)
def test_the_message_names_what_is_wrong(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        kind_of(name)(3, 4, **arguments)
    assert str(caught.value) == f"{name}: {message}"


@pytest.mark.parametrize("name", [name for name in PLACES if kind_of(name).continuous_time])
def test_the_default_time_between_steps_is_positive(name: str) -> None:
    for wrong in (0, -1.0, True, "1", float("inf")):
        with pytest.raises(UsageError) as caught:
            kind_of(name)(3, 4, dt=wrong)
        assert str(caught.value) == f"{name}: dt is {wrong!r}. Needed: a positive number."
    assert kind_of(name)(3, 4, dt=2).dt == 2.0


@pytest.mark.parametrize("name", PLACES)
def test_no_size_is_too_small_and_no_device_is_needed(name: str) -> None:
    kind = kind_of(name)
    cell = kind(1, 1, dtype=torch.float64)
    y, _ = cell(torch.ones(2, 1, dtype=torch.float64), cell.initial_state(2))
    assert y.shape == (2, 1) and bool(y.isfinite().all())
    meta = kind(3, 4, device="meta")
    assert all(tensor.is_meta for tensor in meta.state_dict().values())
    assert meta(torch.ones(2, 3, device="meta"), meta.initial_state(2))[0].shape == (2, 4)
    assert repr(kind(3, 4)).startswith(f"{name}(\n  3, 4" if list(cell.children()) else f"{name}(3, 4")


def test_a_learned_rate_is_below_one() -> None:
    with pytest.raises(UsageError, match="LeakyRNN with learn_rate: rate is 1.0. Needed: a positive number of at most"):
        kind_of("LeakyRNN")(3, 4, rate=1.0, learn_rate=True)


def test_means_are_one_for_each_feature() -> None:
    with pytest.raises(ShapeError) as caught:
        kind_of("GRUD")(3, 4, mean=[1.0, 2.0])
    assert str(caught.value) == "GRUD: mean has shape (2,). Needed: (3,), one mean for each feature."
