"""Two processes over gloo, started as torchrun does: equal weights, and those of one process with the joint batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy import ToyProblem, train

from recurra.errors import UsageError
from recurra.learn.rules.registry import make_rule
from recurra.train.distributed import Group, Processes, rank

HERE = Path(__file__).parent


class Joint(ToyProblem):
    """Batches as two processes see them together: two neighbouring plans are one."""

    def plans(self, epoch: int) -> Sequence[np.ndarray]:
        plans = super().plans(epoch)
        return [np.concatenate(plans[i : i + 2]) for i in range(0, len(plans), 2)]


def torchrun(*arguments: Any) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(HERE / "distributed_toy.py"), *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["bptt", "tbptt(2,4)"])
def test_two_processes_train_as_one(rule: str, tmp_path: Path) -> None:
    """32 sequences in batches of 5: seven batches, the last one smaller and without a partner."""
    problem = Joint(batch_size=5, dropout=0.0)
    assert [len(plan) for plan in problem.plans(0)] == [10, 10, 10, 2]
    torchrun(tmp_path, rule, "new")
    first, second = (load_file(tmp_path / f"weights-{n}.safetensors") for n in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first if name != "batches_seen")
    history, alone, _ = train(problem=problem, rule=make_rule(rule), epochs=2)
    for name, weight in alone.learner.named_parameters():
        torch.testing.assert_close(first[name], weight.detach(), rtol=1e-4, atol=1e-5)
    rows = [json.loads((tmp_path / f"rows-{n}").read_text()) for n in (0, 1)]
    assert rows[0] == rows[1] == pytest.approx([row["valid_loss"] for row in history.rows], rel=1e-4)
    assert int((tmp_path / "events-0").read_text()) > 0 == int((tmp_path / "events-1").read_text())
    assert (tmp_path / "run" / "state" / "last.safetensors").exists()
    if rule == "bptt":
        torchrun(tmp_path, rule, "resume")
        first, second = (load_file(tmp_path / f"weights-{n}.safetensors") for n in (0, 1))
        assert all(torch.equal(first[name], second[name]) for name in first if name != "batches_seen")
        assert len(json.loads((tmp_path / "rows-1").read_text())) == 4


def test_a_weight_without_a_part_in_the_loss_is_named() -> None:
    """DDP would leave its bucket unshared, and say so one step later in words of its own."""
    processes = object.__new__(Processes)
    processes._averaged = True
    learner = torch.nn.Linear(2, 1)
    learner.bias.grad = torch.zeros(1)
    with pytest.raises(UsageError, match="the weights weight take no part in the loss.*requires_grad_"):
        processes.average_gradients(learner)


def test_one_process_is_its_own_group() -> None:
    group = Group()
    assert group.shares([1, 2]) == [(1, True), (2, True)]
    assert (group.average(0.5), group.any(False), group.same({"a": 1}), rank()) == (0.5, False, {"a": 1}, 0)
