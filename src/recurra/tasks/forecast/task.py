"""The forecasting task: from a table to a trained, calibrated and judged forecaster, and back from its files."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from recurra.analysis.gradient_flow import gradient_flow
from recurra.analysis.hidden_states import hidden_states
from recurra.data.arrays import from_arrays
from recurra.data.card import DataCard
from recurra.data.forecast_checks import require_future
from recurra.data.forecast_table import learn_schema, read_series
from recurra.data.series_set import ForecastSchema, SeriesSet
from recurra.data.source import Table, read_source
from recurra.errors import DataError, UsageError
from recurra.nn.explain import explain
from recurra.settings import SECTIONS
from recurra.tasks.forecast import baselines, conformal, decode, defaults, facts, judge, verdict
from recurra.tasks.forecast.card import model_card
from recurra.tasks.forecast.network import ForecastNetwork, NetworkShape
from recurra.tasks.forecast.panel import Panel, Scaler, make_panel
from recurra.tasks.forecast.prepare import prepare, split_facts
from recurra.tasks.forecast.problem import ForecastProblem, actuals
from recurra.tasks.forecast.seen import seen_windows, trained_until, with_seen_windows
from recurra.tasks.forecast.windows import Origins, Plan, cut, split_by_time
from recurra.types import Judgement, Log

RECURSIVE_LEVELS = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98)
"""Quantiles a recursive network learns, from which each step's value is drawn."""


class ForecastTask:
    """Drives data, network, calibration and judgement; see `recurra.estimators.Forecaster`."""

    name = "forecast"
    data_card: DataCard
    plan: dict[str, Any]

    def __init__(self, settings: dict[str, Any]):
        self.settings = settings
        self.factors: list[list[list[float]]] | None = None
        self.offsets: dict[str, np.ndarray] | None = None
        self.until: str | int | None = None
        levels = tuple(sorted({*settings["model"].quantiles, 0.5}))
        self.levels = levels

    # -- data ---------------------------------------------------------------------------------------------------

    def fit_data(self, source: Any, log: Log) -> None:
        """Read and check the table, learn how to treat it, split it by time, and say so."""
        data = self.settings["data"]
        if data.horizon is None:
            raise UsageError(
                "the horizon is missing",
                where="horizon",
                need="the number of steps to forecast",
                cure="give --horizon 14, say",
            )
        if self.settings["model"].bidirectional:
            raise UsageError(
                "a forecaster reads the past only",
                where="bidirectional",
                need="false or auto",
                cure="leave bidirectional away",
            )
        table = _table(source)
        self.schema = learn_schema(table, data)
        if self.settings["model"].decode == "recursive" and self.schema.covariates:
            raise UsageError(
                f"a recursive forecast needs {', '.join(self.schema.covariates)}, which is not known ahead",
                where="decode",
                need="direct, or only columns known ahead",
                cure="leave decode at direct, or name the columns with --known",
            )
        series, self.data_card = read_series(table, self.schema, data, fitting=True)
        ready = prepare(series, self.schema, data, self.data_card.name)
        self.panel, self.split, self.scalers = ready.panel, ready.split, ready.scalers
        # Steps without a time column begin at 0 in every table, and so tell nothing of another one.
        self.until = None if self.schema.time is None else trained_until(self.panel, self.split)
        self.seasons, self.season, self.windows = ready.seasons, ready.season, ready.windows
        log("data", **self.data_card.event(), split=split_facts(self.split, data.horizon))
        for note in self.data_card.notes + ready.notes:
            log("note", text=note)

    # -- network ------------------------------------------------------------------------------------------------

    def build(self) -> ForecastProblem:
        """The seeded network and its training problem."""
        data, model, train = (self.settings[key] for key in ("data", "model", "train"))
        chosen = defaults.choose(
            model, train, horizon=data.horizon, seasons=self.seasons, train_rows=self.split.train_end
        )
        recursive = model.decode == "recursive"
        panel = self.panel
        self.shape = NetworkShape(
            cell=chosen.cell,
            layers=chosen.layers,
            hidden_size=chosen.hidden_size,
            dropout=chosen.dropout,
            targets=panel.targets,
            horizon=1 if recursive else data.horizon,
            context=chosen.context,
            seasons=self.seasons,
            levels=RECURSIVE_LEVELS if recursive else self.levels,
            past=panel.past.shape[1],
            known=panel.known.shape[1],
            clock=panel.clock.shape[1],
            gap=panel.gap.shape[1],
            static=panel.static.shape[1],
            past_levels=self._level_counts(self.schema.covariates),
            known_levels=self._level_counts(self.schema.known),
            static_levels=self._level_counts(self.schema.static),
        )
        torch.manual_seed(train.seed)
        network = ForecastNetwork(self.shape)
        self.plan = {
            "epochs": chosen.epochs,
            "learning_rate": chosen.learning_rate,
            "patience": chosen.patience,
            "batch_size": chosen.batch_size,
            "target": self.schema.target,
            "time": self.schema.time,
            "season": self.seasons or None,
            "windows": self.windows,
        }
        self.scales = judge.series_scales(panel, self.split.train_end, self.season)
        split = self.split
        if recursive:
            split = dataclasses.replace(split, valid=_each_step(split.valid, data.horizon))
        return ForecastProblem(
            network,
            panel,
            split,
            self.scales,
            seed=train.seed,
            steps_an_epoch=defaults.STEPS_AN_EPOCH,
            batch_size=chosen.batch_size,
            span=chosen.span,
            forks=chosen.forks,
            where=self.data_card.name,
        )

    def _level_counts(self, names: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(len(self.schema.levels[name]) for name in names if name in self.schema.levels)

    def describe(self) -> dict[str, Any]:
        """Facts on the network for the log and the report."""
        network = ForecastNetwork(self.shape)
        return {
            "cell": self.shape.cell,
            "layers": self.shape.layers,
            "hidden_size": self.shape.hidden_size,
            "bidirectional": False,
            "parameters": sum(p.numel() for p in network.parameters()),
            "context": self.shape.context,
            "dropout": self.shape.dropout,
            "decode": self.settings["model"].decode,
            "path": explain(network.encoder),
        }

    # -- judgement ----------------------------------------------------------------------------------------------

    def quantiles(
        self, network: ForecastNetwork, panel: Panel, origins: Origins, batch_size: int | None = None
    ) -> np.ndarray:
        """The network's quantiles at the levels asked for, before calibration."""
        settings = self.settings
        return decode.forecast(
            network,
            panel,
            origins,
            horizon=settings["data"].horizon,
            batch_size=batch_size,
            seed=settings["train"].seed,
            levels=self.levels,
        )

    def calibrated(self, quantiles: np.ndarray) -> np.ndarray:
        """Quantiles `(windows, horizon, targets, levels)` after the conformal correction, where one was learned."""
        if self.factors is None:
            return quantiles
        levels = np.asarray(self.levels)
        each = [conformal.apply_factors(quantiles[:, :, j], levels, factors) for j, factors in enumerate(self.factors)]
        return np.stack(each, 2)

    def judge(self, network: nn.Module) -> Judgement:
        """Calibrate on the validation windows, then measure on the test windows, beside the baselines.

        What is said of coverage is measured with the calibration of the validation windows alone. The calibration that
        is kept for later forecasts is learned anew from validation and test windows together: they are the latest, and
        errors of all series rise and fall together from one window to the next.
        """
        assert isinstance(network, ForecastNetwork)
        levels, horizon = np.asarray(self.levels), self.settings["data"].horizon
        valid = self.split.valid
        raw = self.quantiles(network, self.panel, valid)
        end = self.split.valid_end
        truth, _ = actuals(self.panel, valid, horizon, end)
        early = self._learn_factors(truth, raw)
        self.factors = conformal.plain(early)
        held = judge.hold(self.panel, valid, raw, levels, self.season, None, self.season, end)
        histories = [
            self.panel.value.numpy()[self.panel.start[s] : self.panel.start[s] + o, 0]
            for s, o in zip(valid.series, valid.origin, strict=True)
        ]
        if self.seasons:
            few = held.actual[: len(valid)], held.scale[: len(valid)]
            self.naive_season = baselines.best_season(histories, *few, self.seasons)
        else:
            self.naive_season = 1
        held = judge.hold(self.panel, valid, raw, levels, self.naive_season, None, self.season, end)
        self.offsets = judge.learn_offsets(held)
        late = self.quantiles(network, self.panel, self.split.test)
        judgement = self._judge_origins(self.panel, self.split.test, late)
        late_truth, _ = actuals(self.panel, self.split.test, horizon)
        both = np.concatenate([truth, late_truth]), np.concatenate([raw, late])
        self.factors = conformal.plain(self._learn_factors(*both))
        return judgement

    def _learn_factors(self, truth: np.ndarray, made: np.ndarray) -> np.ndarray:
        """Conformal factors `(targets, horizon, levels)` from windows `(windows, horizon, targets, levels)`."""
        levels, targets = np.asarray(self.levels), truth.shape[2]
        if not self.settings["model"].calibrate:
            return np.full((targets, truth.shape[1], len(levels)), np.nan)
        return np.stack([conformal.fit_factors(truth[..., j], made[:, :, j], levels) for j in range(targets)])

    def _judge_origins(self, panel: Panel, origins: Origins, before: np.ndarray) -> Judgement:
        levels = np.asarray(self.levels)
        held = judge.hold(panel, origins, self.calibrated(before), levels, self.naive_season, self.offsets, self.season)
        told: dict[str, dict[str, Any]] = {
            "examples": {"items": facts.examples(held, panel, self.schema)},
            "horizon_error": facts.horizon_error(held),
        }
        if len(levels) > 1:
            told["coverage"] = facts.coverage(held, judge.stack(before))
        predictions = judge.predictions_frame(held, panel, self.schema)
        return verdict.judgement(
            held, cell=self.shape.cell, season=self.naive_season, facts=told, predictions=predictions
        )

    def instruments(self, network: nn.Module) -> dict[str, dict[str, Any]]:
        """How far back the gradient reaches, and what the hidden units do, on validation windows."""
        assert isinstance(network, ForecastNetwork)
        chosen = self.split.valid.part(np.unique(np.linspace(0, len(self.split.valid) - 1, 6).astype(int)))
        steps = self.shape.context
        plan = Plan(chosen.series, chosen.origin, np.array([steps]))
        network.eval()
        batch = cut(self.panel, plan, lags=self.shape.lags, steps=steps, horizon=self.shape.horizon)
        device = next(network.parameters()).device
        with torch.no_grad():
            inputs, _, _ = network.inputs(batch.to(device))
        lengths = torch.full((inputs.shape[1],), steps)
        names = [self.panel.names[s] for s in chosen.series]
        return {
            "gradient_flow": gradient_flow(network.encoder, inputs, lengths, max_lag=min(200, steps - 1)),
            "hidden_states": hidden_states(network.encoder, inputs, lengths, names),
        }

    # -- use ----------------------------------------------------------------------------------------------------

    def read(self, source: Any) -> tuple[SeriesSet, DataCard]:
        """A new table, treated as the training table was."""
        return read_series(_table(source), self.schema, self.settings["data"], fitting=False)

    def predict(self, network: nn.Module, source: Any, batch_size: int | None = None) -> pl.DataFrame:
        """Forecasts of the horizon after each series' last observed row."""
        assert isinstance(network, ForecastNetwork)
        horizon = self.settings["data"].horizon
        series, card = self.read(source)
        require_future(series, self.schema, horizon, card.name)
        panel = make_panel(series, self.schema, horizon, self.scalers)
        origins = Origins(np.arange(panel.series), panel.known_rows.numpy())
        made = judge.stack(self.calibrated(self.quantiles(network, panel, origins, batch_size)))
        rows = (panel.start.numpy() + panel.known_rows.numpy())[:, None] + np.arange(horizon)
        d = panel.targets
        columns = judge.key_columns(panel, np.tile(np.repeat(origins.series, horizon), d))
        columns[judge.time_name(self.schema)] = judge.time_column(panel, self.schema, np.tile(rows.ravel(), d))
        if d > 1:
            columns["target"] = np.repeat(list(self.schema.target), panel.series * horizon)
        columns["step"] = np.tile(np.arange(1, horizon + 1), panel.series * d)
        columns |= judge.forecast_columns(made.reshape(-1, len(self.levels)), np.asarray(self.levels))
        return pl.DataFrame(columns)

    def evaluate(self, network: nn.Module, source: Any) -> Judgement:
        """Forecast the last horizon of each series of a new table and compare with what the table says."""
        return self.backtest(network, source, 1)

    def backtest(self, network: nn.Module, source: Any, windows: int) -> Judgement:
        """Rolling origins, a horizon apart, up to the end of each series; the network is not refitted."""
        assert isinstance(network, ForecastNetwork)
        horizon = self.settings["data"].horizon
        series, card = self.read(source)
        panel = make_panel(series, self.schema, horizon, self.scalers)
        rows = panel.known_rows.numpy()
        split = split_by_time(rows, horizon, test_windows=windows, valid_windows=0, least=2)
        if not len(split.test):
            raise DataError(
                f"no series is long enough: the longest has {int(rows.max())} steps",
                where=card.name,
                need=f"at least {horizon + 2} steps, the last {horizon} to compare with",
                cure="give tables that hold the history and the steps to compare with",
            )
        made = self._judge_origins(panel, split.test, self.quantiles(network, panel, split.test))
        seen = seen_windows(panel, split.test, self.until)
        return with_seen_windows(made, seen, len(split.test), self.until)

    # -- files --------------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        return self.shape.to_dict()

    def preprocess(self) -> dict[str, Any]:
        return {
            "schema": self.schema.to_dict(),
            "scalers": {role: dataclasses.asdict(scaler) for role, scaler in self.scalers.items()},
            "seasons": list(self.seasons),
            "season": self.season,
            "naive_season": self.naive_season,
            "factors": self.factors,
            "trained_until": self.until,
            "baseline_offsets": {name: o.tolist() for name, o in (self.offsets or {}).items()},
        }

    @classmethod
    def restore(
        cls, config: dict[str, Any], preprocess: dict[str, Any], tensors: dict[str, Tensor], settings: dict[str, Any]
    ) -> tuple[ForecastTask, ForecastNetwork]:
        """The task and its network as they were saved."""
        task = cls({key: settings[key] for key in SECTIONS["forecast"]})
        task.shape = NetworkShape.from_dict(config)
        task.schema = ForecastSchema.from_dict(preprocess["schema"])
        task.scalers = {role: Scaler(**facts) for role, facts in preprocess["scalers"].items()}
        task.seasons = tuple(preprocess["seasons"])
        task.season, task.naive_season = preprocess["season"], preprocess["naive_season"]
        task.factors = preprocess["factors"]
        task.until = preprocess.get("trained_until")
        task.offsets = {name: np.asarray(o) for name, o in preprocess["baseline_offsets"].items()}
        network = ForecastNetwork(task.shape)
        network.load_state_dict(tensors)
        network.eval()
        return task, network

    def card(self, judgement: Judgement | None) -> str:
        """The model card, in Markdown."""
        return model_card(self, judgement)


def _table(source: Any) -> Table:
    if isinstance(source, Table):
        return source
    return from_arrays(source) if isinstance(source, list | tuple | np.ndarray) else read_source(source)


def _each_step(origins: Origins, horizon: int) -> Origins:
    """An origin for each step of each window, for validating one-step forecasts."""
    return Origins(np.repeat(origins.series, horizon), (origins.origin[:, None] + np.arange(horizon)).ravel())
