"""Killed and resumed equals never killed, to the bit; and what may change on the way."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from toy import ToyProblem, train, weights

from recurra.errors import FolderError, UsageError
from recurra.train.checkpoint import load_state, save_state
from recurra.train.run_folder import RunFolder

HERE = Path(__file__).parent


class Killed(BaseException):
    """Stands in for a kill inside one process: nothing in the library catches it."""


def stop_at(number: int) -> Any:
    def listen(event: str, facts: dict[str, Any]) -> None:
        if event == "step" and facts["step"] == number:
            raise Killed

    return listen


def same_rows(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in a] == [
        {k: v for k, v in row.items() if k != "seconds"} for row in b
    ]


@pytest.mark.parametrize("keep_every", [0.0, 1000.0])
@pytest.mark.parametrize("step", [1, 8, 13, 23])
def test_stopped_anywhere_and_resumed(step: int, keep_every: float, tmp_path: Path) -> None:
    whole, never, _ = train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "run", listen=stop_at(step), keep_every=keep_every)
    history, problem, events = train(tmp_path / "run", resume=True, keep_every=keep_every)
    assert weights(problem) == weights(never)
    assert same_rows(history.rows, whole.rows)
    redone = [facts["step"] for event, facts in events if event == "step"]
    saved = (step - 1 if keep_every == 0 else step - step % 8) if step > 1 else 0
    assert redone == list(range((saved if step % 8 or keep_every == 0 else step - 8) + 1, 25))
    a, b = RunFolder.open(tmp_path / "run"), RunFolder.open(tmp_path / "whole")
    assert same_rows(a.metrics(), b.metrics())
    assert [e["step"] for e in a.events() if e["event"] == "evaluation"] == [8, 16, 24]


@pytest.mark.slow
def test_killed_with_kill_9_again_and_again(tmp_path: Path) -> None:
    """The process is killed at random moments, while saving too (a state is saved at every step), until it ends."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, never, _ = train(tmp_path / "whole", epochs=4)
    command = [sys.executable, str(HERE / "toy.py"), str(tmp_path / "run"), "epochs=4", "keep_every=0", "delay=0.06"]
    chance = random.Random(3)
    kills, resume, steps = 0, "resume=false", [0]
    log = tmp_path / "run" / "state" / "last.safetensors"
    while True:
        process = subprocess.Popen(
            [*command, resume], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        resume = "resume=true"
        before = log.stat().st_mtime_ns if log.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.stat().st_mtime_ns != before:
                break
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.4))
        if process.poll() is None and kills < 4:
            process.send_signal(signal.SIGKILL)
            kills += 1
            process.communicate()
            steps.append(load_state(log)[1]["progress"]["step"])
            continue
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.split() == ["epochs", "32"]
        break
    assert kills == 4 and steps[1:] == sorted(set(steps[1:])), "each time it went on from where it was"
    assert steps[-1] < 32
    tensors, facts = load_state(log)
    expected, other = load_state(tmp_path / "whole" / "state" / "last.safetensors")
    assert {n: t.numpy().tobytes() for n, t in tensors.items()} == {n: t.numpy().tobytes() for n, t in expected.items()}
    assert same_rows(facts["progress"]["rows"], other["progress"]["rows"])
    a, b = (RunFolder.open(tmp_path / name) for name in ("run", "whole"))
    assert same_rows(a.metrics(), b.metrics())
    best = [load_state(folder.state / "best.safetensors") for folder in (a, b)]
    assert best[0][1] == best[1][1]
    assert not [p for p in a.path.rglob("*") if p.name.endswith(".writing") and p.stat().st_size == 0]


def test_resuming_an_ended_run_changes_nothing(tmp_path: Path) -> None:
    history, problem, _ = train(tmp_path / "run")
    again, other, events = train(tmp_path / "run", resume=True)
    assert weights(other) == weights(problem)
    assert (again.rows, again.stopped, again.best_loss) == (history.rows, "epochs", history.best_loss)
    assert not [1 for event, _ in events if event == "step"]
    assert any("had ended already (epochs)" in facts["text"] for event, facts in events if event == "note")


def test_more_epochs_open_an_ended_run_again(tmp_path: Path) -> None:
    train(tmp_path / "run", epochs=3)
    history, _, _ = train(tmp_path / "run", resume=True, epochs=6)
    assert [row["epoch"] for row in history.rows] == [1, 2, 3, 4, 5, 6]
    assert history.rows[-1]["learning_rate"] < 1e-3 < history.rows[3]["learning_rate"]


def test_fewer_epochs_than_are_done_end_it(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path / "run", epochs=10, listen=stop_at(30))
    history, _, _ = train(tmp_path / "run", resume=True, epochs=2)
    assert (history.stopped, history.steps) == ("epochs", 24)


def test_settings_may_not_change_on_the_way(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path / "run", listen=stop_at(12))
    with pytest.raises(UsageError) as caught:
        train(tmp_path / "run", resume=True, clip=0.5)
    text = str(caught.value)
    assert "train.clip is 0.5, and was 1.0 when the run began" in text
    assert "epochs, time_limit and keep_every may change" in text and "leave train.clip out" in text
    train(tmp_path / "run", resume=True, keep_every=0.0)


def test_the_found_learning_rate_is_kept(tmp_path: Path) -> None:
    whole, never, events = train(tmp_path / "whole", find_learning_rate=True)
    with pytest.raises(Killed):
        train(tmp_path / "run", listen=stop_at(12), find_learning_rate=True)
    _, problem, later = train(tmp_path / "run", resume=True, find_learning_rate=True)
    assert weights(problem) == weights(never)
    assert [e for e, _ in events].count("learning_rate_finder") == 1
    assert not [e for e, _ in later if e == "learning_rate_finder"]


def test_a_full_disk_while_saving_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run" / "state" / "last.safetensors"
    kept: list[bytes] = []
    sync = os.fsync

    def listen(event: str, facts: dict[str, Any]) -> None:
        if event == "step" and facts["step"] == 10:
            kept.append(path.read_bytes())

            def full(handle: int) -> None:
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(FolderError) as caught:
        train(tmp_path / "run", listen=listen, keep_every=0.0)
    assert "last.safetensors: the disk is full" in str(caught.value)
    assert "free some space, then continue with --resume" in str(caught.value)
    assert path.read_bytes() == kept[0]
    assert sorted(p.name for p in path.parent.iterdir()) == ["best.safetensors", "last.safetensors"]
    monkeypatch.setattr(os, "fsync", sync)
    assert weights(train(tmp_path / "run", resume=True, keep_every=0.0)[1]) == weights(train()[1])


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.EACCES, "no permission to write"), (errno.EROFS, "no permission"), (errno.EIO, "could not be written")],
)
def test_other_troubles_while_saving(code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    path = tmp_path / "last.safetensors"
    save_state(path, weights_of_toy(), {"n": 1})
    before, opened = path.read_bytes(), builtins.open

    def refusing(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if "w" in mode:
            raise OSError(code, os.strerror(code))
        return opened(file, mode, *rest, **more)

    monkeypatch.setattr(builtins, "open", refusing)
    with pytest.raises(FolderError, match=words):
        save_state(path, weights_of_toy(), {"n": 2})
    monkeypatch.setattr(builtins, "open", opened)
    assert path.read_bytes() == before
    assert load_state(path)[1]["n"] == 1


def weights_of_toy() -> dict[str, Any]:
    return dict(ToyProblem().learner.state_dict())


def test_damaged_and_foreign_states(tmp_path: Path) -> None:
    train(tmp_path / "run", epochs=1)
    path = tmp_path / "run" / "state" / "last.safetensors"
    whole = path.read_bytes()

    def refused(content: bytes | None = None) -> str:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(FolderError) as caught:
            train(tmp_path / "run", resume=True, epochs=2)
        assert str(path) in str(caught.value) and caught.value.need and caught.value.cure
        return str(caught.value)

    assert "damaged or no safetensors file" in refused(whole[: len(whole) // 2])
    assert "damaged or no safetensors file" in refused(whole[:5])
    assert "damaged or no safetensors file" in refused(b"")
    assert "damaged or no safetensors file" in refused(b"\x80\x04pickle" * 100)
    save_file(weights_of_toy(), path)
    assert "no saved state of a training" in refused()
    save_state(path, weights_of_toy(), {"format": 99})
    assert "saved by a newer version (format 99)" in refused()
    path.write_bytes(whole)
    tensors, facts = load_state(path)
    save_state(path, tensors, {**facts, "progress": {"epoch": 1}})
    assert "does not say how far training came" in refused()
    save_state(path, tensors, {**facts, "settings": ["seed"]})
    assert "with which settings it was made" in refused()
    save_state(path, {n: t for n, t in tensors.items()} | {"moments/odd/step": tensors["moments/bias/step"]}, facts)
    assert "the optimiser's memory is of another network ('odd')" in refused()
    save_state(path, {n: t for n, t in tensors.items() if n != "weights/bias"}, facts)
    assert "of another network: weights/bias is (6,) in the network" in refused()
    path.write_bytes(whole)
    with pytest.raises(FolderError, match=r"weights/bias is \(6,\) in the state and \(7,\) in the network"):
        train(tmp_path / "run", resume=True, problem=ToyProblem(hidden=7))


def test_resume_where_nothing_was_saved_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path / "run", listen=stop_at(3))
    assert not (tmp_path / "run" / "state" / "last.safetensors").exists()
    _, problem, events = train(tmp_path / "run", resume=True)
    assert any("nothing had been saved yet" in facts["text"] for event, facts in events if event == "note")
    assert weights(problem) == weights(train()[1])
