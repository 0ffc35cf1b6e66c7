"""The task "classify": assign whole sequences to classes, with calibrated probabilities and an honest verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch

from recurra.data.card import DataCard
from recurra.data.sequence_set import SequenceSchema, SequenceSet
from recurra.data.sequence_table import learn_schema_sequences, read_sequences
from recurra.data.source import Table
from recurra.errors import DataError
from recurra.nn.explain import explain
from recurra.tasks.classify.baselines import fit_baselines, summaries
from recurra.tasks.classify.calibration import fit_temperature, probabilities
from recurra.tasks.classify.card import write_card
from recurra.tasks.classify.features import Features, learn_features, make_channels
from recurra.tasks.classify.instruments import look_inside
from recurra.tasks.classify.judging import judge_sequences, prediction_frame
from recurra.tasks.classify.network import SequenceNetwork
from recurra.tasks.classify.notes import data_notes
from recurra.tasks.classify.parts import Parts, split_parts
from recurra.tasks.classify.plan import choose, class_weights
from recurra.tasks.classify.problem import ClassifyProblem, Inputs, read_logits
from recurra.tasks.classify.source import read_table
from recurra.types import Judgement, Log


class ClassifyTask:
    """One classification of sequences, from the table to the verdict.

    Driven by `recurra.SequenceClassifier`: `fit_data`, `build`, training, `judge`, `instruments`, then `config`,
    `preprocess` and `card` for the model folder, from which `restore` makes the task and its network again.

    Args:
        settings: {"data": ClassifyData, "model": ModelSettings, "train": TrainSettings}.

    Attributes:
        classes: names of the classes, in the order of the probabilities.
        plan: what `build` chose: epochs, learning_rate, patience, batch_size.
        temperature: of the calibration; 1 until `judge` has run.
        data_card: what was read for training.
        read_notes: what was assumed or done in reading the latest table for `predict` or `evaluate`.
    """

    name = "classify"

    schema: SequenceSchema
    data: SequenceSet
    data_card: DataCard
    features: Features
    inputs: Inputs
    parts: Parts
    class_weight: np.ndarray
    network_arguments: dict[str, Any]

    def __init__(self, settings: dict[str, Any]):
        self.settings = settings
        self.plan: dict[str, Any] = {}
        self.temperature = 1.0
        self.baselines: dict[str, Any] = {}
        self.trained_on: dict[str, Any] = {}
        self.read_notes: list[str] = []

    @property
    def classes(self) -> list[str]:
        return self.schema.classes

    # ---- data

    def fit_data(self, source: Any, log: Log) -> None:
        """Read and check the data, learn how columns become channels, and split the sequences.

        Logs "data" (the data card with the split) and a "note" for each thing a reader should know.

        Raises:
            DataError: with file, column and row.
        """
        options = self.settings["data"]
        table = read_table(source)
        self.schema = learn_schema_sequences(table, options)
        self.data, self.data_card = read_sequences(table, self.schema, options, fitting=True)
        label = _labels(self.data)
        self.parts = split_parts(label, len(self.classes), options.test, self.settings["train"].seed)
        self.features = learn_features(self.data, self.parts.train, list(self.schema.features), self.schema.levels)
        self.inputs = self._inputs(self.data)
        self.class_weight, imbalance = class_weights(label[self.parts.train], len(self.classes), options.balance)
        log("data", **self.data_card.event(), split=self.parts.event(self.data))
        for text in self.parts.notes + data_notes(self.features, self.class_weight, imbalance, self.classes):
            log("note", text=text)
        lengths = self.inputs.lengths
        self.trained_on = {
            "counts": np.bincount(label[self.parts.train], minlength=len(self.classes)).tolist(),
            "parts": {name: len(index) for name, index in self.parts.named()},
            "lengths": [int(lengths.min()), int(np.median(lengths)), int(lengths.max())],
        }

    def _read(self, source: Any) -> tuple[Table, SequenceSet]:
        """New sequences, read as those that the model was trained on."""
        table = read_table(source)
        data, card = read_sequences(table, self.schema, self.settings["data"], fitting=False)
        self.read_notes = list(card.notes)
        return table, data

    def _inputs(self, data: SequenceSet) -> Inputs:
        values, codes = make_channels(data, self.features)
        codes = np.minimum(codes, np.asarray(self.features.levels, dtype=np.int64)[None, :]) if codes.size else codes
        return Inputs(values, codes, data.offsets, data.label, data.names, self.features.channel_names)

    @property
    def _weighted(self) -> bool:
        return bool(np.any(self.class_weight != self.class_weight[0]))

    # ---- training

    def build(self) -> ClassifyProblem:
        """The learner, seeded, and its training problem; sets `plan`."""
        train = self.settings["train"]
        chosen = choose(self.settings["model"], train, self.inputs.lengths[self.parts.train])
        self.plan = {
            "epochs": chosen.epochs,
            "learning_rate": chosen.learning_rate,
            "patience": chosen.patience,
            "batch_size": chosen.batch_size,
        }
        self.network_arguments = {
            "channels": self.features.channels,
            "levels": list(self.features.levels),
            "classes": len(self.classes),
            "cell": chosen.cell,
            "hidden_size": chosen.hidden_size,
            "layers": chosen.layers,
            "bidirectional": chosen.bidirectional,
            "dropout": chosen.dropout,
            "noisy": len(self.features.numeric),
            "noise": chosen.noise,
            "mixing": chosen.mixing,
            "class_weight": self.class_weight.tolist(),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(train.seed)
            learner = self._network()
        self._described = learner
        return ClassifyProblem(learner, self.inputs, self.parts.train, self.parts.valid, chosen.batch_size, train.seed)

    def _network(self) -> SequenceNetwork:
        given = dict(self.network_arguments)
        given["levels"], given["class_weight"] = tuple(given["levels"]), tuple(given["class_weight"])
        return SequenceNetwork(**given)

    def describe(self) -> dict[str, Any]:
        """Facts of the network, with the path that its layers run on."""
        arguments = self.network_arguments
        return {
            "cell": arguments["cell"],
            "layers": arguments["layers"],
            "hidden_size": arguments["hidden_size"],
            "bidirectional": arguments["bidirectional"],
            "dropout": arguments["dropout"],
            "parameters": sum(p.numel() for p in self._described.parameters()),
            "path": explain(self._described.recurrent),
        }

    # ---- judging

    def judge(self, learner: SequenceNetwork) -> Judgement:
        """Calibrate on the validation part, train the baselines, and measure all on the held-out part."""
        label = _labels(self.data)
        valid = self.parts.valid
        if not self.parts.borrowed:
            logits = read_logits(learner, self.inputs, valid)
            self.temperature = fit_temperature(logits, label[valid], self.class_weight)
        held_out = len(self.parts.test) > 0
        measured = self.parts.test if held_out else valid
        learned = np.union1d(self.parts.train, valid) if held_out else self.parts.train
        table = self._summaries(self.data)
        self.baselines = fit_baselines(table[learned], label[learned], len(self.classes), self.class_weight)
        warnings = []
        if not held_out:
            warnings.append(
                "No sequences were held out (test=0): these figures are from the validation part, which also chose the "
                "best epoch and the temperature, so they are too kind. Measure on other data with recurra evaluate."
            )
        return self._judgement(
            learner, self.data, self.inputs, measured, table, "held-out" if held_out else "validation", warnings
        )

    def evaluate(self, learner: SequenceNetwork, source: Any) -> Judgement:
        """Metrics of the model and its baselines, as trained, on new labelled sequences.

        Raises:
            DataError: the data hold no label, or none that the model knows.
        """
        table, data = self._read(source)
        column = self.schema.label
        if data.label is None:
            raise DataError(
                "the sequences have no labels",
                where=table.name,
                need=f"the true class of each sequence, in column {column!r}",
                cure="add the column, or use predict where the classes are not known",
            )
        known = np.flatnonzero(data.label >= 0)
        if len(known) == 0:
            raise DataError(
                "no sequence has a class that the model knows",
                where=f"{table.name}, column {column!r}",
                need="one of " + ", ".join(repr(c) for c in self.classes[:20]),
                cure="check the spelling of the labels, or train a new model on these classes",
            )
        warnings = []
        if len(known) < len(data.label):
            warnings.append(
                f"{len(data.label) - len(known)} of {len(data.label)} sequences have no label or a class that the "
                "model does not know; they are left out of every figure."
            )
        return self._judgement(learner, data, self._inputs(data), known, self._summaries(data), "given", warnings)

    def _judgement(
        self,
        learner: SequenceNetwork,
        data: SequenceSet,
        inputs: Inputs,
        index: np.ndarray,
        table: np.ndarray,
        part: str,
        warnings: list[str],
    ) -> Judgement:
        return judge_sequences(
            logits=read_logits(learner, inputs, index),
            label=_labels(data)[index],
            lengths=inputs.lengths[index],
            names=[data.names[i] for i in index],
            keys=data.keys[index.tolist()],
            table=table[index],
            baselines=self.baselines,
            classes=self.classes,
            class_weight=self.class_weight,
            temperature=self.temperature,
            part=part,
            warnings=warnings,
        )

    def _summaries(self, data: SequenceSet) -> np.ndarray:
        categorical = list(zip(self.features.categorical, self.features.levels, strict=True))
        return summaries(data, list(self.features.numeric), categorical)

    def instruments(self, learner: SequenceNetwork) -> dict[str, dict[str, Any]]:
        """How far gradients reach back, and what the hidden states do, on held-out sequences."""
        index = self.parts.test if len(self.parts.test) else self.parts.valid
        return look_inside(learner, self.inputs, index, self.classes)

    def predict(self, learner: SequenceNetwork, source: Any, batch_size: int | None = None) -> pl.DataFrame:
        """One row a sequence, in the order of the data: id columns, predicted, probability_<class>.

        Independent of batch size, padding and the order of sequences up to float32 rounding (probabilities agree to
        1e-6). `predicted` is the class with the largest probability times class weight (the most probable class where
        classes were not weighted).
        """
        _, data = self._read(source)
        logits = read_logits(learner, self._inputs(data), batch_size=batch_size)
        logits = logits.reshape(len(data.names), len(self.classes))
        found = probabilities(logits, self.temperature, self.class_weight)
        return prediction_frame(data.keys, logits.argmax(1), found, self.classes)

    # ---- keeping

    def config(self) -> dict[str, Any]:
        """The network's arguments."""
        return {"network": self.network_arguments}

    def preprocess(self) -> dict[str, Any]:
        """All that turns a table into probabilities, and the baselines, as plain JSON."""
        return {
            "schema": self.schema.to_dict(),
            "features": self.features.to_dict(),
            "temperature": self.temperature,
            "class_weight": self.class_weight.tolist(),
            "baselines": self.baselines,
            "trained_on": self.trained_on,
        }

    @classmethod
    def restore(
        cls,
        config: dict[str, Any],
        preprocess: dict[str, Any],
        tensors: dict[str, torch.Tensor],
        settings: dict[str, Any] | None = None,
    ) -> tuple[ClassifyTask, SequenceNetwork]:
        """The task and its network as they were saved; `settings` default to the library's."""
        if settings is None:
            from recurra.options import build
            from recurra.settings import SECTIONS

            settings = build(SECTIONS["classify"], {})
        task = cls(settings)
        task.schema = SequenceSchema.from_dict(preprocess["schema"])
        task.features = Features.from_dict(preprocess["features"])
        task.temperature = float(preprocess["temperature"])
        task.class_weight = np.asarray(preprocess["class_weight"], dtype=np.float64)
        task.baselines = preprocess["baselines"]
        task.trained_on = preprocess["trained_on"]
        task.network_arguments = config["network"]
        learner = task._network()
        learner.load_state_dict(tensors)
        learner.eval()
        task._described = learner
        return task, learner

    def card(self, judgement: Judgement | None) -> str:
        """The model card, in Markdown."""
        features, schema = self.features, self.schema
        facts = self.describe() | self.trained_on
        facts |= {
            "classes": self.classes,
            "features": list(features.names),
            "columns": {"sequence": list(schema.sequence), "time": schema.time, "label": schema.label},
            "temperature": self.temperature,
            "weighted": self._weighted,
            "missing": [features.names[features.numeric[k]] for k in features.masked],
            "irregular": features.gap_mean is not None,
        }
        return write_card(facts, judgement)


def _labels(data: SequenceSet) -> np.ndarray:
    """The labels; reading for training has made sure that there are some."""
    if data.label is None:
        raise DataError("the sequences have no labels", need="the class of each sequence", cure="name it with --label")
    return data.label
