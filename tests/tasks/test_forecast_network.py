"""The forecasting network against its equations, written out with numpy in float64 from the weights."""

import numpy as np
import pytest
import torch

import recurra
from recurra.tasks.forecast.windows import Plan, cut


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(2)
    data = [10 * i + np.sin(np.arange(90) * 2 * np.pi / 6) * i + rng.normal(size=90) * 0.1 for i in (1, 2, 3)]
    return recurra.Forecaster(horizon=4, season=6, context=12, hidden_size=5, epochs=1, cell="elman").fit(data)


def _relu(x):
    return np.maximum(x, 0)


def _softplus(x):
    return np.log1p(np.exp(x))


def test_quantiles_follow_from_the_equations(fitted):
    network, panel = fitted.network_, fitted._task.panel
    shape, horizon, m = network.shape, 4, 6
    weights = {name: tensor.detach().double().numpy() for name, tensor in network.state_dict().items()}
    value, start, origin = panel.value.numpy()[:, 0], int(panel.start[1]), 50

    y = value[start : start + origin]
    window = y[-12:]
    spread = np.mean(np.abs(window - y[-18:-6])) + 0.05 * np.std(window)
    z = (y - np.mean(window)) / spread

    hidden = np.zeros(5)
    for t in range(origin - 12, origin):
        x = np.array([z[t], 1.0, z[t - m]])
        hidden = np.tanh(
            weights["encoder.cells.0.weight_ih"] @ x
            + weights["encoder.cells.0.bias_ih"]
            + weights["encoder.cells.0.weight_hh"] @ hidden
            + weights["encoder.cells.0.bias_hh"]
        )
    turns = (2 * m + 12 - horizon) // m
    anchors = np.array(
        [
            [
                z[-1],
                z[origin + k - m],
                z[origin + k - 2 * m],
                np.mean([z[origin + k - m - i * m] for i in range(turns)]),
            ]
            for k in range(horizon)
        ]
    )
    typical = np.mean(np.abs(np.diff(z[-12:])))
    disagreement = np.mean(np.abs(anchors - anchors[:, :1]), 0)
    context = weights["context.weight"] @ np.concatenate([hidden, [typical], disagreement]) + weights["context.bias"]
    expected = np.zeros((horizon, 3))
    for k in range(horizon):
        features = np.concatenate([context, weights["step.weight"][k], [k / (horizon - 1)], anchors[k]])
        first = _relu(weights["head.0.weight"] @ features + weights["head.0.bias"])
        second = _relu(weights["head.2.weight"] @ first + weights["head.2.bias"])
        raw = weights["out.weight"] @ second + weights["out.bias"]
        mix = np.exp(raw[:4]) / np.exp(raw[:4]).sum()
        median = mix @ anchors[k] + raw[5]
        expected[k] = [median - _softplus(raw[4] - 1), median, median + _softplus(raw[6] - 1)]
    expected = expected * spread + np.mean(window)

    plan = Plan(np.array([1]), np.array([origin]), np.array([12]))
    batch = cut(panel, plan, lags=shape.lags, steps=12, horizon=horizon)
    with torch.no_grad():
        network.eval()
        inputs, scale, scaled = network.inputs(batch)
        made = network.quantiles(network.encoder(inputs)[0][-1:], batch, scaled, batch.forks)[0, 0, :, 0].double()
    made = (made * scale.spread[0] + scale.centre[0]).numpy()
    np.testing.assert_allclose(made, expected, rtol=1e-5)


def test_the_loss_is_the_mean_pinball_loss_of_what_was_seen(fitted):
    network, panel = fitted.network_, fitted._task.panel
    plan = Plan(np.array([0, 2]), np.array([70, 60]), np.array([11, 14]))
    batch = cut(panel, plan, lags=network.shape.lags, steps=15, horizon=4, limit=np.array([68, 90, 90]))
    with torch.no_grad():
        network.eval()
        loss, _ = network(batch, 0, 15, None)
        inputs, _, scaled = network.inputs(batch)
        hidden, _ = network.encoder(inputs)
        made = network.quantiles(hidden[batch.forks - 1], batch, scaled, batch.forks).double().numpy()
    levels, total, count = np.array([0.1, 0.5, 0.9]), 0.0, 0
    for b in range(2):
        for f, fork in enumerate((11, 14)):
            for k in range(4):
                row = network.shape.lags + fork + k
                if not batch.seen[b, row, 0]:
                    continue
                error = float(scaled[b, row, 0]) - made[b, f, k, 0]
                total += np.maximum(levels * error, (levels - 1) * error).sum()
                count += 3
    assert count < 2 * 2 * 4 * 3
    assert float(loss) == pytest.approx(total / count, rel=1e-5)
