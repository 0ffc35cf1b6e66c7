"""`fit` with gradient rules: its steps are those of the written-out equations, whatever form the data have."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import pytest
import torch
from fit_parts import QUIET, SGD, data, network
from torch import Tensor, nn

from recurra.cells import Elman
from recurra.errors import UsageError
from recurra.learn import (
    BPTT,
    GA,
    MSE,
    RTRL,
    TBPTT,
    CrossEntropy,
    FitProgress,
    MaxGenerations,
    MinMSE,
    Network,
    SequenceBatch,
    fit,
)
from recurra.learn.fitting.progress import Display
from recurra.nn import GRU, Recurrent
from recurra.problems.adding import adding_problem
from recurra.problems.counting import counting_strings

pytestmark = pytest.mark.usefixtures("double")


def weights(net: nn.Module) -> list[np.ndarray]:
    return [weight.detach().numpy().copy() for weight in net.parameters()]


class Written:
    """An Elman network with a linear read-out, h = tanh(W x + U h + b + c), y = V h + e, in numpy."""

    def __init__(self, net: Network):
        self.w = weights(net)  # W, U, b, c, V, e

    def step(self, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w_in, u, b, c, v, e = self.w
        h = np.tanh(x @ w_in.T + h @ u.T + b + c)
        return h, h @ v.T + e

    def gradient(self, x: np.ndarray, d: np.ndarray) -> list[np.ndarray]:
        """Back-propagation through time of the mean squared error over the signals that are there."""
        w_in, u, _, _, v, _ = self.w
        hs, errors = [np.zeros((x.shape[1], u.shape[0]))], []
        count = (~np.isnan(d)).sum()
        for t in range(len(x)):
            h, y = self.step(x[t], hs[-1])
            hs.append(h)
            errors.append(np.where(np.isnan(d[t]), 0.0, 2 * (y - d[t]) / count))
        parts = [np.zeros_like(w) for w in self.w]
        back = np.zeros_like(hs[0])
        for t in reversed(range(len(x))):
            delta = (errors[t] @ v + back) * (1 - hs[t + 1] ** 2)
            for place, part in enumerate(
                (delta.T @ x[t], delta.T @ hs[t], delta.sum(0), delta.sum(0), errors[t].T @ hs[t + 1], errors[t].sum(0))
            ):
                parts[place] += part
            back = delta @ u
        return parts


@pytest.mark.parametrize("rule", [BPTT(), RTRL(), TBPTT(7)])
def test_steps_are_those_of_the_written_out_gradient(rule: Any) -> None:
    net, (x, d) = network(), data()
    d[2, 1], d[4, :, 0] = float("nan"), float("nan")
    written = Written(net)
    fit(net, (x, d), MSE(), rule, steps=3, optimiser=SGD, clip=None, **QUIET)
    for _ in range(3):
        written.w = [w - 0.1 * g for w, g in zip(written.w, written.gradient(x.numpy(), d.numpy()), strict=True)]
    for ours, theirs in zip(weights(net), written.w, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_learning_at_every_step_is_williams_and_zipsers() -> None:
    """window=1: the weights change at each step, and the influence of the changed weights is carried on."""
    net, (x, d) = network(), data(steps=6, size=1)
    w = [part.copy() for part in Written(net).w]
    fit(net, (x, d), MSE(), RTRL(), epochs=1, window=1, optimiser=SGD, clip=None, **QUIET)
    n, h = 3, np.zeros(3)
    sizes = [part.size for part in w[:4]]
    influence = np.zeros((n, sum(sizes)))
    for t in range(6):
        w_in, u, b, c, v, e = w
        before, h = h, np.tanh(w_in @ x[t, 0].numpy() + u @ h + b + c)
        slope = 1 - h**2
        eye = np.eye(n)
        at_once = np.concatenate(
            [np.kron(eye, x[t, 0].numpy()), np.kron(eye, before), eye, eye], 1
        )  # rows of the weights one after the other
        influence = slope[:, None] * (u @ influence + at_once)
        error = 2 * (v @ h + e - d[t, 0].numpy()) / 2
        inner = np.split(error @ v @ influence, np.cumsum(sizes)[:-1])
        w = [part - 0.1 * g.reshape(part.shape) for part, g in zip(w[:4], inner, strict=True)]
        w += [v - 0.1 * np.outer(error, h), e - 0.1 * error]
    for ours, theirs in zip(weights(net), w, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_list_of_sequences_is_as_their_padded_batch() -> None:
    lengths = [4, 7, 2]
    pairs = [(torch.randn(n, 2), torch.randn(n, 2)) for n in lengths]
    x, y = torch.full((7, 3, 2), 9.0), torch.full((7, 3, 2), 9.0)
    for place, (one, other) in enumerate(pairs):
        x[: len(one), place], y[: len(one), place] = one, other
    found = []
    for given in (pairs, ([a for a, _ in pairs], [b for _, b in pairs]), (x, y, lengths)):
        torch.manual_seed(3)
        found.append(fit(network(), given, MSE(), steps=4, **QUIET).losses)
    assert found[0] == found[1] == pytest.approx(found[2], rel=1e-12)


def test_one_target_a_sequence_and_classes() -> None:
    pairs = [(torch.randn(n, 2), torch.tensor(n % 2)) for n in (3, 5, 4)]
    found = fit(network(outputs=2), pairs, CrossEntropy("end"), steps=60, learning_rate=0.05, **QUIET)
    assert found.losses[-1] < 0.1 * found.losses[0]
    numbers = [(torch.randn(n, 2), torch.tensor([0.5])) for n in (3, 5, 4)]
    assert fit(network(outputs=1), numbers, MSE("end"), steps=60, **QUIET).losses[-1] < 0.1


def test_fresh_batches_of_a_problem() -> None:
    made = functools.partial(adding_problem, 8, 6)
    runs = []
    for _ in range(2):
        torch.manual_seed(1)
        runs.append(fit(network(4, 1), made, MSE("end"), steps=5, seed=7, **QUIET))
    assert runs[0].losses == runs[1].losses and runs[0].epochs is None
    assert len(set(runs[0].losses)) == 5
    strings = fit(network(4, 3, 3), lambda: counting_strings([1, 2]), MSE(), steps=3, **QUIET)
    assert strings.stopped_because == "3 steps"


def test_batches_that_come_by_and_shuffling() -> None:
    x, y = data(size=6)
    batches = [(x[:, :2], y[:, :2]), SequenceBatch(x[:, 2:], y[:, 2:])]
    found = fit(network(), batches, MSE(), epochs=2, **QUIET)
    assert (found.steps, found.epochs, found.stopped_because) == (4, 2, "2 epochs")
    seen: list[list[float]] = []

    class Watch(MSE):
        def _losses(self, output: Tensor, signal: Tensor) -> Tensor:
            seen.append(signal[0, :, 0].tolist())
            return super()._losses(output, signal)

    fit(network(), (x, y), Watch(), epochs=2, batch_size=4, seed=5, **QUIET)
    assert [len(part) for part in seen] == [4, 2, 4, 2]
    assert sorted(seen[0] + seen[1]) == sorted(seen[2] + seen[3]) == sorted(y[0, :, 0].tolist())
    assert seen[0] != seen[2] and seen[0] + seen[1] != y[0, :, 0].tolist()


def test_the_weights_with_the_lowest_validation_loss_are_kept() -> None:
    net, (x, y) = network(), data(size=3)
    other = data(size=4)
    found = fit(net, (x, y), MSE(), epochs=300, valid=other, patience=4, learning_rate=0.03, **QUIET)
    assert found.stopped_because == "no lower validation loss for 4 evaluations"
    steps, losses = zip(*found.validation, strict=True)
    assert found.best_loss == min(losses) == losses[-5] and found.best_step == steps[-5]
    output, _ = net(other[0])
    assert float((output - other[1]).detach().square().mean()) == pytest.approx(found.best_loss, rel=1e-12)


def test_a_criterion_stops_and_progress_is_told() -> None:
    told: list[FitProgress] = []
    x, y = torch.randn(5, 4, 2), torch.zeros(5, 4, 2)
    stop = MinMSE(1e-2) | MaxGenerations(500)
    found = fit(network(), (x, y), MSE(), stop=stop, epochs=600, learning_rate=0.05, progress=told.append)
    assert found.stopped_because.startswith("the mean squared error is") and found.steps < 500
    assert [each.step for each in told] == list(range(1, found.steps + 1))
    assert [each.loss for each in told] == found.losses and told[-1].epoch == found.epochs


def test_dropout_and_shuffling_leave_torchs_own_numbers_alone() -> None:
    net = Network(Recurrent("gru", 2, 3, 2, dropout=0.5, dtype=torch.float64), outputs=2)
    net.eval()
    given, state = data(), torch.get_rng_state()
    fit(net, given, MSE(), steps=2, batch_size=2, **QUIET)
    assert torch.equal(state, torch.get_rng_state()) and not net.training
    assert all(weight.grad is None for weight in net.parameters())


def test_networks_of_many_kinds() -> None:
    x, y = data(outputs=3)
    nets = [
        Elman(2, 3),
        GRU(2, 3, batch_first=True),
        nn.GRU(2, 3),
        nn.Sequential(nn.Linear(2, 4), nn.LSTM(4, 5, batch_first=True), GRU(5, 3)),
        Network(nn.Linear(2, 2), Recurrent("lstm", 2, 4, 2), nn.Tanh(), nn.Linear(4, 3)),
    ]
    for net in nets:
        before = weights(net)
        assert fit(net, (x, y), MSE(), steps=2, **QUIET).network is net
        assert any((a != b).any() for a, b in zip(before, weights(net), strict=True))


def test_a_layer_reads_time_first_however_it_was_built() -> None:
    x, y = data(outputs=3)
    losses = []
    for first in (False, True):
        torch.manual_seed(0)
        losses.append(fit(GRU(2, 3, batch_first=first), (x, y), MSE(), steps=3, **QUIET).losses)
    torch.manual_seed(0)
    losses.append(fit(nn.GRU(2, 3, batch_first=True), (x, y), MSE(), steps=3, **QUIET).losses)
    assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-10)


def test_a_learner_with_a_loss_of_its_own() -> None:
    class Batch:
        steps, size = 4, 2

        def to(self, device: Any) -> Any:
            return self

    class Learner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor(2.0))

        def forward(self, batch: Any, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
            return (stop - start) / batch.steps * self.w**2, None

    learner = Learner()
    found = fit(learner, Batch(), steps=200, rule=TBPTT(2), learning_rate=0.05, **QUIET)
    assert found.losses[0] == 4.0 and abs(learner.w.item()) < 1e-2


def test_any_optimiser() -> None:
    x, y = data()
    for made in (torch.optim.RMSprop, lambda w: torch.optim.LBFGS(w, line_search_fn="strong_wolfe")):
        found = fit(network(), (x, y), MSE(), steps=5, optimiser=made, **QUIET)
        assert found.losses[-1] < found.losses[0]
    net = network()
    own = torch.optim.SGD(net.parameters(), lr=0.0)
    before = weights(net)
    fit(net, (x, y), MSE(), steps=2, optimiser=own, **QUIET)
    assert all((a == b).all() for a, b in zip(before, weights(net), strict=True))


def test_clipping_bounds_the_step() -> None:
    net, (x, y) = network(), data()
    before = np.concatenate([part.ravel() for part in weights(net)])
    fit(net, (x, 100 * y), MSE(), steps=1, optimiser=SGD, clip=0.5, **QUIET)
    after = np.concatenate([part.ravel() for part in weights(net)])
    assert np.linalg.norm(after - before) == pytest.approx(0.1 * 0.5, rel=1e-6)


def test_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    fit(network(), data(), MSE(), steps=3)
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert shown.err.startswith("step 3/3, epoch 3, loss ") and shown.err.endswith(": ended by 3 steps\n")

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    out, times = Screen(), iter(range(100))
    display = Display(out, clock=lambda: next(times))
    for step in (9, 10):
        display(FitProgress(step, None, 0.5, None, 0.4, 0.6, step, None, 1.0))
    display.close(None)
    assert out.getvalue().count("\r") == 3 and out.getvalue().endswith("validation 0.6, 1.0 s\n")


def test_the_plot() -> None:
    found = fit(network(), data(), MSE(), epochs=4, valid=data(), **QUIET)
    axes = found.plot()
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert list(lines["training"]) == found.losses and list(lines["validation"]) == [v for _, v in found.validation]
    assert found.plot(axes) is axes and axes.get_title() == "BPTT()"


class WithReward:
    """What an objective is that trains by itself."""

    def fit_reward(self, net: Any, environment: Any, *, rule: Any = None, steps: int = 9, seed: int = 0, goal: Any = 0,
                   optimizer: Any = None, stop: Any = None, progress: Any = None) -> Any:  # fmt: skip
        return net, environment, rule, steps, seed, goal, optimizer, stop, progress


def test_an_objective_that_trains_by_itself_is_told_what_was_said() -> None:
    net, rule = Elman(2, 3), TBPTT(64)
    found = fit(net, "pole", WithReward(), rule=rule, steps=5, seed=1, goal=7, optimiser=SGD, progress=False)
    assert found == (net, "pole", rule, 5, 1, 7, SGD, None, False)
    assert fit(net, "pole", WithReward())[2:] == (None, 9, 0, 0, None, None, True)
    stop = MaxGenerations(3)
    plan, told = fit(net, "pole", WithReward(), rule=GA(stop=stop, population=4))[2:8:5]
    assert told is stop and plan(7).dimension == 7 and plan(7).population == 4
    with pytest.raises(UsageError, match="'epochs' is no option of WithReward.*steps"):
        fit(net, "pole", WithReward(), epochs=3)
    with pytest.raises(UsageError, match="fitness is '1/mse'"):
        fit(net, "pole", WithReward(), rule=GA(fitness="1/mse"))


def test_the_plot_of_a_rule_beside_the_true_gradient() -> None:
    from recurra.learn import UORO, check_rule
    from recurra.learn.objectives import ObjectiveLearner

    batches = [SequenceBatch(*data(steps=3)) for _ in range(4)]
    learner = ObjectiveLearner(network(), MSE())
    for rule, repeats in ((UORO(), 3), (RTRL(), 1)):
        check = check_rule(rule, learner, batches, repeats)
        axes = check.plot()
        for place, name in zip(axes, ("cosine", "bias", "variance"), strict=True):
            drawn = next(line for line in place.get_lines() if line.get_label() == "each window")
            wanted = [getattr(row, name) for row in check.windows]
            np.testing.assert_allclose(drawn.get_ydata(), wanted, atol=1e-12)
            assert place.get_ylabel() == name
        assert check.plot(axes)[0] is axes[0]
    with pytest.raises(UsageError, match="there are 2 axes"):
        check.plot(axes[:2])
