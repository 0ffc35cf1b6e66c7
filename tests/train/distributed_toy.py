"""Trains the toy problem in several processes: `torchrun distributed_toy.py FOLDER RULE new|resume`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from toy import ToyProblem, train

from recurra.learn.rules.registry import make_rule

if __name__ == "__main__":
    folder, rule, resume = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "resume"
    rank = int(os.environ["RANK"])
    # Each process begins with other weights: those of process 0 must win.
    problem = ToyProblem(batch_size=5, dropout=0.0)
    if rank:
        for p in problem.learner.parameters():
            p.data += 1.0
    run: Any = folder / "run" if rank == 0 or resume else None
    history, problem, events = train(
        run, resume=resume, problem=problem, rule=make_rule(rule), epochs=4 if resume else 2
    )
    save_file(dict(problem.learner.state_dict()), folder / f"weights-{rank}.safetensors")
    (folder / f"events-{rank}").write_text(str(len(events)))
    (folder / f"rows-{rank}").write_text(json.dumps([row["valid_loss"] for row in history.rows]))
