"""Spike delays and timed spikes, read back from the streams by a plain loop."""

from __future__ import annotations

import pytest
import torch

from recurra.errors import UsageError
from recurra.problems.timing import spike_delays, timed_spikes


@pytest.mark.parametrize(("delay", "extra"), [(1, 0), (3, 1), (49, 1), (10, 5)])
def test_each_spike_is_asked_for_the_delay_before_it(delay: int, extra: int) -> None:
    x, asked, target = spike_delays(delay, 6, 20, extra, torch.Generator().manual_seed(3))
    assert x.shape == (6 * (delay + extra), 20, 1) and asked.shape == target.shape == x.shape[:2]
    seen = set()
    for column in range(20):
        at = [t + 1 for t, value in enumerate(x[:, column, 0].tolist()) if value == 1.0]
        assert len(at) == 6 and float(x[:, column].sum()) == 6.0
        delays = [now - before - delay for before, now in zip([0, *at], at, strict=False)]
        assert asked[:, column].nonzero().flatten().tolist() == [t - 1 for t in at]
        assert target[:, column][asked[:, column]].tolist() == delays
        assert not target[:, column][~asked[:, column]].any()
        seen.update(delays)
    assert seen == set(range(extra + 1))


def test_spikes_at_even_times() -> None:
    x, target = timed_spikes(50, 3)
    assert x.shape == (150, 1, 1) and not x.any()
    assert target.flatten().nonzero().flatten().tolist() == [49, 99, 149]


def test_bad_arguments() -> None:
    with pytest.raises(UsageError, match="delay is 0.*1 or more of delay and spikes"):
        spike_delays(0, 3, 2)
    with pytest.raises(UsageError, match="period is 5, spikes is 0.*1 or more of each"):
        timed_spikes(5, 0)
