"""The scikit-learn face: `Forecaster` and `SequenceClassifier`, and `load` for what they saved.

An estimator's arguments are the options of `recurra.settings`; the class holds no logic of its task.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from recurra.errors import FolderError, UsageError
from recurra.options import build
from recurra.settings import SECTIONS
from recurra.tasks.registry import TASKS
from recurra.train.distributed import rank
from recurra.train.loop import History, fit
from recurra.train.model_folder import load_model, save_model
from recurra.train.processor import choose_threads, processor
from recurra.train.run_folder import RunFolder
from recurra.types import Judgement
from recurra.version import __version__

OnEvent = Callable[[str, dict[str, Any]], None]


def _from_settings(cls: type) -> type:
    """Give a class the keyword arguments of its task's settings; storing them is all its constructor does."""
    fields = {f.name: f.default for section in SECTIONS[cls.task].values() for f in dataclasses.fields(section)}  # type: ignore[attr-defined]

    def __init__(self: Any, **options: Any) -> None:
        unknown = set(options) - set(fields)
        if unknown:
            build(SECTIONS[cls.task], dict.fromkeys(unknown), cls.__name__)  # type: ignore[attr-defined]
        for name, default in fields.items():
            setattr(self, name, options.get(name, default))

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [own, *(inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in fields.items())]
    )
    lines = [
        f"    {f.name}: {f.metadata['help']} (default {f.default!r})."
        for section in SECTIONS[cls.task].values()  # type: ignore[attr-defined]
        for f in dataclasses.fields(section)
    ]
    cls.__init__ = __init__  # type: ignore[misc]
    cls.__doc__ = (cls.__doc__ or "") + "\n\nArgs:\n" + "\n".join(lines) + "\n"
    return cls


class Estimator(BaseEstimator):
    """What the estimators share: fit, predict, evaluate, save. Use `Forecaster` or `SequenceClassifier`.

    Fitted attributes: `settings_` (the resolved sections), `judgement_`, `history_`, `run_` (the run folder or None),
    `network_` (the trained module).
    """

    task: ClassVar[str]

    def fit(
        self,
        data: Any,
        y: Any = None,
        *,
        out: str | Path | None = None,
        resume: bool = False,
        on_event: OnEvent | None = None,
        command: str | None = None,
    ) -> Estimator:
        """Read, train, judge on held-out data and, where `out` is given, write a run folder.

        Args:
            data: a path (CSV, Parquet, NDJSON), a polars, pandas or pyarrow table, or arrays.
            y: the labels, where `data` are arrays of sequences.
            out: the run folder to make (or, with `resume`, to go on in).
            resume: continue an interrupted run exactly where its last state was saved.
            on_event: called with every event (`"data"`, `"step"`, `"evaluation"`, `"verdict"` ...) and its facts.
            command: the command line to print in the report.

        Raises:
            DataError, UsageError, FolderError, TrainingError: with the place and the cure.
        """
        started = time.monotonic()
        settings = build(SECTIONS[self.task], self.get_params(deep=False), type(self).__name__)
        if resume and out is None:
            raise UsageError("resume was asked for without a run folder", where="fit", need="out= with the run folder")
        source = data if y is None else (data, y)
        task = _task_class(self.task)(settings)
        notes: list[tuple[str, dict[str, Any]]] = []
        run: RunFolder | None = None
        # Under torchrun every process trains, and the first alone writes and judges.
        first = rank() == 0

        def log(event: str, **facts: Any) -> None:
            if run is None:
                notes.append((event, facts))
            elif first:
                run.log(event, **facts)
            if on_event is not None:
                on_event(event, facts)

        # The data are read before the folder is made: a problem in them leaves nothing behind.
        task.fit_data(source, log)
        problem = task.build()
        facts = task.describe()
        settings = _resolved(settings, task.plan | facts)
        if out is not None and (first or resume):
            run = RunFolder.open(out) if resume else RunFolder.create(out)
        about = {"source": _data_name(data), "command": command}
        if run is not None and first:
            if resume:
                before = run.read_settings()
                about = {key: before.get(key) or value for key, value in about.items()}
            else:
                run.write_settings(self.task, settings, about)
            run.write_environment()
            run.log(
                "run", task=self.task, command=command, seed=settings["train"].seed, resumed=resume, recurra=__version__
            )
            for event, told in notes:
                run.log(event, **told)
        log("model", **facts)
        history = fit(
            problem,
            settings["train"],
            run=run,
            planned_epochs=task.plan["epochs"],
            learning_rate=task.plan["learning_rate"],
            patience=task.plan["patience"],
            resume=resume,
            on_event=on_event,
        )
        self._adopt(task, problem.learner, settings, history, run)
        if run is not None and first and resume:
            # Only now: had a setting not been that of the run, `fit` would have refused, and nothing may be lost then.
            run.write_settings(self.task, settings, about)
        if first:
            with self._processor():
                self._conclude(log, time.monotonic() - started)
        return self

    def check(self, data: Any, y: Any = None) -> Any:
        """Read the data as `fit` would, without training: returns the data card, with notes and leakage checks."""
        task = _task_class(self.task)(build(SECTIONS[self.task], self.get_params(deep=False), type(self).__name__))
        task.fit_data(data if y is None else (data, y), lambda event, **facts: None)
        return task.data_card

    def _adopt(self, task: Any, learner: Any, settings: dict[str, Any], history: History | None, run: Any) -> None:
        self._task, self.network_, self.settings_ = task, learner, settings
        self.history_, self.run_ = history, run

    def _conclude(self, log: Callable[..., None], seconds: float) -> None:
        """Judge the trained network, and write down everything there is to say about it."""
        judgement: Judgement = self._task.judge(self.network_)
        self.judgement_ = judgement
        for event, facts in (judgement.facts | self._task.instruments(self.network_)).items():
            log(event, **facts)
        spoken = {f.name: getattr(judgement, f.name) for f in dataclasses.fields(judgement)}
        log("verdict", **{name: spoken[name] for name in spoken if name not in ("predictions", "facts")})
        if self.run_ is not None:
            self.save(self.run_.model)
            self.run_.write_file("predictions.parquet", judgement.predictions.write_parquet)
        history = cast(History, self.history_)
        log("end", seconds=seconds, stopped=history.stopped, best_epoch=history.best_epoch)

    def predict(self, data: Any, *, batch_size: int | None = None) -> Any:
        """Predictions for a table of the same columns, as a polars DataFrame; independent of batch size and order."""
        self._need_fitted()
        with self._processor():
            return self._task.predict(self.network_, data, batch_size=batch_size)

    def evaluate(self, data: Any) -> Judgement:
        """Metrics of the model and its baselines on a table that holds the truth."""
        self._need_fitted()
        with self._processor():
            return self._task.evaluate(self.network_, data)

    def save(self, folder: str | Path) -> None:
        """Write the model folder: config.json, weights.safetensors, preprocess.json, README.md. No pickle."""
        self._need_fitted()
        tensors = {name: tensor.detach().cpu() for name, tensor in self.network_.state_dict().items()}
        config = {"task": self.task, "options": self._options(), "net": self._task.config()}
        judgement = getattr(self, "judgement_", None)
        if judgement is not None:
            config["judgement"] = {
                "metric": judgement.metric,
                "metrics": judgement.metrics,
                "baselines": judgement.baselines,
                "headline": judgement.headline,
            }
        card = self._task.card(judgement)
        save_model(folder, config=config, preprocess=self._task.preprocess(), tensors=tensors, card=card)

    def _options(self) -> dict[str, Any]:
        return {
            f"{key}.{field.name}": _plain(getattr(section, field.name))
            for key, section in self.settings_.items()
            for field in dataclasses.fields(section)
        }

    def _processor(self) -> AbstractContextManager[None]:
        return processor(choose_threads(self.settings_["train"].threads, self.network_))

    def _need_fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise UsageError(
                f"this {type(self).__name__} is not fitted",
                need="a trained model",
                cure="call fit first, or recurra.load",
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")


@_from_settings
class Forecaster(Estimator):
    """Forecasts one or many series with quantiles, by a recurrent network trained on a user's own table.

    Example:
        >>> import numpy as np, recurra
        >>> wave = np.sin(np.arange(400) / 24 * 2 * np.pi) + 3
        >>> model = recurra.Forecaster(horizon=12, hidden_size=8, epochs=1).fit([wave])
        >>> model.predict([wave]).height
        12
    """

    task = "forecast"

    def backtest(self, data: Any, *, windows: int = 5) -> Judgement:
        """Rolling-origin evaluation without refitting: `windows` origins a series, a horizon apart, up to the end."""
        self._need_fitted()
        with self._processor():
            return self._task.backtest(self.network_, data, windows)


@_from_settings
class SequenceClassifier(ClassifierMixin, Estimator):
    """Assigns whole sequences to classes with calibrated probabilities, by a recurrent network.

    Example:
        >>> import numpy as np, recurra
        >>> rng = np.random.default_rng(0)
        >>> X = [rng.normal(size=(rng.integers(5, 9), 2)) + (i % 2) for i in range(60)]
        >>> model = recurra.SequenceClassifier(epochs=1, hidden_size=8).fit(X, [i % 2 for i in range(60)])
        >>> model.predict_proba(X[:3]).shape
        (3, 2)
    """

    task = "classify"

    @property
    def classes_(self) -> np.ndarray:
        """The classes, in the order of the columns of `predict_proba`."""
        self._need_fitted()
        return np.asarray(self._task.classes)

    def predict_proba(self, data: Any, *, batch_size: int | None = None) -> np.ndarray:
        """Calibrated probabilities, one row a sequence, one column a class."""
        frame = self.predict(data, batch_size=batch_size)
        return frame.select([f"probability_{name}" for name in self.classes_]).to_numpy()

    def score(self, data: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy on a table with labels, or on arrays and labels."""
        return self.evaluate(data if y is None else (data, y)).metrics["accuracy"]


def load(path: str | Path) -> Estimator:
    """Open what `save` or a run wrote: a model folder, or a run folder that holds one.

    Raises:
        FolderError: the folder is missing, damaged, truncated, or made by a newer version. Nothing in it is executed.
    """
    files = load_model(path)
    name = files.config.get("task")
    if name not in TASKS:
        raise FolderError(f"the task {name!r} is not known", where=str(files.path), need="one of " + ", ".join(TASKS))
    try:
        settings = build(SECTIONS[name], files.config["options"], str(files.path))
        task, learner = _task_class(name).restore(files.config["net"], files.preprocess, files.tensors, settings)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
        raise FolderError(
            f"the model's files do not fit together ({type(error).__name__}: {error})",
            where=str(files.path),
            need="config.json, preprocess.json and weights.safetensors of one and the same model",
            cure="copy the whole model folder again",
        ) from error
    estimator = globals()[TASKS[name].estimator]()
    estimator.set_params(**{f.name: getattr(s, f.name) for s in settings.values() for f in dataclasses.fields(s)})
    estimator._adopt(task, learner, settings, None, None)
    return estimator


def _resolved(settings: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """The settings with what was chosen from the data in place of None, so that `run.toml` repeats the run."""
    resolved = {}
    for key, section in settings.items():
        names = [f.name for f in dataclasses.fields(section) if getattr(section, f.name) in (None, ())]
        found = {name: chosen[name] for name in names if chosen.get(name) is not None}
        resolved[key] = dataclasses.replace(
            section, **{name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        )
    return resolved


def _task_class(name: str) -> Any:
    module, _, attribute = TASKS[name].path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _data_name(data: Any) -> str | None:
    return str(data) if isinstance(data, str | Path) else None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
