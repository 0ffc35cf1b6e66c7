"""The loop: learning, reproducibility, early stopping, the guard, interruption."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import SETTINGS, ToyProblem, train, weights

from recurra.errors import DataError, TrainingError, UsageError
from recurra.learn.rules.tbptt import TBPTT
from recurra.train.checkpoint import load_state
from recurra.train.loop import fit
from recurra.train.run_folder import RunFolder

HERE = Path(__file__).parent


def test_it_learns_and_keeps_the_best_weights(tmp_path: Path) -> None:
    history, problem, events = train(tmp_path / "run", epochs=12)
    assert history.stopped == "epochs"
    assert history.steps == 12 * 8
    assert len(history.rows) == 12
    assert history.rows[-1]["valid_loss"] < 0.3 * history.rows[0]["valid_loss"]
    assert history.best_loss == min(row["valid_loss"] for row in history.rows)
    assert history.best_epoch == 1 + [row["valid_loss"] for row in history.rows].index(history.best_loss)
    assert not problem.learner.training
    with torch.no_grad():
        assert problem.validate(problem.learner)["loss"] == history.best_loss
    assert [event for event, _ in events].count("step") == 96


def test_rows_and_files(tmp_path: Path) -> None:
    history, _, events = train(tmp_path / "run", epochs=13)
    columns = "step epoch train_loss valid_loss valid_rows learning_rate gradient_norm clipped seconds".split()
    assert all(list(row) == columns for row in history.rows)
    assert [facts for event, facts in events if event == "evaluation"] == history.rows
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["valid_loss"]) for row in rows] == [row["valid_loss"] for row in history.rows]
    logged = RunFolder.open(tmp_path / "run").events()
    assert [e["step"] for e in logged if e["event"] == "step"] == [50, 100]
    step = next(e for e in logged if e["event"] == "step")
    assert {"step", "loss", "gradient_norm", "learning_rate"} <= set(step)
    assert [e["epoch"] for e in logged if e["event"] == "evaluation"] == list(range(1, 14))
    assert "training on cpu" in next(e["text"] for e in logged if e["event"] == "device")
    best, facts = load_state(tmp_path / "run" / "state" / "best.safetensors")
    assert facts["epoch"] == history.best_epoch and facts["loss"] == history.best_loss


def test_same_seed_same_bits_in_this_process_and_another(tmp_path: Path) -> None:
    first = weights(train(epochs=2)[1])
    torch.manual_seed(99)
    assert weights(train(epochs=2)[1]) == first
    code = "import hashlib; from toy import *; w = repr(weights(train(epochs=2)[1]))"
    code += "; print(hashlib.sha256(w.encode()).hexdigest())"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(repr(first).encode()).hexdigest()


def test_another_seed_gives_other_numbers() -> None:
    assert weights(train(epochs=1, seed=1)[1]) != weights(train(epochs=1, seed=0)[1])


def test_the_callers_random_numbers_are_left_alone() -> None:
    problem = ToyProblem()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(epochs=1, problem=problem)
    assert torch.equal(torch.rand(3), expected)


def test_nothing_is_written_without_a_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_patience() -> None:
    problem = ToyProblem()
    losses = iter([1.0, 0.5, 0.7, float("nan"), 0.6, 0.1])
    problem.validate = lambda learner: {"loss": next(losses)}  # type: ignore[method-assign]
    history, _, events = train(problem=problem, epochs=50, patience=3)
    assert history.stopped == "patience"
    assert (history.best_epoch, history.best_loss, len(history.rows)) == (2, 0.5, 5)
    assert any("validation loss of epoch 4 is nan" in facts["text"] for event, facts in events if event == "note")


def test_a_validation_that_is_never_finite() -> None:
    problem = ToyProblem()
    problem.validate = lambda learner: {"loss": float("nan")}  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="the validation loss was never a finite number"):
        train(problem=problem, epochs=2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_guard_names_step_weights_and_place(value: float, tmp_path: Path) -> None:
    problem = ToyProblem()
    problem.poison = (17, value)
    before: dict[str, Any] = {}
    with pytest.raises(TrainingError) as caught:
        train(tmp_path / "run", problem=problem, listen=lambda e, f: before.update(f) if e == "step" else None)
    text = str(caught.value)
    plans = problem.plans(0)
    step = 1 + next(number for number, plan in enumerate(plans) if 17 in plan)
    assert f"at step {step} of epoch 1" in text
    assert "toy table, sequence 17, step 3, column x1" in text
    assert "weight_in" in text and "Cure:" in text and "learning_rate" in text
    assert f"is kept in {tmp_path / 'run' / 'state'}" in text
    tensors, facts = load_state(tmp_path / "run" / "state" / "last.safetensors")
    assert facts["progress"]["step"] == step - 1 == before.get("step", 0)
    assert all(bool(torch.isfinite(t).all()) for t in tensors.values())


def test_after_the_guard_the_run_goes_on_with_corrected_data(tmp_path: Path) -> None:
    problem = ToyProblem()
    problem.poison = (17, float("nan"))
    with pytest.raises(TrainingError):
        train(tmp_path / "run", problem=problem)
    _, resumed, _ = train(tmp_path / "run", resume=True)
    assert weights(resumed) == weights(train()[1])


def test_a_gradient_that_overflows_is_caught() -> None:
    problem = ToyProblem()
    problem.learner.bias.register_hook(lambda gradient: torch.full_like(gradient, 1e30))
    with pytest.raises(TrainingError, match=r"the gradient's norm is inf at step 1 of epoch 1"):
        train(problem=problem)


def test_clipping_is_on_and_counted() -> None:
    problem = ToyProblem()
    problem.y = problem.y * 100
    history, _, _ = train(problem=problem, epochs=1)
    assert history.rows[0]["clipped"] == 1.0
    assert history.rows[0]["gradient_norm"] > 1.0
    assert train(problem=ToyProblem(), epochs=1, clip=0.0)[0].rows[0]["clipped"] == 0.0


def test_the_evaluated_weights_are_the_average() -> None:
    raw, averaged = train(epochs=3, averaging=0.0)[1], train(epochs=3, averaging=0.99)[1]
    assert weights(raw) != weights(averaged)


def test_a_truncated_rule_trains() -> None:
    exact, _, _ = train(epochs=8)
    truncated, _, _ = train(rule=TBPTT(2, 4), epochs=8)
    assert truncated.rows[-1]["valid_loss"] < 0.5 * truncated.rows[0]["valid_loss"]
    assert truncated.rows != exact.rows


def test_the_rule_of_the_settings_is_used() -> None:
    def run(rule: str) -> dict[str, bytes]:
        problem = ToyProblem(dropout=0.0)
        settings = dataclasses.replace(SETTINGS, rule=rule)
        fit(problem, settings, planned_epochs=1, learning_rate=0.01, patience=5)
        return weights(problem)

    assert run("tbptt(8)") == run("bptt") != run("tbptt(2)")


def test_a_rule_that_cannot_serve_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"tbptt cannot train this network.*both directions; use the rule bptt instead"
    ):
        train(problem=ToyProblem(streamed=False), rule=TBPTT(2))


def test_bad_uses() -> None:
    problem = ToyProblem()
    problem.plans = lambda epoch: []  # type: ignore[method-assign]
    with pytest.raises(DataError, match="no batches to train on"):
        train(problem=problem)
    problem = ToyProblem()
    problem.learner.requires_grad_(False)
    with pytest.raises(UsageError, match="no trainable weights"):
        train(problem=problem)
    with pytest.raises(UsageError, match="no run folder to resume from"):
        fit(ToyProblem(), SETTINGS, planned_epochs=1, learning_rate=0.1, patience=1, resume=True)


def press_at(step: int) -> Any:
    def listen(event: str, facts: dict[str, Any]) -> None:
        if event == "step" and facts["step"] == step:
            os.kill(os.getpid(), signal.SIGINT)

    return listen


def test_one_ctrl_c_finishes_the_step_saves_and_returns(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    history, problem, events = train(tmp_path / "run", listen=press_at(13))
    assert (history.stopped, history.steps, len(history.rows)) == ("interrupted", 13, 1)
    assert signal.getsignal(signal.SIGINT) is handler
    assert any("interrupted after step 13; the state is saved" in f["text"] for e, f in events if e == "note")
    with torch.no_grad():
        assert problem.validate(problem.learner)["loss"] == history.best_loss
    resumed, again, _ = train(tmp_path / "run", resume=True)
    whole, never, _ = train()
    assert weights(again) == weights(never)
    assert [r["valid_loss"] for r in resumed.rows] == [r["valid_loss"] for r in whole.rows]


def test_ctrl_c_before_the_first_evaluation_still_leaves_something_to_report(tmp_path: Path) -> None:
    history, problem, _ = train(tmp_path / "run", listen=press_at(3))
    assert (history.stopped, history.rows, history.best_epoch) == ("interrupted", [], 1)
    with torch.no_grad():
        assert problem.validate(problem.learner)["loss"] == history.best_loss
    assert weights(train(tmp_path / "run", resume=True)[1]) == weights(train()[1])


def test_ctrl_c_twice_stops_at_once(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)

    def listen(event: str, facts: dict[str, Any]) -> None:
        if event == "step" and facts["step"] == 5:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", listen=listen)
    assert signal.getsignal(signal.SIGINT) is handler


def test_it_trains_outside_the_main_thread() -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(train(epochs=1)[0].stopped))
    thread.start()
    thread.join()
    assert found == ["epochs"]
