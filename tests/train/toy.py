"""A small problem for the training loop: a recurrent network with dropout that learns a sum of the last inputs.

Run as a script it trains in a process of its own: `python toy.py FOLDER [name=value ...]`.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from recurra.settings import TrainSettings


@dataclass(frozen=True)
class ToyBatch:
    x: Tensor  # (time, batch, features)
    y: Tensor  # (time, batch)
    rows: np.ndarray

    @property
    def steps(self) -> int:
        return self.x.shape[0]

    @property
    def size(self) -> int:
        return self.x.shape[1]

    def to(self, device: torch.device) -> ToyBatch:
        return dataclasses.replace(self, x=self.x.to(device), y=self.y.to(device))


class ToyState(NamedTuple):
    hidden: Tensor
    steps_read: Tensor


class ToyLearner(nn.Module):
    """An Elman network with a linear readout, written out; its state holds a whole-number tensor too."""

    def __init__(self, features: int = 2, hidden: int = 6, dropout: float = 0.2, streamed: bool = True):
        super().__init__()
        self.weight_in = nn.Parameter(torch.randn(hidden, features) * 0.5)
        self.weight = nn.Parameter(torch.randn(hidden, hidden) * 0.3)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.readout = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("batches_seen", torch.zeros((), dtype=torch.int64))
        self.streamed = streamed

    def forward(self, batch: ToyBatch, start: int, stop: int, state: ToyState | None) -> tuple[Tensor, ToyState]:
        if state is None:
            zeros = batch.x.new_zeros(batch.size, self.weight.shape[0])
            state = ToyState(zeros, torch.zeros(batch.size, dtype=torch.int64, device=batch.x.device))
            if self.training:
                self.batches_seen += 1
        hidden, loss = state.hidden, batch.x.new_zeros(())
        for t in range(start, stop):
            hidden = torch.tanh(batch.x[t] @ self.weight_in.T + hidden @ self.weight.T + self.bias)
            error = self.readout(self.dropout(hidden)).squeeze(-1) - batch.y[t]
            loss = loss + (error**2).sum()
        weight = batch.steps * batch.size
        return loss / max(weight, 1), ToyState(hidden, state.steps_read + (stop - start))

    def why_not_streamed(self) -> str | None:
        return None if self.streamed else "this network reads sequences in both directions"


class ToyProblem:
    """Forty sequences of eight steps, in batches of `batch_size`, shuffled each epoch by (seed, epoch)."""

    def __init__(self, seed: int = 0, batch_size: int = 4, count: int = 40, delay: float = 0.0, **learner: Any):
        torch.manual_seed(seed)
        self.learner = ToyLearner(**learner)
        noise = torch.Generator().manual_seed(1)
        self.x = torch.randn(8, count, 2, generator=noise)
        self.y = self.x[..., 0].cumsum(0) * 0.3
        self.seed, self.batch_size, self.count, self.delay = seed, batch_size, count, delay
        self.poison: tuple[int, float] | None = None  # (row, value)

    def plans(self, epoch: int) -> Sequence[np.ndarray]:
        order = np.random.default_rng((self.seed, epoch)).permutation(self.count - 8)
        return [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]

    def batch(self, plan: np.ndarray) -> ToyBatch:
        x = self.x[:, plan].clone()
        if self.poison and self.poison[0] in plan:
            x[3, list(plan).index(self.poison[0]), 1] = self.poison[1]
        if self.delay:
            time.sleep(self.delay)
        return ToyBatch(x, self.y[:, plan], plan)

    def validate(self, learner: nn.Module) -> dict[str, float]:
        batch = ToyBatch(self.x[:, -8:], self.y[:, -8:], np.arange(self.count - 8, self.count))
        batch = batch.to(next(learner.parameters()).device)
        return {"loss": float(learner(batch, 0, 8, None)[0]), "rows": 8.0}

    def locate(self, batch: ToyBatch) -> str:
        odd = (~torch.isfinite(batch.x)).nonzero().tolist()
        return (
            f"toy table, sequence {batch.rows[odd[0][1]]}, step {odd[0][0]}, column x{odd[0][2]}"
            if odd
            else "toy table"
        )


SETTINGS = TrainSettings(device="cpu", keep_every=1000.0)


def train(folder: Path | None = None, *, resume: bool = False, epochs: int = 3, problem: Any = None, **changes: Any):
    """Train the toy problem; returns (history, problem, events)."""
    from recurra.train.loop import fit
    from recurra.train.run_folder import RunFolder

    events: list[tuple[str, dict[str, Any]]] = []
    listen = changes.pop("listen", None)
    given = {name: changes.pop(name) for name in ("patience", "learning_rate", "rule") if name in changes}
    delay = changes.pop("delay", 0.0)
    problem = problem or ToyProblem(delay=delay)
    run = None
    if folder is not None:
        run = RunFolder.open(folder) if resume else RunFolder.create(folder)

    def on_event(event: str, facts: dict[str, Any]) -> None:
        events.append((event, facts))
        if listen:
            listen(event, facts)

    settings = dataclasses.replace(SETTINGS, **changes)
    history = fit(
        problem,
        settings,
        run=run,
        resume=resume,
        planned_epochs=epochs,
        on_event=on_event,
        **{"patience": 100, "learning_rate": 0.02, **given},
    )
    return history, problem, events


def weights(problem: Any) -> dict[str, bytes]:
    """The learner's weights and buffers as bytes."""
    return {name: t.numpy().tobytes() for name, t in problem.learner.state_dict().items()}


if __name__ == "__main__":
    from recurra.options import parse

    values: dict[str, Any] = {}
    for given_text in sys.argv[2:]:
        key, _, text = given_text.partition("=")
        if key in {f.name for f in dataclasses.fields(TrainSettings)} and key != "epochs":
            values[key] = parse(TrainSettings, key, text, "toy.py")
        else:
            values[key] = {"resume": lambda t: t == "true", "epochs": int, "patience": int}.get(key, float)(text)
    history, problem, _ = train(Path(sys.argv[1]), **values)
    print(history.stopped, history.steps, flush=True)
