"""Every option of the tasks, in sections: Python, command line, `--set`, `run.toml` and help all come from here.

None means "chosen from the data", and what was chosen is said aloud and written to `run.toml`.
"""

from __future__ import annotations

from dataclasses import dataclass

from recurra.options import option


@dataclass(frozen=True)
class ForecastData:
    """What the columns of a long table mean for forecasting, and how they are treated."""

    target: tuple[str, ...] = option((), "column to forecast (several: comma-separated)", flag=True)
    time: str | None = option(None, "column of times: dates, datetimes or whole numbers", flag=True)
    series: tuple[str, ...] = option((), "column that names the series (several together name one)", flag=True)
    horizon: int | None = option(None, "steps to forecast", flag=True, low=1)
    known: tuple[str, ...] = option((), "columns known ahead over the horizon (price, promotion)", flag=True)
    covariates: tuple[str, ...] = option((), "columns known up to now only (weather measured, say)")
    static: tuple[str, ...] = option((), "columns constant within a series")
    categorical: tuple[str, ...] = option((), "which of these columns are categories (text columns are anyway)")
    frequency: str | None = option(None, "step between times, such as 1h, 1d, 1mo; found from all rows when absent")
    season: tuple[int, ...] | None = option(None, "season lengths in steps; found from the data when absent", low=2)
    missing: str = option(
        "carry",
        "missing values: carry the last one forward and tell the model, or raise an error",
        choices=("carry", "error"),
    )
    windows: int | None = option(None, "rolling windows held out per series for the test", low=1)


@dataclass(frozen=True)
class ClassifyData:
    """What the columns of a long table mean for classifying sequences, and how they are treated."""

    sequence: tuple[str, ...] = option((), "column that names the sequence", flag=True)
    time: str | None = option(None, "column that orders the steps of a sequence", flag=True)
    label: str | None = option(None, "column of the class, constant within a sequence", flag=True)
    features: tuple[str, ...] = option((), "feature columns (all other columns when absent)")
    categorical: tuple[str, ...] = option((), "which features are categories (text columns are anyway)")
    missing: str = option(
        "carry",
        "missing values: carry the last one forward and tell the model, or raise an error",
        choices=("carry", "error"),
    )
    test: float = option(0.2, "share of the sequences held out for the verdict", low=0.0, high=0.5)
    balance: bool = option(True, "weight rare classes up in the loss when classes are unbalanced")


@dataclass(frozen=True)
class ModelSettings:
    """The recurrent network, for every task."""

    cell: str | None = option(None, "recurrent cell (recurra info cells lists them)", flag=True)
    layers: int | None = option(None, "stacked recurrent layers", low=1, high=64)
    hidden_size: int | None = option(None, "hidden units a layer", flag=True, low=1, high=65536)
    bidirectional: bool | None = option(None, "read sequences in both directions where that makes sense")
    dropout: float | None = option(None, "dropout between layers and before the head", low=0.0, high=0.95)


@dataclass(frozen=True)
class ForecastModel(ModelSettings):
    """The recurrent network of a forecaster."""

    context: int | None = option(None, "steps of the past that the network reads", low=1)
    quantiles: tuple[float, ...] = option((0.1, 0.5, 0.9), "quantiles to forecast", low=0.001, high=0.999)
    decode: str = option(
        "direct", "all steps of the horizon at once, or one step at a time", choices=("direct", "recursive")
    )
    calibrate: bool = option(True, "correct the quantiles by conformal calibration on the validation part")


@dataclass(frozen=True)
class TrainSettings:
    """The training loop, for every task."""

    epochs: int | None = option(None, "bound on the epochs", flag=True, low=1, may_change=True)
    time_limit: float | None = option(
        None, "bound on training time: 90, 90s, 5m, 1h", flag=True, low=0.0, may_change=True
    )
    seed: int = option(0, "seed; the same seed gives the same bits on a CPU", flag=True, low=0)
    rule: str = option("bptt", "gradient rule or search: bptt, tbptt(k1,k2), rtrl, snap1, ga, cosyne ...")
    batch_size: int | None = option(None, "sequences a step", low=1)
    learning_rate: float | None = option(None, "peak learning rate", low=0.0)
    find_learning_rate: bool = option(False, "look for the learning rate before training")
    weight_decay: float = option(0.01, "decoupled weight decay", low=0.0)
    clip: float = option(1.0, "bound on the gradient's norm; 0 turns clipping off", low=0.0)
    patience: int | None = option(None, "evaluations without a better validation loss before stopping", low=1)
    averaging: float = option(
        0.99, "decay of the running average of weights that is evaluated; 0 turns it off", low=0.0, high=0.99999
    )
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps")
    threads: int | None = option(None, "threads of the numerical kernels; one for a small network", low=1)
    precision: str = option("auto", "number format of the forward pass", choices=("auto", "float32", "bf16"))
    keep_every: float = option(30.0, "seconds between saved states", low=0.0, may_change=True)


SECTIONS: dict[str, dict[str, type]] = {
    "forecast": {"data": ForecastData, "model": ForecastModel, "train": TrainSettings},
    "classify": {"data": ClassifyData, "model": ModelSettings, "train": TrainSettings},
}
"""Task name to its sections; a section's key is the first part of a dotted option name."""
