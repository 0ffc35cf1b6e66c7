"""The help pages: quick, light, short, and the same options until somebody decides otherwise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

# The frozen surface: a change here is a change of what people have in their scripts.
OPTIONS = {
    "check": "--target --time --series --horizon --known --sequence --label --set --config --json --quiet --help",
    "train": "--target --time --series --horizon --known --sequence --label --cell --hidden-size --epochs --time-limit "
    "--seed --rule --set --config --resume --out --json --quiet --help",
    "evaluate": "--json --quiet --help",
    "backtest": "--windows --json --quiet --help",
    "predict": "--output --batch-size --quiet --help",
    "report": "--help",
    "info": "--input-size --hidden-size --json --help",
    "inspect": "--what --data --layer --out --dot --seed --json --help",
    "doctor": "--json --help",
    "demo": "--out --data-only --json --quiet --help",
}


def test_help_lists_exactly_these_verbs(recurra: Callable) -> None:
    result = recurra("--help")
    assert result.code == 0 and result.err == ""
    assert re.findall(r"^│ (\w+)  ", result.out, flags=re.MULTILINE) == list(OPTIONS)


def test_no_arguments_show_the_help(recurra: Callable) -> None:
    assert recurra() == recurra("--help")


@pytest.mark.parametrize("verb", OPTIONS)
def test_each_verb_has_these_options(verb: str, recurra: Callable) -> None:
    result = recurra(verb, "--help")
    assert result.code == 0 and result.err == ""
    found = re.findall(r"^│ (?:-\w )?\s*(--[a-z-]+)", result.out, flags=re.MULTILINE)
    assert sorted(found) == sorted(OPTIONS[verb].split())
    assert len(found) <= 20


def test_the_options_of_train_stand_in_groups(recurra: Callable) -> None:
    panels = re.findall(r"^╭─ (\w+) ─", recurra("train", "--help").out, flags=re.MULTILINE)
    assert panels == ["Arguments", "Options", "Data", "Model", "Training", "Output"]


def test_the_version_is_printed(recurra: Callable) -> None:
    import recurra as package

    assert recurra("--version") == (0, package.__version__ + "\n", "")


@pytest.mark.parametrize("arguments", ["--help", "train --help", "info tasks", "train sales.csv"])
def test_no_heavy_package_is_imported_for_help_and_messages(arguments: str) -> None:
    code = (
        "import sys; from recurra.cli.main import main; main(sys.argv[1:]); "
        "print([m for m in ('torch', 'polars', 'numpy', 'matplotlib', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments.split()], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_help_answers_in_under_half_a_second() -> None:
    # The best of several, because other work on the machine can only make it slower.
    best = float("inf")
    for _ in range(8):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "recurra", "--help"], check=True, capture_output=True)
        best = min(best, time.perf_counter() - started)
        if best < 0.4:
            break
    assert best < 0.5


def test_info_cells_counts_parameters_and_names_abilities(recurra: Callable) -> None:
    cells = json.loads(recurra("info", "cells", "--input-size", 3, "--hidden-size", 5, "--json").out)["cells"]
    found = {cell["name"]: cell for cell in cells}
    assert found["lstm"]["parameters"] == 4 * 5 * (3 + 5 + 2)
    assert found["indrnn"]["elementwise"] and not found["indrnn"]["linear"]
    lines = recurra("info", "cells", "--hidden-size", 16).out.splitlines()
    assert len(lines) == len(cells) + 1 and "parameters (8 -> 16)" in lines[0]
    assert next(line for line in lines if line.startswith("lstm ")).split()[-1] == f"{4 * 16 * (8 + 16 + 2):,}"


@pytest.mark.parametrize(
    ("what", "words"), [("cells", "lstm"), ("tasks", "Forecaster"), ("rules", "tbptt"), ("searches", "cosyne")]
)
def test_info_lists(what: str, words: str, recurra: Callable) -> None:
    result = recurra("info", what)
    assert result.code == 0 and words in result.out
    assert all(line == line.rstrip() for line in result.out.splitlines())


def test_a_misspelled_list_is_named(recurra: Callable) -> None:
    result = recurra("info", "rule")
    assert result.code == 2 and "'rule' is neither a folder nor a list" in result.err
    assert "recurra info rules" in result.err
