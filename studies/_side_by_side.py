"""Many small peephole LSTMs of one shape, one a seed, trained at once as if they were one network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recurra.cells.peephole_lstm import PeepholeLSTM
from recurra.unroll import unroll


class SideBySide(nn.Module):
    """One peephole LSTM of all seeds' cells, in which the cells of different seeds see nothing of each other.

    The recurrent weights from one seed's cells to another's are 0 and get no gradient, and each seed reads its own
    cells alone; so the sum of the seeds' losses trains each as it would be trained by itself. Each seed's weights are
    drawn from its own generator: they do not depend on how many seeds there are. The squashing functions are the
    identity.

    Args:
        seeds: one network each.
        inputs, cells, outputs: of each network.
        biases: first values of the biases of the input gate, forget gate, cell and output gate.
        scale: weights are drawn uniform in +-scale,
        recurrent: but recurrent and peephole weights in +-recurrent.
        peepholes: False, for one network or for all, holds them at zero, which leaves the LSTM with forget gate.
        shortcut: whether the outputs also read the inputs directly.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        inputs: int,
        cells: int,
        outputs: int,
        biases: tuple[float, float, float, float],
        scale: float = 0.5,
        recurrent: float = 0.01,
        peepholes: bool | Sequence[bool] = True,
        shortcut: bool = False,
    ):
        super().__init__()
        count = len(seeds)
        self.shape = (count, cells)
        self.cell = PeepholeLSTM(inputs, count * cells, squash="identity", dtype=torch.float64)
        self.read = nn.Parameter(torch.zeros(count, cells, outputs, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(count, outputs, dtype=torch.float64))
        self.direct = nn.Parameter(torch.zeros(count, inputs, outputs, dtype=torch.float64), requires_grad=shortcut)
        own = torch.block_diag(*[torch.ones(cells, cells, dtype=torch.float64)] * count).repeat(4, 1)
        which = [peepholes] * count if isinstance(peepholes, bool) else list(peepholes)
        seeing = torch.tensor(which, dtype=torch.float64).repeat_interleave(cells).repeat(3)
        with torch.no_grad():
            self.cell.weight_hh.zero_()
            for index, seed in enumerate(seeds):
                generator = torch.Generator().manual_seed(seed)
                for part in self._of_seed(index):
                    part.uniform_(-scale, scale, generator=generator)
            self.cell.bias_ih.add_(torch.tensor(biases, dtype=torch.float64).repeat_interleave(count * cells))
            self.cell.weight_hh.mul_(recurrent / scale)
            self.cell.peephole.mul_(seeing * recurrent / scale)
            self.direct.mul_(float(shortcut))
        self.cell.peephole.register_hook(lambda gradient: gradient * seeing)
        self.cell.weight_hh.register_hook(lambda gradient: gradient * own)

    def _of_seed(self, index: int, gradients: bool = False) -> list[Tensor]:
        """The parts of the parameters, or of their gradients, that are one seed's network: views."""
        count, cells = self.shape
        found = []
        for parameter in self.parameters():
            tensor = parameter.grad if gradients else parameter
            if tensor is None:
                continue
            if parameter is self.read or parameter is self.bias or parameter is self.direct:
                found.append(tensor[index])
                continue
            part = tensor.unflatten(0, (-1, count, cells))[:, index]
            columns = slice(index * cells, (index + 1) * cells)
            found.append(part[..., columns] if parameter is self.cell.weight_hh else part)
        return found

    def clip_gradients(self, most: float) -> None:
        """Scale each seed's gradient down to the norm `most` where it is larger."""
        for index in range(self.shape[0]):
            parts = self._of_seed(index, gradients=True)
            norm = torch.stack([part.square().sum() for part in parts]).sum().sqrt()
            for part in parts:
                part.mul_((most / norm).clamp(max=1.0))

    def forward(self, x: Tensor) -> Tensor:
        """The outputs before any squashing, (time, batch, seed, output), from x (time, batch, input)."""
        h, _ = unroll(self.cell, x)
        return (
            torch.einsum("tbsc,sco->tbso", h.unflatten(-1, self.shape), self.read)
            + torch.einsum("tbi,sio->tbso", x, self.direct)
            + self.bias
        )
