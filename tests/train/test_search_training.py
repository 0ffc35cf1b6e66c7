"""Training a problem by a search: stopped anywhere and resumed it is as if it never was; bounds and messages."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import SETTINGS, ToyProblem, weights

from recurra.errors import TrainingError, UsageError
from recurra.learn.search import RandomGuess
from recurra.train.loop import fit
from recurra.train.run_folder import RunFolder


class Killed(BaseException):
    """Stands in for a kill inside one process: nothing in the library catches it."""


def search(folder: Path | None, rule: str, *, resume: bool = False, stop_at: int = 0, epochs: int = 3, **changes: Any):
    problem = ToyProblem(batch_size=8)
    events: list[tuple[str, dict[str, Any]]] = []

    def listen(event: str, facts: dict[str, Any]) -> None:
        events.append((event, facts))
        if event == "step" and facts["step"] == stop_at:
            raise Killed

    run = None
    if folder is not None:
        run = RunFolder.open(folder) if resume else RunFolder.create(folder)
    history = fit(
        problem,
        dataclasses.replace(SETTINGS, rule=rule, **changes),
        run=run,
        resume=resume,
        planned_epochs=epochs,
        learning_rate=0.1,
        patience=changes.get("patience") or 100,
        on_event=listen,
    )
    return history, problem, events


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("rule", ["ga(population=6)", "cmaes(population=6)", "openai-es(population=6)"])
@pytest.mark.parametrize(("step", "keep_every"), [(3, 0.0), (4, 0.0), (7, 0.0), (7, 1000.0)])
def test_stopped_anywhere_and_resumed(rule: str, step: int, keep_every: float, tmp_path: Path) -> None:
    if rule.startswith("cmaes"):
        pytest.importorskip("cma")
    whole, never, _ = search(tmp_path / "whole", rule)
    with pytest.raises(Killed):
        search(tmp_path / "run", rule, stop_at=step, keep_every=keep_every)
    history, problem, _ = search(tmp_path / "run", rule, resume=True, keep_every=keep_every)
    assert plain(history.rows) == plain(whole.rows) and len(history.rows) == 3
    assert weights(problem) == weights(never)


def test_the_best_weights_are_left_and_guessing_is_told() -> None:
    history, problem, events = search(None, "cosyne(population=8)")
    assert history.best_loss == min(row["valid_loss"] for row in history.rows)
    with torch.no_grad():
        found = problem.validate(problem.learner)["loss"]
    assert found == pytest.approx(history.best_loss, rel=1e-6)
    assert [row["evaluations"] for row in history.rows] == [32, 64, 96]
    guesses = [row["guess_loss"] for row in history.rows]
    assert guesses == sorted(guesses, reverse=True)
    steps = [facts for event, facts in events if event == "step"]
    assert [facts["generation"] for facts in steps] == list(range(1, 13))
    assert all(facts["loss"] <= facts["mean_loss"] for facts in steps)
    texts = [facts["text"] for event, facts in events if event == "note"]
    assert any("cosyne searches" in text and "guessed at random" in text for text in texts)


def test_a_generation_is_judged_on_one_batch() -> None:
    """The first generation's losses, written out one network at a time."""
    _, _, events = search(None, "random(population=5)", epochs=1)
    problem = ToyProblem(batch_size=8)
    learner = problem.learner.eval()
    flat = torch.cat([w.detach().reshape(-1) for w in learner.parameters()])
    rows = RandomGuess(len(flat), 5, 0.1, start=flat, seed=0).ask()
    batch = problem.batch(problem.plans(0)[0])
    losses = []
    for row in rows:
        torch.nn.utils.vector_to_parameters(row.float(), learner.parameters())
        losses.append(float(learner(batch, 0, batch.steps, None)[0].detach()))
    first = next(facts for event, facts in events if event == "step")
    assert first["loss"] == pytest.approx(min(losses), rel=1e-5)
    assert first["mean_loss"] == pytest.approx(sum(losses) / 5, rel=1e-5)


def test_bounds() -> None:
    history, _, _ = search(None, "ga(population=4)", epochs=50, time_limit=0.0)
    assert history.stopped == "time limit" and len(history.rows) == 1
    history, _, _ = search(None, "random(population=4, spread=1e-30)", epochs=50, patience=2)
    assert history.stopped == "patience" and len(history.rows) == 3


def test_numbers_that_are_never_finite_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyProblem, "validate", lambda self, learner: {"loss": math.nan})
    with pytest.raises(TrainingError, match="never a finite number"):
        search(None, "ga(population=4)", epochs=1)


def test_another_search_may_not_go_on(tmp_path: Path) -> None:
    search(tmp_path / "run", "ga(population=4)", epochs=1)
    with pytest.raises(UsageError, match="train.rule is"):
        search(tmp_path / "run", "cosyne(population=4)", resume=True)
    history, _, events = search(tmp_path / "run", "ga(population=4)", resume=True, epochs=1)
    assert history.stopped == "epochs" and len(history.rows) == 1
    assert any("nothing is left to search" in facts.get("text", "") for _, facts in events)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without torchrun"):
        search(None, "ga(population=4)")
