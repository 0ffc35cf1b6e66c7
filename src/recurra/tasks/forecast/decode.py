"""From a trained network to quantiles in the targets' own units, all steps at once or one step at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recurra.tasks.forecast.network import ForecastNetwork
from recurra.tasks.forecast.panel import Panel
from recurra.tasks.forecast.windows import Origins, Plan, WindowBatch, cut

PATHS = 100
"""Sample paths of a recursive forecast; its quantiles are taken over them."""


def forecast(
    network: ForecastNetwork,
    panel: Panel,
    origins: Origins,
    *,
    horizon: int,
    batch_size: int | None = None,
    seed: int = 0,
    levels: tuple[float, ...] | None = None,
) -> np.ndarray:
    """Quantile forecasts from many origins, `(origins, horizon, targets, levels)`, float64.

    A network whose own horizon is 1 is run recursively: sample paths are drawn from its one-step quantiles, each fed
    back as if it had been observed, and `levels` are taken over the paths. The draws of a window depend on the seed,
    the series and the origin alone, so that neither batch size nor order changes a forecast.
    """
    network.eval()
    device = next(network.parameters()).device
    recursive = network.shape.horizon < horizon
    size = batch_size or (64 if recursive else 512)
    parts = []
    with torch.no_grad():
        for first in range(0, len(origins), size):
            chosen = origins.part(np.arange(first, min(first + size, len(origins))))
            if recursive:
                assert levels is not None
                parts.append(_recursive(network, panel, chosen, horizon, seed, levels))
                continue
            steps = network.shape.context
            plan = Plan(chosen.series, chosen.origin, np.array([steps]))
            batch = cut(panel, plan, lags=network.shape.lags, steps=steps, horizon=horizon).to(device)
            inputs, scale, scaled = network.inputs(batch)
            hidden, _ = network.encoder(inputs)
            made = network.quantiles(hidden[-1:], batch, scaled, batch.forks)[:, 0].double()
            parts.append((made * scale.spread[..., None] + scale.centre[..., None]).cpu().numpy())
    shape = network.shape
    return np.concatenate(parts) if parts else np.zeros((0, horizon, shape.targets, len(levels or shape.levels)))


def _recursive(
    network: ForecastNetwork, panel: Panel, origins: Origins, horizon: int, seed: int, levels: tuple[float, ...]
) -> np.ndarray:
    shape = network.shape
    device = next(network.parameters()).device
    steps = shape.context
    plan = Plan(origins.series, origins.origin, np.array([steps]))
    batch = cut(panel, plan, lags=shape.lags, steps=steps, horizon=horizon).to(device)
    inputs, scale, scaled = network.inputs(batch)
    hidden, state = network.encoder(inputs)
    size, d = batch.size, shape.targets
    draws = torch.from_numpy(
        np.stack(
            [
                np.random.default_rng([seed, int(s), int(o)]).random((horizon, PATHS, d))
                for s, o in zip(origins.series, origins.origin, strict=True)
            ]
        )
    ).to(device)
    state = _repeat(state, PATHS)
    paths = _repeat_batch(batch, PATHS)
    scaled = scaled.repeat_interleave(PATHS, 0)
    last = hidden[-1:].repeat_interleave(PATHS, 1)
    made = torch.zeros(size, PATHS, horizon, d, dtype=torch.float64, device=device)
    for k in range(horizon):
        at = paths.lags + steps + k
        quantiles = network.quantiles(last, paths, scaled, np.array([steps + k]))[:, 0, 0]
        value = sample(quantiles, network.levels, draws[:, k].reshape(size * PATHS, d).float())
        scaled[:, at] = value
        made[:, :, k] = value.view(size, PATHS, d).double()
        if k + 1 < horizon:
            row = _row(network, paths, scaled, at)
            last, state = network.encoder(row[None], state)
    made = made * scale.spread[:, None] + scale.centre[:, None]
    wanted = torch.tensor(levels, dtype=torch.float64, device=device)
    return torch.quantile(made, wanted, dim=1).permute(1, 2, 3, 0).cpu().numpy()


def sample(quantiles: Tensor, levels: Tensor, draw: Tensor) -> Tensor:
    """Values at the cumulative shares `draw`, by straight lines between the quantiles, continued at both ends."""
    count = len(levels)
    upper = torch.searchsorted(levels, draw.contiguous()).clamp(1, count - 1)
    low, high = levels[upper - 1], levels[upper]
    left = quantiles.gather(-1, (upper - 1)[..., None])[..., 0]
    right = quantiles.gather(-1, upper[..., None])[..., 0]
    return left + (draw - low) / (high - low) * (right - left)


def _row(network: ForecastNetwork, batch: WindowBatch, scaled: Tensor, at: int) -> Tensor:
    """The encoder's input for one row of the horizon whose value was sampled; laid out as `network.inputs` does."""
    bounded = scaled.clamp(-20.0, 20.0)
    parts = [bounded[:, at], torch.ones_like(bounded[:, at])]
    parts += [bounded[:, at - m] for m in network.shape.seasons]
    parts += [batch.past[:, at], network.past_categories(batch.past_codes[:, at])]
    parts += [network.ahead(batch)[:, at], batch.gap[:, at]]
    return torch.cat(parts, -1)


def _repeat(state: object, times: int) -> object:
    return torch.utils._pytree.tree_map(lambda t: t.repeat_interleave(times, 0), state)


def _repeat_batch(batch: WindowBatch, times: int) -> WindowBatch:
    from dataclasses import fields, replace

    per_window = {
        f.name: getattr(batch, f.name).repeat_interleave(times, 0)
        for f in fields(batch)
        if isinstance(getattr(batch, f.name), Tensor)
    }
    return replace(batch, **per_window)
