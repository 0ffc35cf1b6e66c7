"""The parts of a made run folder that both tasks share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recurra.settings import SECTIONS
from recurra.train.run_folder import RunFolder


def length_histogram(lengths: np.ndarray) -> dict[str, Any]:
    low, high = int(lengths.min()), int(lengths.max())
    counts, edges = np.histogram(lengths, bins=min(20, high - low + 1), range=(low, high + 1))
    return {"smallest": low, "median": float(np.median(lengths)), "largest": high, "edges": edges, "counts": counts}


def begin(path: Path, task: str, command: str) -> RunFolder:
    run = RunFolder.create(path)
    settings = {name: dataclasses.asdict(section()) for name, section in SECTIONS[task].items()}
    roles = {"target": ("units",), "time": "date", "series": ("store",), "horizon": 48}
    settings["data"] |= roles if task == "forecast" else {"sequence": ("id",), "time": "t", "label": "speaker"}
    run.write_settings(task, settings, {"command": command})
    run.write_json(
        "environment.json",
        {"python": "3.11.2", "packages": {"recurra": "0.1.0", "torch": "2.13.0"}, "threads": 2, "cuda": None},
    )
    run.log("run", task=task, command=command, seed=0, resumed=False)
    run.log("device", device="cpu", precision="float32", processes=1, text="training on cpu, 2 threads of 2 cores")
    return run


def log_model(run: RunFolder, cell: str, hidden: int, parameters: int, bidirectional: bool = False) -> None:
    run.log(
        "model",
        cell=cell,
        layers=2,
        hidden_size=hidden,
        bidirectional=bidirectional,
        parameters=parameters,
        path=f"layer 1: torch's own {cell} kernel; layer 2: torch's own {cell} kernel",
    )


def log_training(run: RunFolder, steps: int, metric: str) -> None:
    random = np.random.default_rng(3)
    epochs, every = 30, max(1, steps // 30)
    rates = [10 ** (-5 + 5 * i / 60) for i in range(61)]
    curve = [
        0.9 - 0.5 / (1 + math.exp(-2 * (math.log10(r) + 3))) + 0.6 * max(0.0, math.log10(r) + 1.2) ** 2 for r in rates
    ]
    run.log(
        "learning_rate_finder",
        learning_rate=0.004,
        rates=rates,
        losses=curve,
        text="learning rate 0.004: a tenth of 0.04",
    )
    for step in range(50, steps + 1, 50):
        warm = min(1.0, step / 200)
        rate = 0.004 * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        norm = float(np.exp(random.normal(-0.5 - step / steps, 0.45)))
        run.log("step", step=step, loss=0.9 * math.exp(-3 * step / steps), gradient_norm=norm, learning_rate=rate)
        if step % every < 50:
            epoch = max(1, round(step / every))
            progress = epoch / epochs
            row: dict[str, Any] = {
                "step": step,
                "epoch": epoch,
                "train_loss": 0.11 + 0.8 * math.exp(-5 * progress),
                "valid_loss": 0.16 + 0.7 * math.exp(-5.5 * progress) + 0.06 * max(0.0, progress - 22 / 30) ** 1.2,
                metric: 10 + 20 * math.exp(-4 * progress)
                if metric == "valid_smape"
                else 0.98 - 0.4 * math.exp(-4 * progress),
                "learning_rate": rate,
                "gradient_norm": norm,
                "clipped": max(0.0, 0.35 - 0.4 * progress),
                "seconds": 13.7 * epoch,
            }
            run.append_metrics(row)
            run.log("evaluation", **row)


def log_flow(run: RunFolder, slow: bool) -> None:
    rate = 0.02 if slow else 0.14
    lags = list(range(0, 28 if slow else 120))
    norm = [math.exp(-rate * k) * (1 + 0.05 * math.sin(k)) for k in lags]
    half = round(math.log(2) / rate)
    run.log(
        "gradient_flow", lags=lags, norm=norm, half_lag=half, text=f"Half of the gradient is left after {half} steps."
    )


def log_states(run: RunFolder, names: list[str], labels: Sequence[str | None]) -> None:
    random = np.random.default_rng(4)
    time = np.arange(192)[:, None]
    waves = np.tanh(np.sin(time / random.uniform(3, 40, 48) + random.uniform(0, 6, 48)) * random.uniform(0.2, 2, 48))
    kinds = list(dict.fromkeys(labels))
    trajectories = []
    for i, (one, label) in enumerate(zip(names, labels, strict=True)):
        angle = 2 * math.pi * (kinds.index(label) if label else i) / max(len(kinds) if label else len(names), 1)
        reach = np.linspace(0, 1, 40)[:, None]
        end = np.array([[math.cos(angle), math.sin(angle)]]) * random.uniform(0.8, 1.1)
        wobble = np.cumsum(random.normal(0, 0.03, (40, 2)), axis=0)
        trajectories.append({"name": one, "label": label, "points": reach * end * 3 + wobble})
    run.log("hidden_states", sequence=names[0], states=waves, trajectories=trajectories, explained=[0.46, 0.21])
