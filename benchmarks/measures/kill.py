"""Commands killed with SIGKILL at random moments, started again, and what they left compared."""

import dataclasses
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measures import forked
from fusionjax import files
from fusionjax.errors import InputError
from fusionjax.train.checkpoint import Checkpoints

_PATIENCE = 1800.0  # seconds that a command may take


@dataclasses.dataclass(frozen=True)
class Kill:
    """One command's end.

    Attributes:
      command: the entry point's name.
      after: seconds since it was started.
      during: what it was at, as its files tell: ``save`` where a checkpoint was half written.
    """

    command: str
    after: float
    during: str


@dataclasses.dataclass(frozen=True)
class Campaign:
    """All kills, and what of the result is not as in the undisturbed run."""

    kills: list[Kill]
    rounds: int
    differing: list[str]

    def __str__(self) -> str:
        at = Counter(f"{k.command}: {k.during}" for k in self.kills)
        lines = [f"{len(self.kills)} kills in {self.rounds} round(s)"]
        lines += [f"  {n:3d}  {what}" for what, n in sorted(at.items())]
        same = "every array is bit for bit that of the undisturbed run"
        return "\n".join(lines + (self.differing or [same]))


def campaign(
    commands: Sequence[tuple[Sequence[str], int]], folder: Path, kills: int, *, seed: int = 0
) -> Campaign:
    """Runs commands one after the other, undisturbed, then with kills until there were enough.

    A moment is uniform over what the command takes undisturbed, its programs compiled before. A
    round begins in a new folder.

    Args:
      commands: arguments of each, beginning with the path of its script, and how often it is killed
        in a round at the most; they work in the folder that they are started in.
      folder: for all that they write.
      kills: at least so many.
      seed: of the moments.

    Raises:
      InputError: a command fails by itself.
    """
    rng, lives = np.random.default_rng(seed), _Lives(folder)
    lasts = [
        min(lives.whole(command, folder / name) for name in ("undisturbed", "again"))
        for command, _ in commands
    ]
    wanted, done = _left(folder / "undisturbed"), list[Kill]()
    rounds, differing = 0, list[str]()
    while len(done) < kills:
        place = folder / f"round_{rounds}"
        for (command, most), last in zip(commands, lasts, strict=True):
            for _ in range(min(most, kills - len(done))):
                kill = lives.killed(command, place, rng.uniform(0, last))
                if kill is None:
                    break  # it ended before
                done.append(kill)
            lives.whole(command, place)
        left = _left(place)
        differing += [
            f"round {rounds}: {name} differs"
            for name in sorted(wanted.keys() | left.keys())
            if wanted.get(name) != left.get(name)
        ]
        rounds += 1
    return Campaign(done, rounds, differing)


class _Lives:
    """Starts commands in processes that have imported everything before."""

    def __init__(self, folder: Path) -> None:
        compiled = str((folder / "compiled").absolute())
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", compiled)

    def _begin(self, command: Sequence[str], place: Path) -> BaseProcess:
        place.mkdir(parents=True, exist_ok=True)
        return forked.start(command, place, place / "said.log")

    def whole(self, command: Sequence[str], place: Path) -> float:
        """Lets a command come to its end; returns the seconds that it took."""
        begun, life = time.perf_counter(), self._begin(command, place)
        life.join(_PATIENCE)
        self._require_well(command, place, life)
        return time.perf_counter() - begun

    @staticmethod
    def _require_well(command: Sequence[str], place: Path, life: BaseProcess) -> None:
        if life.exitcode != 0:
            life.kill()
            said = (place / "said.log").read_text()[-2000:]
            raise InputError(f"{' '.join(command)} ended with {life.exitcode}:\n{said}")

    def killed(self, command: Sequence[str], place: Path, after: float) -> Kill | None:
        """Kills a command after so many seconds; None where it ended before."""
        before = _half_written(place)
        life = self._begin(command, place)
        life.join(after)
        if life.exitcode is not None:
            self._require_well(command, place, life)
            return None
        life.kill()
        life.join()
        return Kill(Path(command[0]).stem, after, _during(place, time.time() - after, before))


def _half_written(place: Path) -> set[Path]:
    return {*place.rglob("*.orbax-checkpoint-tmp*")}


def _during(place: Path, begun: float, before: set[Path]) -> str:
    """What the files say that was under way; what was half written before stays so for a while."""
    if _half_written(place) - before:
        return "save"
    signs = [found.stat().st_mtime for found in place.rglob("goodput.json")]
    return "steps" if max(signs, default=0.0) > begun else "before or after the steps"


def _left(place: Path) -> dict[str, Any]:
    """What commands left that must not depend on kills, by name: bits of checkpoints, scores."""
    left: dict[str, Any] = {}
    for found in sorted(place.rglob("checkpoints")):
        with Checkpoints(found.parent) as checkpoints:
            name = str(found.parent.relative_to(place))
            left |= {f"{name}: {path}": s for path, s in checkpoints.sums().items()}
            left[f"{name}: step"] = checkpoints.latest()
    for found in sorted(place.rglob("scores_*.json")):
        left[str(found.relative_to(place))] = json.loads(found.read_text())
    for found in sorted(place.rglob("manifest.json")):
        left[str(found.relative_to(place))] = json.loads(found.read_text())
    return left


def save(made: Campaign, path: Path) -> None:
    """Writes a campaign as JSON."""
    files.write_text(path, json.dumps(dataclasses.asdict(made), indent=1))
