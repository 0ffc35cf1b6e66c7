"""Returns and advantages against loops in numpy written from the papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurra.errors import ShapeError, UsageError
from recurra.learn.reward import discounted_returns, generalised_advantages


def drawn(steps: int, batch: int, seed: int) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    reward, value, beyond = (random.normal(size=(steps, batch)) for _ in range(3))
    terminated = random.random((steps, batch)) < 0.15
    truncated = ~terminated & (random.random((steps, batch)) < 0.15)
    return reward, value, beyond, terminated, truncated


def weighted_sum_of_returns(reward, value, next_value, end, discount, weight, at):
    """The advantage at one step as the paper defines it: (1 - l) times the sum of l^(n-1) A^(n)."""
    stop = at
    while stop < len(reward) - 1 and not end[stop]:
        stop += 1
    estimates, total = [], 0.0
    for k in range(at, stop + 1):
        total += discount ** (k - at) * reward[k]
        estimates.append(total + discount ** (k - at + 1) * next_value[k] - value[at])
    # Past the episode's end every longer estimate is the last one, so that it takes all the weight that is left.
    count = len(estimates)
    weights = [(1 - weight) * weight**n for n in range(count - 1)] + [weight ** (count - 1)]
    return sum(w * e for w, e in zip(weights, estimates, strict=True))


@pytest.mark.parametrize(
    ("steps", "batch", "discount", "weight"), [(1, 1, 0.9, 0.8), (17, 3, 0.97, 0.9), (9, 2, 1.0, 0.0)]
)
def test_advantages_are_the_weighted_sum_of_n_step_estimates(steps, batch, discount, weight):
    reward, value, beyond, terminated, truncated = drawn(steps, batch, steps)
    end = terminated | truncated
    follows = np.concatenate([value[1:], beyond[-1:]])
    next_value = np.where(terminated, 0.0, np.where(truncated, beyond, follows))
    given = [torch.from_numpy(each) for each in (reward, value, next_value, end)]
    found = generalised_advantages(*given, discount, weight)
    for copy in range(batch):
        columns = [each[:, copy] for each in (reward, value, next_value, end)]
        wanted = [weighted_sum_of_returns(*columns, discount, weight, t) for t in range(steps)]
        np.testing.assert_allclose(found[:, copy].numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_a_step_cut_off_counts_its_own_last_value_and_a_terminated_one_none():
    reward, value = torch.zeros(3, 2), torch.zeros(3, 2)
    # Copy 0 is cut off at step 1 where 5 was expected; copy 1 terminates there. Afterwards 100 is expected.
    next_value = torch.tensor([[0.0, 0.0], [5.0, 0.0], [100.0, 100.0]])
    end = torch.tensor([[False, False], [True, True], [False, False]])
    found = generalised_advantages(reward, value, next_value, end, 0.5, 1.0)
    torch.testing.assert_close(found, torch.tensor([[1.25, 0.0], [2.5, 0.0], [50.0, 50.0]]))


def test_returns_are_discounted_sums_to_the_episodes_end():
    reward, _, beyond, terminated, truncated = drawn(23, 4, 5)
    end, beyond = terminated | truncated, np.where(terminated, 0.0, beyond)
    found = discounted_returns(*(torch.from_numpy(each) for each in (reward, beyond, end)), 0.93)
    for copy in range(4):
        for t in range(23):
            total, factor = 0.0, 1.0
            for k in range(t, 23):
                total, factor = total + factor * reward[k, copy], factor * 0.93
                if end[k, copy] or k == 22:
                    total += factor * beyond[k, copy]
                    break
            assert abs(float(found[t, copy]) - total) < 1e-12


def test_no_steps_give_no_advantages():
    nothing = torch.zeros(0, 3)
    assert generalised_advantages(nothing, nothing, nothing, nothing, 0.9, 0.9).shape == (0, 3)


def test_messages():
    one = torch.zeros(2, 1)
    with pytest.raises(ShapeError, match=r"value has shape \(3, 1\).*Needed: \(2, 1\), that is \(time, batch\)"):
        generalised_advantages(one, torch.zeros(3, 1), one, one, 0.9, 0.9)
    with pytest.raises(UsageError, match="gae_lambda is 1.5. Needed: a number from 0 to 1"):
        generalised_advantages(one, one, one, one, 0.9, 1.5)
