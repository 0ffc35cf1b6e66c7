"""Complete, realistic run folders made without training, as the log of a forecast and of a classification reads."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from run_parts import begin, length_histogram, log_flow, log_model, log_states, log_training

from recurra.train.run_folder import RunFolder

BASELINES = ("naive", "seasonal_naive", "drift")


def make_forecast(
    path: Path, *, series: int = 30, names: Sequence[str] | None = None, loses: bool = False, steps: int = 3000
) -> Path:
    """A forecast run of `series` hourly series; `names` overrides the first series' names."""
    random = np.random.default_rng(1)
    horizon = 48
    labels = [f"store {i + 1}" for i in range(series)]
    labels[: len(names or ())] = list(names or ())
    run = begin(path, "forecast", "recurra train sales.parquet --target units --time date --series store --horizon 48")
    lengths = np.round(random.lognormal(6.6, 0.35, series)).astype(int).clip(120, 4000)
    start = datetime.datetime(2023, 1, 2)
    run.log(
        "data",
        rows=int(lengths.sum()),
        sequences=series,
        lengths=length_histogram(lengths),
        columns=[
            {"name": "date", "role": "time", "kind": "datetime", "missing": 0, "missing_fraction": 0.0},
            {"name": "store", "role": "series", "kind": "text", "missing": 0, "missing_fraction": 0.0},
            {"name": "units", "role": "target", "kind": "number", "missing": 312, "missing_fraction": 0.0153},
            {"name": "price", "role": "known", "kind": "number", "missing": 4, "missing_fraction": 0.0002},
            {"name": "weather", "role": "covariate", "kind": "category", "missing": 7100, "missing_fraction": 0.34},
        ],
        frequency="one row an hour (1h)",
        irregular=False,
        gaps=17,
        notes=[
            "17 hours are missing from 4 series; they were filled as missing values.",
            "The season is 24 steps (found in 28 of 30 series), then 168.",
        ],
        leakage=[
            {"check": "covariate_equals_target", "passed": True, "detail": "no covariate repeats the target"},
            {"check": "shifted_target", "passed": True, "detail": "no covariate is a shifted target"},
            {"check": "same_series_twice", "passed": not loses, "detail": "every series occurs once"},
        ],
        classes=None,
        time_range=[start, start + datetime.timedelta(hours=int(lengths.max()))],
        split={
            "train": {
                "sequences": series,
                "rows": int(lengths.sum() * 0.8),
                "from": start,
                "to": "2023-03-01T12:00:00",
                "text": "all but the last 4 windows",
            },
            "valid": {
                "sequences": series,
                "rows": int(lengths.sum() * 0.1),
                "from": "2023-03-01T13:00:00",
                "to": "2023-03-20T12:00:00",
                "text": "2 windows of 48 steps a series",
            },
            "test": {
                "sequences": series,
                "rows": int(lengths.sum() * 0.1),
                "from": "2023-03-20T13:00:00",
                "to": "2023-04-08T12:00:00",
                "text": "2 windows of 48 steps a series",
            },
        },
    )
    run.log("note", text="weather is 34 % missing; its last value is carried forward and the model is told so.")
    log_model(run, "gru", 64, 21_345)
    log_training(run, steps, "valid_smape")
    log_flow(run, slow=False)
    log_states(run, labels[:6], [None] * len(labels[:6]))
    _examples(run, labels, horizon, random)
    steps_ahead = list(range(1, horizon + 1))
    run.log(
        "horizon_error",
        metric="smape",
        horizon=steps_ahead,
        model=[9 + 3 * math.log(k) + random.normal(0, 0.2) for k in steps_ahead],
        baselines={
            "naive": [12 + 16 * abs(math.sin(math.pi * k / 24)) for k in steps_ahead],
            "seasonal_naive": [13.9 + 0.04 * k + random.normal(0, 0.2) for k in steps_ahead],
            "drift": [12 + 16 * abs(math.sin(math.pi * k / 24)) + 0.2 * k for k in steps_ahead],
        },
    )
    run.log(
        "coverage",
        nominal=[0.1, 0.5, 0.9],
        observed=[0.098, 0.512, 0.892],
        before=[0.151, 0.52, 0.863],
        by_horizon={"horizon": steps_ahead, "observed": [0.83 - 0.0015 * k for k in steps_ahead]},
    )
    metrics = {
        "smape": 15.2 if loses else 11.31,
        "mase": 0.968,
        "mae": 212.4,
        "rmse": 455.1,
        "pinball": 0.0721,
        "coverage": 0.794,
    }
    baselines = {
        "naive": {"smape": 43.003, "mase": 11.608, "mae": 901.2, "rmse": 1603.0, "pinball": None, "coverage": None},
        "seasonal_naive": {
            "smape": 13.912,
            "mase": 1.193,
            "mae": 260.3,
            "rmse": 530.9,
            "pinball": 0.0951,
            "coverage": 0.77,
        },
        "drift": {"smape": 45.1, "mase": 12.0, "mae": 950.0, "rmse": 1700.5, "pinball": None, "coverage": None},
    }
    better = "The model beats every baseline: sMAPE 11.31 % against 13.91 % for seasonal naive"
    worse = "Seasonal naive beats the model: sMAPE 13.91 % against 15.20 %; do not use this model as it is"
    run.log(
        "verdict",
        headline=worse if loses else better,
        sentences=[
            "On held-out data its error is 19 % lower than that of repeating the last day.",
            "The 80 % interval holds 79.4 % of the actual values.",
            "It is best 1 to 12 steps ahead and loses its lead slowly after that.",
        ],
        warnings=["Only 2 windows a series were held out: differences below 0.5 points may be chance."]
        if loses
        else [],
        beats_baselines=not loses,
        metric="smape",
        higher_is_better=False,
        metrics=metrics,
        baselines=baselines,
    )
    _forecast_predictions(run, labels, horizon, random)
    run.log("end", seconds=412.3, stopped="patience", best_epoch=22)
    return path


def make_classify(
    path: Path, *, classes: int = 9, names: Sequence[str] | None = None, loses: bool = False, sequences: int = 640
) -> Path:
    """A classification run; `names` overrides the first classes' names."""
    random = np.random.default_rng(2)
    labels = [f"speaker {i + 1}" for i in range(classes)]
    labels[: len(names or ())] = list(names or ())
    run = begin(path, "classify", "recurra train vowels.parquet --sequence id --time t --label speaker")
    lengths = random.integers(7, 30, sequences)
    run.log(
        "data",
        rows=int(lengths.sum()),
        sequences=sequences,
        lengths=length_histogram(lengths),
        columns=[{"name": "id", "role": "sequence", "kind": "text", "missing": 0, "missing_fraction": 0.0}]
        + [
            {
                "name": f"lpc {i}",
                "role": "feature",
                "kind": "number",
                "missing": i % 3,
                "missing_fraction": i % 3 / 9961,
            }
            for i in range(1, 15)
        ]
        + [{"name": "speaker", "role": "label", "kind": "text", "missing": 0, "missing_fraction": 0.0}],
        frequency=None,
        irregular=True,
        gaps=0,
        notes=["Classes are unbalanced (24 to 88 sequences); rare ones are weighted up."],
        leakage=[{"check": "feature_gives_label_away", "passed": True, "detail": "no feature alone gives the label"}],
        classes={label: int(random.integers(24, 89)) for label in labels},
        time_range=None,
        split={
            "train": {"sequences": 384, "rows": 6000, "text": "stratified by class"},
            "valid": {"sequences": 128, "rows": 2000, "text": "stratified by class"},
            "test": {"sequences": 128, "rows": 1961, "text": "stratified by class"},
        },
    )
    log_model(run, "lstm", 96, 91_785, bidirectional=True)
    log_training(run, 900, "valid_accuracy")
    log_flow(run, slow=True)
    log_states(run, [f"utterance {i}" for i in range(24)], [labels[i % classes] for i in range(24)])
    matrix = np.zeros((classes, classes), dtype=int)
    for i in range(classes):
        matrix[i, i] = random.integers(11, 22)
        for j in random.integers(0, classes, 2):
            matrix[i, j] += j != i and random.random() < 0.35
    run.log("confusion", classes=labels, matrix=matrix)
    bins = [
        {
            "confidence": 0.05 + 0.1 * k,
            "accuracy": min(1.0, 0.02 + 0.1 * k + random.normal(0.03, 0.03)),
            "count": 2 + k * k,
        }
        for k in range(3, 10)
    ]
    run.log("reliability", bins=bins, ece=0.021, before=0.063)
    run.log(
        "by_length",
        items=[{"from": a, "to": a + 3, "count": 20 + a, "accuracy": 0.9 + 0.003 * a} for a in range(7, 29, 4)],
    )
    mistakes = [
        {
            "sequence": f"utterance {40 + i}",
            "label": labels[i % classes],
            "predicted": labels[(i + 3) % classes],
            "probability": 0.99 - 0.06 * i,
            "length": 11 + i,
        }
        for i in range(6)
    ]
    run.log("mistakes", items=mistakes)
    accuracy = 0.955 if loses else 0.981
    run.log(
        "verdict",
        headline=(
            "Logistic regression beats the model: accuracy 96.2 % against 95.5 %"
            if loses
            else "The model beats every baseline: accuracy 98.1 % against 96.2 % for logistic regression"
        ),
        sentences=[
            "It gives 126 of 128 held-out sequences the right class.",
            "Its probabilities are honest: off by 2.1 % on average.",
        ],
        warnings=[],
        beats_baselines=not loses,
        metric="accuracy",
        higher_is_better=True,
        metrics={"accuracy": accuracy, "balanced_accuracy": 0.979, "f1": 0.98, "log_loss": 0.081, "ece": 0.021},
        baselines={
            "majority": {"accuracy": 0.14, "balanced_accuracy": 1 / 9, "f1": 0.027, "log_loss": 2.17, "ece": 0.0},
            "logistic_regression": {
                "accuracy": 0.962,
                "balanced_accuracy": 0.96,
                "f1": 0.961,
                "log_loss": 0.16,
                "ece": 0.03,
            },
        },
    )
    frame = pl.DataFrame(
        {"id": [f"utterance {i}" for i in range(128)], "label": [labels[i % classes] for i in range(128)]}
    )
    frame.with_columns(predicted=pl.col("label"), length=pl.lit(12)).write_parquet(path / "predictions.parquet")
    run.log("end", seconds=48.0, stopped="epochs", best_epoch=27)
    return path


def _examples(run: RunFolder, labels: list[str], horizon: int, random: np.random.Generator) -> None:
    items = []
    origin = datetime.datetime(2023, 4, 1)
    for kind, label, noise, score in zip(
        ("best", "median", "worst"), labels, (12, 45, 130), (4.1, 10.9, 31.7), strict=False
    ):
        past = np.arange(-4 * horizon, 0)
        ahead = np.arange(horizon)

        def shape(k: np.ndarray) -> np.ndarray:
            return 500 + 250 * np.sin(2 * math.pi * k / 24) + 60 * np.sin(2 * math.pi * k / 168)

        spread = 1.28 * noise * np.sqrt(1 + ahead / 12)
        centre = shape(ahead) + random.normal(0, noise / 5, horizon)
        value = [v if i % 37 else None for i, v in enumerate(shape(past) + random.normal(0, noise, len(past)))]
        items.append(
            {
                "kind": kind,
                "series": label,
                "target": "units",
                "score": score,
                "history": {
                    "time": [(origin + datetime.timedelta(hours=int(k))).isoformat() for k in past],
                    "value": value,
                },
                "forecast": {
                    "time": [(origin + datetime.timedelta(hours=int(k))).isoformat() for k in ahead],
                    "actual": shape(ahead) + random.normal(0, noise, horizon),
                    "0.1": centre - spread,
                    "0.5": centre,
                    "0.9": centre + spread,
                },
            }
        )
    run.log("examples", items=items)


def _forecast_predictions(run: RunFolder, labels: list[str], horizon: int, random: np.random.Generator) -> None:
    count = len(labels)
    level = np.repeat(np.exp(random.normal(5, 1.2, count)), horizon)
    actual = level * (1 + 0.3 * random.normal(size=count * horizon))
    columns: dict[str, Any] = {
        "store": np.repeat(labels, horizon),
        "date": np.tile(np.arange(horizon), count),
        "target": ["units"] * (count * horizon),
        "step": np.tile(np.arange(1, horizon + 1), count),
        "actual": actual,
    }
    sizes = np.repeat(np.exp(random.normal(-1.9, 0.3, count)), horizon)
    for quantile, shift in ((0.1, -0.2), (0.5, 0.0), (0.9, 0.2)):
        columns[f"q{quantile}"] = actual + level * (sizes * random.normal(size=actual.size) + shift)
    for name, noise in zip(BASELINES, (0.5, 0.2, 0.55), strict=True):
        columns[name] = actual + level * noise * random.normal(size=actual.size)
    pl.DataFrame(columns).write_parquet(run.path / "predictions.parquet")


def drop_events(path: Path, *names: str) -> None:
    """Take events out of a run's log, as a run that was interrupted or is of an earlier version lacks them."""
    lines = (path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["event"] not in names]
    (path / "log.jsonl").write_text("".join(line + "\n" for line in kept), encoding="utf-8")
