"""Machines with an external memory against public ones in torch: the time of a training step on the copy problem.

    python benchmarks/memories.py [--peers FOLDER] [--only ntm|dnc] [--threads N] [--seconds S] [--json FILE]

A training step is the whole of it: forward, cross-entropy of the bits asked for, backward, clipping at norm 10, Adam.
Both read the same sequences of 20 vectors of 8 bits, 41 steps, in float32; sizes of the controller, of the memory and
of the batch, and the numbers of heads, are the same. Times are medians of samples in which the two take turns.

- ntm: loudinthecloud/pytorch-ntm, one read head and one write head, shifts by one. Given our weights, our first state
  and our order of heads (first writing, then reading) it computes what ours does, and this is checked, with the
  gradients, before anything is timed.
- dnc: ixaxaar/pytorch-dnc (`dnc` among packages), one controller layer. It deviates from the paper: tanh on keys and on
  what is written, strengths above 0 instead of 1, and what was read is not given to the controller at the next step. So
  the parts that both have are compared: usage, allocation, writing, links, precedence, the reading along links, and the
  addressing by content.

FOLDER holds the peers' checkouts, `pytorch-ntm` and `pytorch-dnc`; a package of that name that is installed will do as
well. One that is not there is named as not measured. Wanted: 5 times as fast (ntm) and 2 times (dnc).
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _cells_timing import take_turns
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.external.addressing import allocation, content_weights, written
from recurra.cells.external.dnc import DNC
from recurra.cells.external.dnc_step import linked
from recurra.cells.external.ntm import NTM
from recurra.problems.copying import Recall, copy_problem
from recurra.unroll import unroll

VECTORS, BITS, CLIP = 20, 8, 10.0
WANTED = {"ntm": 5.0, "dnc": 2.0}
PEERS = {"ntm": ("pytorch-ntm", "ntm", "ntm.aio"), "dnc": ("pytorch-dnc", "dnc", "dnc.dnc")}
"""Of each case the peer, its package, and the module that holds it."""

# slots, width, read heads, units of the controller, sequences
SHAPES = {
    "ntm": ((128, 20, 1, 100, 1), (128, 20, 1, 100, 16), (128, 20, 1, 100, 64)),
    "dnc": ((16, 16, 1, 64, 16), (64, 16, 4, 64, 16), (128, 20, 4, 100, 16), (64, 16, 1, 64, 64)),
}


class Copier(nn.Module):
    """Our cell and a readout."""

    def __init__(self, cell: Any, outputs: int) -> None:
        super().__init__()
        self.cell, self.read = cell, nn.Linear(cell.output_size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(unroll(self.cell, x)[0])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--peers", type=Path, metavar="FOLDER")
    options.add_argument("--only", choices=list(PEERS))
    options.add_argument("--threads", type=int, default=1, metavar="N")
    options.add_argument("--seconds", type=float, default=20.0, metavar="S", help="for each shape")
    options.add_argument("--json", type=Path, metavar="FILE")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{'case':6}{'slots x width, heads, units, batch':>36}{'ours, ms':>12}{'peer, ms':>12}{'ratio':>8}")
    rows = []
    for case in [given.only] if given.only else PEERS:
        module = find(case, given.peers)
        if module is not None:
            print(f"{case}: largest difference from {PEERS[case][0]} {CHECKS[case](module):.1e}")
        rows += [measure(case, shape, module, given.seconds) for shape in SHAPES[case]]
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


def find(case: str, folder: Path | None) -> Any:
    """The peer's module, or None."""
    peer, package, module = PEERS[case]
    if folder is not None:
        sys.path.insert(0, str(folder / peer))
    try:
        return importlib.import_module(module)
    except ImportError as error:
        print(f"{case}: {peer} not measured, as the package {package} is not there ({error}); see --peers")
        return None


def measure(case: str, shape: tuple[int, ...], module: Any, seconds: float) -> dict[str, Any]:
    """One row: the training steps of both, in turns."""
    slots, width, heads, units, batch = shape
    told = copy_problem([VECTORS] * batch, BITS, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    kind: Any = {"ntm": NTM, "dnc": DNC}[case]
    cell = kind(BITS + 1, units, slots=slots, width=width, read_heads=heads)
    # The peer's computer gives as many numbers as it reads; so does ours here.
    outputs = BITS if case == "ntm" else BITS + 1
    calls: dict[str, Callable[[], Any]] = {"ours": training_step(Copier(cell, outputs), told)}
    if module is not None:
        calls["peer"] = training_step(PEER_NETWORKS[case](module, shape), told)
    times = take_turns(calls, 200, seconds)
    theirs = times.get("peer")
    ratio = None if theirs is None else theirs / times["ours"]
    said = f"{slots}x{width}, {heads}, {units}, {batch}"
    ends = f"{'-':>12}{'-':>8}" if theirs is None else f"{theirs:12.1f}{ratio:8.2f}"
    print(f"{case:6}{said:>36}{times['ours']:12.1f}{ends}", flush=True)
    row = {"case": f"{case}, training step", "shape": list(shape), "ours_ms": times["ours"], "peer": PEERS[case][0]}
    return row | {"peer_ms": theirs, "ratio": ratio, "wanted": WANTED[case]}


def training_step(network: nn.Module, told: Recall) -> Callable[[], None]:
    """Forward, loss, backward, clipping and Adam."""
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    asked = told.asked.unsqueeze(-1).float()
    count = asked.sum() * BITS

    def step() -> None:
        optimiser.zero_grad()
        logits = network(told.x)[..., :BITS]
        loss = (F.binary_cross_entropy_with_logits(logits, told.targets, reduction="none") * asked).sum() / count
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()

    return step


class PeerNTM(nn.Module):
    """The peer's machine, run along time; it gives logits, without its last sigmoid."""

    def __init__(self, module: Any, shape: tuple[int, ...]) -> None:
        super().__init__()
        slots, width, heads, units, _ = shape
        self.machine = module.EncapsulatedNTM(BITS + 1, BITS, units, 1, heads, slots, width)

    def forward(self, x: Tensor) -> Tensor:
        self.machine.init_sequence(x.shape[1])
        return torch.logit(torch.stack([self.machine(row)[0] for row in x]), 1e-6)


class PeerDNC(nn.Module):
    """The peer's computer."""

    def __init__(self, module: Any, shape: tuple[int, ...]) -> None:
        super().__init__()
        slots, width, heads, units, _ = shape
        self.computer = module.DNC(
            BITS + 1, units, num_hidden_layers=1, nr_cells=slots, cell_size=width, read_heads=heads
        )

    def forward(self, x: Tensor) -> Tensor:
        # It takes sequences first and gives steps first.
        return self.computer(x.transpose(0, 1), None)[0]


def check_ntm(module: Any) -> float:
    """The largest difference of outputs and weights' gradients from the peer's, given our weights and our first state.

    The gradients are those of a random weighting of all outputs, and count relative to the largest number of each.
    """
    slots, width, units, batch, steps = 12, 5, 7, 3, 6
    torch.manual_seed(1)
    cell = NTM(BITS + 1, units, slots=slots, width=width, memory_start=0.1, eps=1e-12)
    peer = module.EncapsulatedNTM(BITS + 1, BITS, units, 1, 1, slots, width)
    reader, writer = peer.ntm.heads
    peer.ntm.heads = nn.ModuleList([writer, reader])
    ours, theirs = dict(cell.heads.map.named_parameters()), {"writer": writer.fc_write, "reader": reader.fc_read}
    rows = {name: rows_of_head(cell, number) for number, name in enumerate(theirs)}
    controller = dict(cell.controller.named_parameters())
    pairs = [(controller[name], getattr(peer.ntm.controller.lstm, f"{name}_l0"), None) for name in controller]
    pairs += [(ours[kind], getattr(theirs[name], kind), rows[name]) for name in theirs for kind in ours]
    readout = Copier(cell, BITS)
    pairs += [(readout.read.weight, peer.ntm.fc.weight, None), (readout.read.bias, peer.ntm.fc.bias, None)]
    with torch.no_grad():
        for our, their, places in pairs:
            their.copy_(our if places is None else our[places])
        peer.memory.mem_bias.fill_(cell.memory_start)
    x, weighting = torch.randn(steps, batch, BITS + 1), torch.randn(steps, batch, BITS)
    start = cell.initial_state(batch)
    peer.init_sequence(batch)
    first = torch.eye(slots)[:1].repeat(batch, 1)
    peer.previous_state = ([start.reads[:, 0]], (start.controller.h[None], start.controller.c[None]), [first, first])
    found, wanted = torch.sigmoid(readout(x)), torch.stack([peer(row)[0] for row in x])
    (found * weighting).sum().backward()
    (wanted * weighting).sum().backward()
    worst = float((found - wanted).detach().abs().max())
    for our, their, places in pairs:
        gradient = our.grad if places is None else our.grad[places]
        worst = max(worst, float((gradient - their.grad).abs().max() / their.grad.abs().max()))
    return agree(worst, 1e-3)


def rows_of_head(cell: NTM, number: int) -> Tensor:
    """Where the peer's rows of a head, the writer 0 or the reader 1, stand among ours."""
    span = 2 * cell.max_shift + 1
    sizes = {"key": cell.width, "strength": 1, "gate": 1, "shift": span, "power": 1}
    rows = [torch.arange(size) + cell.heads.block(name).start + number * size for name, size in sizes.items()]
    if number == 0:
        rows += [torch.arange(cell.width) + cell.heads.block(name).start for name in ("erase", "add")]
    rows[3] = rows[3].flip(0)  # the peer's first shift is the one forwards
    return torch.cat(rows)


def check_dnc(module: Any) -> float:
    """The largest difference of what both computers have in common, on random states."""
    slots, width, heads, batch = 9, 5, 2, 3
    torch.manual_seed(1)
    memory = sys.modules["dnc.memory"].Memory(7, slots, width, heads)
    held, write_weights = torch.randn(batch, slots, width), torch.rand(batch, slots) / slots
    usage, reading = torch.rand(batch, slots), torch.rand(batch, heads, slots) / slots
    free, erase, add = torch.rand(batch, heads), torch.rand(batch, width), torch.randn(batch, width)
    keys, strengths = torch.randn(batch, heads, width), 3 * torch.rand(batch, heads)
    off = 1.0 - torch.eye(slots)
    link, precedence = torch.rand(batch, slots, slots) * off / slots, torch.rand(batch, slots) / slots
    kept = (1.0 - free.unsqueeze(-1) * reading).prod(-2)
    pairs = [
        (
            (usage + write_weights - usage * write_weights) * kept,
            memory.get_usage_vector(usage, free, reading, write_weights.unsqueeze(1)),
        ),
        (allocation(usage), memory.allocate(usage, torch.ones(batch, 1))[0].squeeze(1)),
        (content_weights(held, keys, strengths, 1e-6), memory.content_weightings(held, keys, strengths)),
        (
            written(held, write_weights.unsqueeze(1), erase.unsqueeze(1), add.unsqueeze(1)),
            held * (1 - write_weights.unsqueeze(-1) * erase.unsqueeze(1)) + write_weights.unsqueeze(-1) * add[:, None],
        ),
    ]
    after, later = linked(link, precedence, write_weights)
    given = (write_weights.unsqueeze(1), precedence.unsqueeze(1))
    pairs += [
        (after, memory.get_link_matrix(link.unsqueeze(1), *given).squeeze(1)),
        (later, memory.update_precedence(given[1], given[0]).squeeze(1)),
    ]
    forward, backward = memory.directional_weightings(after.unsqueeze(1), reading)
    pairs += [(reading @ after.mT, forward.squeeze(2)), (reading @ after, backward.squeeze(2))]
    return agree(max(float((our - their).abs().max()) for our, their in pairs), 1e-4)


def agree(worst: float, most: float) -> float:
    """The difference, unless it is too large for anything to be measured."""
    if not worst < most:
        sys.exit(f"The two do not agree, they differ by {worst:.1e}: nothing was measured.")
    return worst


PEER_NETWORKS: dict[str, Callable[[Any, tuple[int, ...]], nn.Module]] = {"ntm": PeerNTM, "dnc": PeerDNC}
CHECKS: dict[str, Callable[[Any], float]] = {"ntm": check_ntm, "dnc": check_dnc}


if __name__ == "__main__":
    main()
