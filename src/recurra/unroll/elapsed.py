"""The time between the steps that are read."""

from __future__ import annotations

import torch
from torch import Tensor


def elapsed_times(
    dt: Tensor, read: Tensor | None, reset: Tensor | None, lengths: Tensor | None, reverse: bool
) -> Tensor:
    """The time since the step that was read before, at every step that is read.

    `dt[t]` is the time from step t - 1 to step t. The time of steps that are left out is added to that of the next step
    read. Read from the end, the time between steps t + 1 and t is dt[t + 1], and the first step read takes dt[0], the
    time that stood before the sequence. A reset forgets the time of steps left out before it.

    Args:
        dt: (time, batch).
        read: False at steps left out, (time, batch), or None where all are read.
        reset: True where a sequence begins anew, (time, batch), or None.
        lengths: of the sequences, (batch,), or None where all are full.
        reverse: whether the sequences are read from the end.
    """
    steps = dt.shape[0]
    if steps == 0:
        return dt
    places = torch.arange(steps, device=dt.device).unsqueeze(1)
    if reverse:
        last = steps - 1 if lengths is None else lengths - 1
        dt = torch.where(places == last, dt[:1], torch.cat([dt[1:], dt[:1]]))
    if lengths is not None:
        # What stands in the padding is nobody's time.
        dt = torch.where(places < lengths, dt, torch.zeros_like(dt))
    if read is None:
        return dt
    none = torch.zeros_like(dt[0])
    times, waiting = [none] * steps, none
    for t in reversed(range(steps)) if reverse else range(steps):
        if reset is not None:
            waiting = torch.where(reset[t], none, waiting)
        times[t] = dt[t] + waiting
        waiting = torch.where(read[t], none, times[t])
    return torch.stack(times)
