"""The benchmark of the cells: contenders compute the same, wrong numbers end the run, and verdicts are right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent
GATED = ("lstm", "gru", "peephole_lstm", "mgu", "janet", "lem", "multiplicative_lstm")


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def problem_of(cell: str, with_lengths: bool = False) -> tuple[Any, dict[str, torch.Tensor]]:
    from _cells_cases import QUICK_SHAPES, make_problem, random_lengths, reference

    problem = make_problem(cell, QUICK_SHAPES[0])
    if with_lengths:
        problem.lengths = random_lengths(problem.shape)
    return problem, reference(problem)


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_torch_nn_gives_the_same_numbers(cell: str) -> None:
    from _cells_cases import check
    from _peers_torch import ours, plain_loop, torch_nn

    problem, wanted = problem_of(cell)
    assert set(wanted) == {"y", "x", "weight_ih", "weight_hh", "bias_ih", "bias_hh"}
    for make in (ours, plain_loop, torch_nn):
        off = check(make(problem), wanted)
        assert off is not None and 0 < off < 1e-5


def test_packed_sequences_give_the_same_numbers() -> None:
    from _cells_cases import check
    from _peers_torch import ours, packed

    problem, wanted = problem_of("lstm", with_lengths=True)
    assert (wanted["y"][int(problem.lengths[-1]) :, -1] == 0).all()
    for make in (ours, packed):
        off = check(make(problem), wanted)
        assert off is not None and off < 1e-5


@pytest.mark.parametrize("cell", ["peephole_lstm", "mgu", "janet", "indrnn", "multiplicative_lstm"])
def test_torchrecurrent_gives_the_same_numbers(cell: str) -> None:
    pytest.importorskip("torchrecurrent")
    from _cells_cases import check
    from _peers_torchrecurrent import torchrecurrent_layer

    problem, wanted = problem_of(cell)
    off = check(torchrecurrent_layer(problem), wanted)  # type: ignore[arg-type]
    assert off is not None and off < 1e-5


def test_lem_of_torchrecurrent_has_other_equations() -> None:
    """Were they the same, the numbers would have to be compared."""
    pytest.importorskip("torchrecurrent")
    from _cells_cases import check, largest_difference
    from _peers_torchrecurrent import torchrecurrent_layer

    problem, wanted = problem_of("lem")
    peer: Any = torchrecurrent_layer(problem)
    assert check(peer, wanted) is None
    assert largest_difference({"y": peer.forward()}, wanted)[0] > 100


@pytest.mark.slow
@pytest.mark.parametrize("cell", [*GATED, "elman", "indrnn"])
def test_jax_gives_the_same_numbers(cell: str) -> None:
    pytest.importorskip("jax")
    from _cells_cases import check
    from _peers_jax import jax_scan

    problem, wanted = problem_of(cell)
    off = check(jax_scan(problem), wanted)  # type: ignore[arg-type]
    assert off is not None and off < 1e-5


@pytest.mark.parametrize("wrong", ["weight_hh", "x", "y", "nan", "forward", "missing"])
def test_wrong_numbers_end_the_run(wrong: str) -> None:
    from _cells_cases import check
    from _peers_torch import plain_loop

    problem, wanted = problem_of("gru")
    contender = plain_loop(problem)
    read, output = contender.read, contender.forward_output

    def spoiled(found: Any) -> dict[str, torch.Tensor]:
        values = {name: value.clone() for name, value in read(found).items()}
        if wrong in values:
            values[wrong].view(-1)[3] += 2e-4 * values[wrong].abs().max()
        if wrong == "nan":
            values["bias_ih"].view(-1)[0] = float("nan")
        if wrong == "missing":
            del values["bias_hh"]
        return values

    contender.read = spoiled
    if wrong == "forward":
        contender.forward_output = lambda y: output(y) * 1.001
    where = {"nan": "is off in bias_ih: nan", "forward": "forward alone 0.001", "missing": "gives no bias_hh"}
    with pytest.raises(SystemExit, match=where.get(wrong, f"loop is off in {wrong}: 0.0002")):
        check(contender, wanted)


def test_the_arithmetic_of_a_training_step() -> None:
    from _cells_cases import SHAPES, make_problem

    # Three products of as many operations: 2 (64 + 128) weights for each of 4, 3 and 1 times 128 units, 3200 times.
    for cell, gates in (("lstm", 4), ("gru", 3), ("elman", 1)):
        assert make_problem(cell, SHAPES[1]).arithmetic == 3 * 2 * (64 + 128) * gates * 128 * 3200
    # The recurrent weights of IndRNN are no matrix; LEM's fourth recurrent product has a weight of its own.
    assert make_problem("indrnn", SHAPES[1]).arithmetic == 3 * 2 * 64 * 128 * 3200
    assert make_problem("lem", SHAPES[1]).arithmetic == make_problem("lstm", SHAPES[1]).arithmetic


def test_lengths_leave_some_padding() -> None:
    from _cells_cases import SHAPES, random_lengths

    for shape in SHAPES:
        lengths = random_lengths(shape)
        assert len(lengths) == shape.batch and (lengths.diff() <= 0).all() and lengths[-1] >= 1
        assert shape.time - 1 <= lengths[0] <= shape.time and lengths.sum() < shape.time * shape.batch


def test_contenders_take_turns() -> None:
    from _cells_timing import take_turns

    made: list[str] = []

    def call(name: str, seconds: float) -> Any:
        return lambda: (made.append(name), time.sleep(seconds))

    found = take_turns({"ours": call("ours", 0.006), "slow": call("slow", 0.02)}, repeats=6, seconds=0.1)
    assert 6 <= found["ours"] < found["slow"] and found["slow"] >= 20
    # Two calls each before the turns; then the slow one has five turns and leaves, having spent its share.
    assert made[:4] == ["ours", "ours", "slow", "slow"] and made.count("slow") == 7
    assert made[4:10] == ["ours", "slow", "slow", "ours", "ours", "slow"]


def test_no_product_is_quicker_than_the_peak() -> None:
    from _cells_timing import multiply_add_peak

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        peak, what = multiply_add_peak(0.1)
        a, b = torch.randn(256, 256), torch.randn(256, 256)
        times = []
        for _ in range(50):
            started = time.perf_counter()
            torch.mm(a, b)
            times.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    assert "chains of" in what
    assert 0.2 * peak < 2 * 256**3 / min(times) < 1.1 * peak


def row(cell: str, peer: str, ratio: float, shape: tuple[int, ...], work: str = "training", **more: Any) -> dict:
    from _cells_targets import plain_row

    return plain_row(f"{cell} {work}", shape, peer, 1.0, ratio, ratio, cell=cell, work=work, threads=1, **more)


def test_verdicts() -> None:
    from _cells_targets import judge

    first, second = (100, 32, 64, 128), (1000, 1, 64, 64)
    rows = [
        row("lstm", "torch.nn", 2.0, first, peak_share=0.7),
        row("lstm", "torch.nn", 1.0, second, peak_share=0.1),
        row("gru", "torch.nn", 50.0, first),
        row("gru", "torch.nn", 2.4, second),
        row("lstm", "jax", 9.0, first),
        row("mgu", "jax", 1.5, first),
        row("elman", "jax", 0.1, first),
        row("lstm", "torch.nn", 0.9, first, work="forward"),
        row("lstm", "torch.nn", 1.3, second, work="forward"),
    ]
    lines, found = judge(rows, 1, claims=True)
    reached = {each["case"].removeprefix("target: "): each for each in found}
    lstm = reached["LSTM against torch.nn.LSTM (oneDNN)"]
    assert lstm["ratio"] == pytest.approx(2**0.5) and lstm["least"] == 1.0 and lstm["holds"] is True
    gru = reached["GRU against torch.nn.GRU"]
    assert gru["ratio"] == pytest.approx(120**0.5) and gru["holds"] is False
    # The mean is the slowest cell's, and Elman is not gated.
    gated = reached["gated cells against JAX lax.scan"]
    assert gated["ratio"] == pytest.approx(1.5) and gated["least"] == 1.5 and gated["holds"] is False
    # One shape may fall below, and is shown all the same.
    forward = reached["LSTM forward against torch.nn.LSTM"]
    assert forward["least"] == 0.9 and forward["holds"] is True
    share = reached["gated cells, hidden >= 128, batch >= 32: share of peak"]
    assert share["least"] == 0.7 and share["holds"] is None, "one gated cell does not speak for the others"
    text = "\n".join(lines)
    assert "geometric means: lstm 9.00, mgu 1.50" in text and "gru (1000, 1, 64, 64): not met" in text
    assert "Elman against torch.nn.RNN" in text and "not measured" in text
    rows += [row(cell, "jax", 3.0, first, peak_share=0.8) for cell in GATED if cell != "mgu"]
    rows[5]["ratio"] = 2.5
    found = judge(rows, 1, claims=True)[1]
    reached = {each["case"].removeprefix("target: "): each for each in found}
    assert reached["gated cells against JAX lax.scan"]["holds"] is True
    rows[5]["peak_share"] = 0.64
    found = judge(rows, 1, claims=True)[1]
    assert found[-1]["least"] == 0.64 and found[-1]["holds"] is False
    _, found = judge(rows, 1, claims=False)
    assert found and all(each["holds"] is None for each in found)


@pytest.mark.slow
def test_a_quick_run_writes_rows_and_claims_nothing(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    flags = "--quick --cells lstm --shapes 0 --peers torch.nn,loop --parts ratios,lengths,growth --json"
    command = [sys.executable, ROOT / "benchmarks" / "cells.py", *flags.split(), rows]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, "COLUMNS": "100"})
    assert done.returncode == 0, done.stderr
    found = json.loads(rows.read_text())
    assert all({"case", "shape", "ours_ms", "peer", "peer_ms", "ratio"} <= set(each) for each in found)
    ratios = [each for each in found if each["peer"] in ("torch.nn", "loop") and each["ratio"] and each["shape"]]
    # Two peers, each for training and forward.
    assert len(ratios) == 4
    assert all(each["ratio"] == pytest.approx(each["peer_ms"] / each["ours_ms"]) for each in ratios)
    assert sum(each["case"] == "lstm training with lengths, 1 thread" for each in found) == 2
    assert sum("growth with" in each["case"] for each in found) == 3
    assert all(each.get("holds") is None for each in found)
    assert "which claims nothing" in done.stdout and "LSTM against torch.nn.LSTM" in done.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--parts", "speed"], "--parts names 'speed'; it takes ratios, lengths, scaling, growth, memory, million"),
        (["--threads", "0"], "--threads is '0'; a number from 1 to"),
        (["--repeats", "0"], "--repeats is 0; at least 1 is needed"),
    ],
)
def test_a_wrong_flag_is_named(flags: list[str], said: str) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "cells.py", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 2 and said in done.stderr
