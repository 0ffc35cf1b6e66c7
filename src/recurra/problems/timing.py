"""Problems of precise timing: saying which of two delays lay between spikes, and spiking at even times."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.errors import UsageError


def spike_delays(
    delay: int, spikes: int, batch: int, extra: int = 1, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Measuring spike delays: streams of spikes, each `delay` to `delay + extra` steps after the one before.

    Equations:
        spike n stands at step T(n) = T(n - 1) + F + I(n), T(0) = 0, where F = delay and I(n) is drawn evenly from
        {0, ..., extra}; x is 1 there and 0 elsewhere. Step T(n) is asked for I(n); no other step is asked for anything.
        Step 0, at which a stream begins, is not part of it: x_0 here is what stands at step 1.

    Args:
        delay: the shortest number of steps from spike to spike, F.
        spikes: how many each stream has.
        batch: number of streams.
        extra: the largest further delay; with 1 the two delays are one step apart.
        generator: of random numbers; torch's own when absent.

    Shapes:
        x (time, batch, 1) with time = spikes * (delay + extra), float32; asked (time, batch), booleans, the steps with
        a target, which are the spikes; target (time, batch), I(n) at the spikes and 0 elsewhere.

    Raises:
        UsageError: a number is out of range.

    Reference:
        F. A. Gers, N. N. Schraudolph, J. Schmidhuber. Learning precise timing with LSTM recurrent networks. Journal of
        Machine Learning Research 3 (2002) 115-143.

    Example:
        >>> x, asked, target = spike_delays(3, 2, 1, generator=torch.Generator().manual_seed(1))
        >>> x.flatten().tolist(), target.flatten().tolist()
        ([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    """
    if delay < 1 or spikes < 1 or batch < 0 or extra < 0:
        raise UsageError(
            f"delay is {delay}, spikes is {spikes}, batch is {batch}, extra is {extra}",
            where="spike_delays",
            need="1 or more of delay and spikes, 0 or more of the others",
        )
    more = torch.randint(0, extra + 1, (spikes, batch), generator=generator)
    at = (more + delay).cumsum(0) - 1
    still = torch.zeros(spikes * (delay + extra), batch)
    x = still.scatter(0, at, 1.0)
    return x.unsqueeze(-1), x > 0.5, still.scatter(0, at, more.float())


def timed_spikes(period: int, spikes: int) -> tuple[Tensor, Tensor]:
    """Generating timed spikes: without any input, spike every `period` steps.

    Equations:
        x_t = 0; target_t = 1 at the steps period - 1, 2 period - 1, ..., counted from 0, and 0 at all others.

    Args:
        period: steps from spike to spike.
        spikes: how many there are.

    Shapes:
        x and target (spikes * period, 1, 1), float32.

    Raises:
        UsageError: period or spikes is below 1.

    Reference:
        F. A. Gers, N. N. Schraudolph, J. Schmidhuber. Learning precise timing with LSTM recurrent networks. Journal of
        Machine Learning Research 3 (2002) 115-143.

    Example:
        >>> timed_spikes(3, 2)[1].flatten().tolist()
        [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    """
    if period < 1 or spikes < 1:
        raise UsageError(f"period is {period}, spikes is {spikes}", where="timed_spikes", need="1 or more of each")
    target = torch.zeros(spikes * period, 1, 1)
    target[period - 1 :: period] = 1.0
    return torch.zeros_like(target), target
