"""The loop's parts: schedule, average, optimiser, time limit, device, number format, learning-rate finder."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from toy import ToyProblem, train, weights

from recurra.errors import UsageError
from recurra.learn.rules.bptt import BPTT
from recurra.learn.rules.tbptt import TBPTT
from recurra.settings import TrainSettings
from recurra.train.averaging import Average
from recurra.train.checkpoint import load_state, save_state
from recurra.train.device import InPrecision, choose_device, choose_precision, describe_device
from recurra.train.lr_finder import find_learning_rate
from recurra.train.optimiser import clip, gradient_norm, make_optimiser, moments, put_back_moments, take_step
from recurra.train.progress import Progress
from recurra.train.schedule import Schedule
from recurra.train.time_limit import Pace

# Schedule


def test_the_schedule_rises_then_falls_to_zero() -> None:
    schedule = Schedule.over(0.1, 1000)
    assert schedule.warmup == 50
    rates = [schedule.rate(step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.1 / 50)
    assert all(a < b for a, b in zip(rates[:49], rates[1:50], strict=True))
    assert all(a > b for a, b in zip(rates[50:1000], rates[51:], strict=True))
    assert rates[500] == pytest.approx(0.05) and rates[1000] == 0.0
    assert schedule.rate(2000) == 0.0
    for step in (60, 250, 731):
        assert schedule.rate(step) == pytest.approx(0.05 * (1 + math.cos(math.pi * step / 1000)))


@pytest.mark.parametrize("total", [1, 2, 19, 20, 100_000])
def test_short_and_long_schedules(total: int) -> None:
    schedule = Schedule.over(1.0, total)
    assert 1 <= schedule.warmup <= 200
    assert 0 < schedule.rate(0) <= 1.0


def test_a_changed_plan_does_not_jump_and_still_comes_down() -> None:
    schedule = Schedule.over(0.1, 1000)
    cut = schedule.change(300, 500)
    assert cut.rate(300) == pytest.approx(schedule.rate(300))
    assert cut.rate(400) < schedule.rate(400)
    assert cut.rate(500) == pytest.approx(0.0, abs=1e-15)
    again = cut.change(450, 800)
    assert again.rate(450) == pytest.approx(cut.rate(450))
    assert again.rate(800) == pytest.approx(0.0, abs=1e-15)
    longer = schedule.change(1000, 2000)
    assert longer.rate(1000) == pytest.approx(0.05)


# Average


def test_the_average_is_the_one_of_its_definition() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(2, 1).double()
    layer.bias.requires_grad_(False)
    average = Average(layer, 0.5)
    expected = layer.weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            layer.weight += torch.randn_like(layer.weight)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * layer.weight.detach()
    torch.testing.assert_close(average.averages["weight"], expected)
    own, pointer = layer.weight.detach().clone(), layer.weight.data_ptr()
    with average.applied():
        torch.testing.assert_close(layer.weight.detach(), expected)
    assert torch.equal(layer.weight, own) and layer.weight.data_ptr() == pointer
    with pytest.raises(ZeroDivisionError), average.applied():
        raise ZeroDivisionError
    assert torch.equal(layer.weight, own)


def test_without_an_average_the_weights_are_shown() -> None:
    layer = nn.Linear(2, 1)
    average = Average(layer, 0.0)
    average.update(0)
    own = layer.weight.detach().clone()
    with average.applied():
        assert torch.equal(layer.weight, own)


# Optimiser


def test_adamw_follows_its_paper_and_spares_vectors() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2).double()
    optimiser = make_optimiser(layer, 0.0, 0.1)
    truth = {name: p.detach().clone() for name, p in layer.named_parameters()}
    m = {name: torch.zeros_like(p) for name, p in truth.items()}
    v = {name: torch.zeros_like(p) for name, p in truth.items()}
    for step in range(1, 6):
        rate = 0.01 * step
        for name, p in layer.named_parameters():
            g = torch.randn_like(p)
            p.grad = g.clone()
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g**2
            if p.ndim >= 2:
                truth[name] = truth[name] * (1 - rate * 0.1)
            truth[name] -= rate * (m[name] / (1 - 0.9**step)) / ((v[name] / (1 - 0.999**step)).sqrt() + 1e-8)
        take_step(optimiser, rate)
    for name, p in layer.named_parameters():
        torch.testing.assert_close(p.detach(), truth[name], rtol=1e-10, atol=1e-12)


def test_its_memory_comes_back() -> None:
    torch.manual_seed(0)
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    one, two = make_optimiser(a, 0.1, 0.0), make_optimiser(b, 0.1, 0.0)
    gradients = [{n: torch.randn_like(p) for n, p in a.named_parameters()} for _ in range(4)]

    def step(layer: nn.Module, optimiser: torch.optim.Optimizer, number: int) -> None:
        for name, p in layer.named_parameters():
            p.grad = gradients[number][name].clone()
        take_step(optimiser, 0.1)

    step(a, one, 0)
    step(a, one, 1)
    b.load_state_dict(a.state_dict())
    put_back_moments(two, b, moments(one, a))
    for number in (2, 3):
        step(a, one, number)
        step(b, two, number)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_clipping() -> None:
    layer = nn.Linear(1, 1)
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    norm = gradient_norm(layer)
    assert float(norm) == 5.0
    assert not clip(layer, norm, 0.0) and float(layer.bias.grad) == 4.0
    assert not clip(layer, norm, 6.0) and float(layer.bias.grad) == 4.0
    assert clip(layer, norm, 1.0)
    assert float(gradient_norm(layer)) == pytest.approx(1.0, rel=1e-5)


# Time limit


def test_the_plan_fits_the_measured_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace = Pace(100.0)
    for number in range(22):
        now[0] += 5.0 if number < 2 else 0.5
        assert pace.saw_step(5.0 if number < 2 else 0.5) == (number == 21)
    assert pace.elapsed() == 20.0
    pace.saw_evaluation(1.0)
    # (98 - 20 - 1) seconds for steps of 0.5 s and, every 10 steps, 1 s: 0.6 s a step.
    assert pace.affordable(10) == 128
    assert pace.plan(22, 1000, 1000, 10) == 150
    assert pace.plan(22, 150, 1000, 10) is None
    assert pace.plan(22, 100, 1000, 10) == 150
    assert pace.plan(22, 100, 120, 10) == 120
    assert not pace.over(10)
    now[0] = 199.5
    assert pace.over(10) and pace.affordable(10) == 0


def test_without_a_limit_nothing_is_planned() -> None:
    pace = Pace(None)
    pace.saw_step(1e9)
    pace.saw_step(1e9)
    pace.saw_step(1e9)
    assert pace.affordable(10) is None and not pace.over(10) and pace.plan(3, 10, 10, 10) is None


def test_a_time_limit_cuts_the_plan_and_the_rate_still_comes_down(tmp_path: Path) -> None:
    began = time.monotonic()
    history, _, events = train(tmp_path / "run", epochs=10_000, time_limit=2.0)
    assert time.monotonic() - began < 8.0
    assert history.stopped == "time limit" and history.seconds < 4.0  # 2.0 on a machine that does nothing else
    assert 20 < history.steps < 20_000
    peak = max(facts["learning_rate"] for event, facts in events if event == "step")
    assert history.rows[-1]["learning_rate"] < 0.5 * peak
    notes = [facts["text"] for event, facts in events if event == "note"]
    assert notes[0].startswith("training on cpu")
    assert "the time limit leaves room for about" in notes[1] and "of 80000 steps" in notes[1]
    schedule = load_state(tmp_path / "run" / "state" / "last.safetensors")[1]["progress"]["schedule"]
    assert schedule["total"] < 80_000
    ended, _, later = train(tmp_path / "run", epochs=10_000, time_limit=2.0, resume=True)
    assert ended.rows == history.rows
    longer, _, _ = train(tmp_path / "run", epochs=10_000, time_limit=3.0, resume=True)
    assert longer.stopped == "time limit" and longer.steps > history.steps and 2.0 < longer.seconds < 6.0


def test_a_limit_that_does_not_bind_changes_no_number() -> None:
    assert weights(train(epochs=4, time_limit=3600.0)[1]) == weights(train(epochs=4)[1])


def test_a_limit_within_the_first_epoch_still_evaluates() -> None:
    history, _, _ = train(problem=ToyProblem(batch_size=1, delay=0.02), epochs=50, time_limit=0.3)
    assert history.stopped == "time limit" and len(history.rows) == 1
    assert 0 < history.steps < 32 and history.best_epoch == 1


def test_a_limit_of_zero_takes_one_step() -> None:
    history, _, _ = train(epochs=5, time_limit=0.0)
    assert (history.stopped, history.steps, len(history.rows)) == ("time limit", 1, 1)


def test_the_cut_plan_is_continued(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def listen(event: str, facts: dict[str, Any]) -> None:
        if event == "step" and facts["step"] == 40:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "run", epochs=100_000, time_limit=60.0, listen=listen, keep_every=0.0)
    path = tmp_path / "run" / "state" / "last.safetensors"
    tensors, facts = load_state(path)
    assert facts["progress"]["schedule"]["total"] < 800_000
    facts["progress"]["schedule"] |= {"total": 45}  # as if it had been cut to this
    save_state(path, tensors, facts)
    history, _, _ = train(tmp_path / "run", epochs=100_000, time_limit=60.0, resume=True)
    assert (history.stopped, history.steps) == ("time limit", 45)


# Device and number format


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:3", "mps"):
        with pytest.raises(UsageError, match=f"the device '{name}' is not there.*use auto"):
            choose_device(name)
    for name in ("gpu", "cuda:x", "cpu:1", "", "mps:0"):
        with pytest.raises(UsageError, match="is not a device.*auto, cpu, cuda, cuda:N or mps"):
            choose_device(name)
    assert describe_device(torch.device("cpu")).startswith("cpu, ")


def test_devices_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("auto", local_rank=1) == choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="not there"):
        choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("mps") == torch.device("mps")


def test_the_number_format(monkeypatch: pytest.MonkeyPatch) -> None:
    single, double = nn.Linear(1, 1), nn.Linear(1, 1).double()
    cpu, cuda = torch.device("cpu"), SimpleNamespace(type="cuda")
    assert choose_precision("auto", cpu, single) is None
    assert choose_precision("bf16", cpu, single) is torch.bfloat16
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, t=there: t)
        expected = torch.bfloat16 if there else None
        assert choose_precision("auto", cuda, single) is expected  # type: ignore[arg-type]
        assert choose_precision("float32", cuda, single) is None  # type: ignore[arg-type]
        assert choose_precision("auto", cuda, double) is None  # type: ignore[arg-type]


def test_bf16_computes_products_and_keeps_weights_and_loss() -> None:
    problem = ToyProblem(dropout=0.0)
    batch = problem.batch(problem.plans(0)[0])
    plain, _ = problem.learner(batch, 0, 8, None)
    seen: list[torch.dtype] = []
    problem.learner.readout.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    loss, state = InPrecision(problem.learner, torch.device("cpu"), torch.bfloat16)(batch, 0, 4, None)
    assert loss.dtype == torch.float32 and set(seen) == {torch.bfloat16}
    rest, _ = InPrecision(problem.learner, torch.device("cpu"), torch.bfloat16)(batch, 4, 8, state)
    assert (loss + rest).item() == pytest.approx(plain.item(), rel=0.05) and (loss + rest).item() != plain.item()


@pytest.mark.parametrize("rule", ["BPTT", "TBPTT"])
def test_training_in_bf16(rule: str) -> None:
    made = BPTT() if rule == "BPTT" else TBPTT(2, 4)
    history, problem, events = train(epochs=8, precision="bf16", rule=made)
    assert history.rows[-1]["valid_loss"] < 0.5 * history.rows[0]["valid_loss"]
    assert {p.dtype for p in problem.learner.parameters()} == {torch.float32}
    assert "in bf16" in next(facts["text"] for event, facts in events if event == "device")


# Learning-rate finder


def test_the_finder_finds_a_rate_that_learns_and_leaves_the_learner() -> None:
    problem = ToyProblem()
    before = weights(problem)
    history, _, events = train(problem=problem, epochs=8, find_learning_rate=True, learning_rate=1e-9)
    facts = next(facts for event, facts in events if event == "learning_rate_finder")
    assert 1e-4 < facts["learning_rate"] < 0.2
    assert len(facts["rates"]) == len(facts["losses"]) > 10
    assert facts["rates"][0] == pytest.approx(1e-5) and facts["rates"] == sorted(facts["rates"])
    assert "a tenth of" in facts["text"] and ("note", {"text": facts["text"]}) in events
    assert history.rows[-1]["valid_loss"] < 0.5 * history.rows[0]["valid_loss"]
    first = next(facts for event, facts in events if event == "step")
    assert first["learning_rate"] <= facts["learning_rate"]
    fresh = ToyProblem()
    assert weights(fresh) == before


def test_the_finder_gives_the_learner_back_untouched() -> None:
    problem = ToyProblem()
    before = weights(problem)
    trial = (problem, problem.learner, BPTT(), TrainSettings(), torch.device("cpu"))
    facts = find_learning_rate(*trial, fallback=0.5, steps=20)
    assert weights(problem) == before
    assert all(p.grad is None for p in problem.learner.parameters())
    assert find_learning_rate(*trial, fallback=0.5, steps=20) == facts


def test_where_the_loss_never_falls_the_given_rate_stays() -> None:
    problem = ToyProblem()
    problem.y = problem.y * math.nan
    facts = find_learning_rate(problem, problem.learner, BPTT(), TrainSettings(), torch.device("cpu"), fallback=0.003)
    assert facts["learning_rate"] == 0.003 and "stays 0.003" in facts["text"]


# Progress


def test_progress_comes_back_to_the_bit(tmp_path: Path) -> None:
    progress = Progress(Schedule.over(0.1 / 3, 77).change(30, 60), 7, None, losses=[0.1 + 0.2, math.pi], norms=[1e-300])
    progress.rows = [{"valid_loss": math.nan, "train_loss": math.inf}]
    save_state(tmp_path / "s", {}, {"progress": progress.facts()})
    found = Progress.from_facts(tmp_path / "s", load_state(tmp_path / "s")[1]["progress"])
    assert repr(found) == repr(progress)
