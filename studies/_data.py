"""What all studies share: finding data sets, the command line, and the table and rows of claims.

A study says `from _data import ...`: a script's own folder is on the path.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Claim:
    """One published figure beside the one reached.

    Attributes:
        claim: what is claimed, in words.
        published: the published figure, with whose it is.
        wanted: the figure this study asks of itself, as text ("<= 11.5"); "report" where none is asked.
        reached: the figure reached.
        holds: whether `reached` is as wanted; None where nothing was asked, or a quick run may not claim it.
    """

    claim: str
    published: str
    wanted: str
    reached: float
    holds: bool | None


def parser(text: str, seeds: int) -> argparse.ArgumentParser:
    """The options that every study takes."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="a small honest version in under a minute; claims nothing")
    made.add_argument("--seeds", type=int, default=seeds, metavar="N", help=f"number of seeds (default {seeds})")
    made.add_argument("--data", type=Path, metavar="DIR", help="folder of the data sets (or the data set's own folder)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the rows of claims here")
    return made


def find_data(name: str, given: Path | None, origin: str) -> Path:
    """The folder of a data set.

    Looked for in `given` (--data), else in the environment variable RECURRA_DATA, else in ../shared/data beside the
    repository: as a folder NAME, as the files themselves where `given` is named NAME, or as an archive NAME.tar.xz,
    which is unpacked once into the user's cache.

    Args:
        name: of the data set.
        given: the folder from the command line.
        origin: where the data come from, for the message when they are absent.

    Exits with a message that names the places looked at and the origin, when it is nowhere.
    """
    repository = Path(__file__).resolve().parent.parent
    asked = given or (Path(os.environ["RECURRA_DATA"]) if os.environ.get("RECURRA_DATA") else None)
    place = asked or repository.parent / "shared" / "data"
    if (place / name).is_dir():
        return place / name
    if place.name == name and place.is_dir():
        return place
    archive = place if place.name == f"{name}.tar.xz" else place / f"{name}.tar.xz"
    if archive.is_file():
        return _unpack(archive, name)
    sys.exit(
        f"The data set {name!r} was not found: there is neither {place / name}/ nor {archive}.\n"
        f"It comes from: {origin}.\n"
        "Say where it is with --data DIR or the environment variable RECURRA_DATA."
    )


def _unpack(archive: Path, name: str) -> Path:
    """Unpack beside the final place and rename, so that an interrupted unpacking leaves nothing that looks whole."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recurra" / "studies"
    facts = archive.stat()
    target = base / f"{name}-{facts.st_size}-{int(facts.st_mtime)}"
    if not target.is_dir():
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base, prefix=f".{name}-") as aside:
            with tarfile.open(archive, "r:xz") as tar:
                tar.extractall(aside, filter="data")
            inner = Path(aside) / "content"
            found = Path(aside) / name
            if not found.is_dir():
                sys.exit(f"The archive {archive} holds no folder {name!r}: get it again.")
            found.rename(inner)
            try:
                inner.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was quicker
                    raise
    return target


def threads(count: int = 2) -> None:
    """Bound torch's threads, so that times are for at most `count` cores."""
    import torch

    torch.set_num_threads(min(count, os.cpu_count() or 1))


def holds(reached: float, wanted: str) -> bool:
    """Whether a figure is as wanted: ">= 0.975", "<= 11.5", or "77 to 83".

    >>> holds(0.98, ">= 0.975"), holds(12.0, "<= 11.5"), holds(80.0, "77 to 83")
    (True, False, True)
    """
    if " to " in wanted:
        low, high = (float(part) for part in wanted.split(" to "))
        return low <= reached <= high
    tests: dict[str, Callable[[float, float], bool]] = {">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b}
    sign, number = wanted.split()
    return tests[sign](reached, float(number))


def claim(text: str, published: str, wanted: str, reached: float, quick: bool) -> Claim:
    """A row; a quick run states what it reached and leaves open whether the claim holds."""
    return Claim(text, published, wanted, reached, None if quick or wanted == "report" else holds(reached, wanted))


def finish(title: str, claims: list[Claim], file: Path | None) -> int:
    """Print the table, write the rows, and give the exit code: 1 where a claim does not hold."""
    print(f"\n{title}\n")
    head = ("claim", "published", "wanted", "reached", "holds")
    said = {True: "yes", False: "NO", None: "-"}
    rows = [head] + [(c.claim, c.published, c.wanted, f"{c.reached:.4f}", said[c.holds]) for c in claims]
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    if file is not None:
        file.write_text(json.dumps([asdict(c) for c in claims], indent=2) + "\n")
    return 1 if any(c.holds is False for c in claims) else 0
