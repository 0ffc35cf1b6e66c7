"""`recurra inspect`: each instrument on saved models, its figure and its JSON, and the messages."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recurra import SequenceClassifier
from recurra.analysis.automata.dfa import DFA
from recurra.analysis.registry import INSTRUMENTS

MODELS = Path(__file__).parent.parent / "golden" / "format_1"
ON_CELLS = [name for name, row in INSTRUMENTS.items() if row.path is not None and name != "heads"]


@pytest.mark.parametrize("what", ON_CELLS)
def test_each_instrument_on_a_forecaster(what: str, recurra: Callable, tmp_path: Path) -> None:
    figure = tmp_path / "figure.svg"
    data = MODELS / "forecast.csv"
    result = recurra("inspect", MODELS / "forecast", "--what", what, "--data", data, "-o", figure, "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)
    assert told["what"] == what and told["text"].endswith(".") and told["found"]
    assert figure.read_text(encoding="utf-8").count("<path") > 3
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]


@pytest.mark.slow
def test_the_heads_of_a_machine_and_that_other_cells_have_none(recurra: Callable, tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    sequences = [chance.normal(size=(5, 2)) for _ in range(8)]
    options = {"cell": "ntm", "epochs": 1, "hidden_size": 3, "seed": 0}
    SequenceClassifier(**options).fit(sequences, list("abababab")).save(tmp_path / "model")
    figure = tmp_path / "heads.svg"
    result = recurra("inspect", tmp_path / "model", "--what", "heads", "-o", figure, "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)
    assert told["text"].startswith("Along sequence 1: write 1: ") and "<image" in figure.read_text(encoding="utf-8")
    found = told["found"]
    assert {name: np.shape(weights) for name, weights in found["heads"].items()} == {
        "write 1": (200, 128),
        "read 1": (200, 128),
    }
    assert np.shape(found["reads"]["read 1"]) == (200, 20) and found["usage"] is None
    for weights in found["heads"].values():
        np.testing.assert_allclose(np.sum(weights, 1), 1.0, atol=1e-9)
    result = recurra("inspect", MODELS / "forecast", "--what", "heads")
    assert result.code == 2 and "the state of LSTM has no heads" in result.err and "ntm or dnc" in result.err


def test_a_classifier_with_its_table_and_with_noise(recurra: Callable) -> None:
    model = MODELS / "classify"
    with_table = recurra("inspect", model, "--what", "memory", "--data", MODELS / "classify.csv")
    assert with_table.code == 0 and with_table.out.count("\n") == 1 and "for the last output" in with_table.out
    noise = recurra("inspect", model, "--what", "memory", "--layer", "1")
    assert noise.code == 0 and noise.out.startswith("Without --data the layer reads standard normal noise")
    assert recurra("inspect", model, "--what", "memory").out == noise.out


def test_the_list_of_instruments(recurra: Callable) -> None:
    listed = recurra("inspect", MODELS / "forecast")
    assert [line.split()[0] for line in listed.out.splitlines()] == list(INSTRUMENTS)
    assert set(json.loads(recurra("inspect", "nowhere", "--json").out)["instruments"]) == set(INSTRUMENTS)


def test_messages(recurra: Callable, tmp_path: Path) -> None:
    model = MODELS / "forecast"
    for arguments, message, code in (
        (("--what", "lyapunow"), "'lyapunow' is not an instrument", 2),
        (("--what", "gates", "-o", "gates.jpg"), "the ending '.jpg' is not known", 2),
        (("--what", "gates", "-o", tmp_path / "no" / "gates.svg"), "is not there", 2),
        (("--what", "gates", "--layer", "7"), "number is 7", 2),
        (("--what", "gates", "--dot", "a.dot"), "--dot came with --what gates", 2),
        (("--what", "automaton"), "no table was given", 2),
        (("--what", "automaton", "--data", MODELS / "forecast.csv"), "the model is no classifier of sequences", 2),
    ):
        result = recurra("inspect", model, *arguments)
        assert result.code == code and message in result.err, result.err
    result = recurra("inspect", MODELS / "classify", "--what", "automaton", "--data", MODELS / "classify.csv")
    assert result.code == 2 and "different steps" in result.err
    assert recurra("inspect", tmp_path / "none", "--what", "gates").code == 1


@pytest.mark.slow
def test_the_automaton_of_a_classifier_of_symbols(recurra: Callable, tmp_path: Path) -> None:
    """Words that end with b, learned from a table and read back as an automaton of two states."""
    chance = random.Random(0)
    lines = ["id,symbol,label"]
    for number in range(300):
        word = [chance.choice("ab") for _ in range(chance.randint(1, 9))]
        lines += [f"{number},{symbol},{'yes' if word[-1] == 'b' else 'no'}" for symbol in word]
    table = tmp_path / "words.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    made = recurra(
        *("train", table, "--sequence", "id", "--label", "label", "--hidden-size", "12", "--epochs", "25"),
        *("--out", tmp_path / "run", "--quiet"),
        *("--set", "model.bidirectional=false"),
    )
    assert made.code == 0, made.err
    dot = tmp_path / "words.dot"
    result = recurra(
        *("inspect", tmp_path / "run", "--what", "automaton", "--data", table, "--dot", dot, "--json"),
        *("-o", tmp_path / "words.png"),
    )
    assert result.code == 0, result.err
    told = json.loads(result.out)["found"]
    assert len(told["symbols"]) == 2 and dot.read_text(encoding="utf-8").startswith("digraph")
    found = DFA("ab", told["transitions"], set(told["accepting"]), told["start"])
    assert told["complete"] and len(found) == 2
    assert found.accepts("aab") != found.accepts("aba") and found.accepts("b") == found.accepts("bbab")
