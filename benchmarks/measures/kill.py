"""Kills commands with SIGKILL at random moments, restarts them and compares the results."""

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
      during: what it was doing, by its files: ``save`` if a checkpoint was half written.
    """

    command: str
    after: float
    during: str


@dataclasses.dataclass(frozen=True)
class Campaign:
    """All kills, and the results that differ from the undisturbed run."""

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
    rng, runner = np.random.default_rng(seed), _Commands(folder)
    durations = [
        min(runner.complete(command, folder / name) for name in ("undisturbed", "again"))
        for command, _ in commands
    ]
    expected, killed = _results(folder / "undisturbed"), list[Kill]()
    rounds, differing = 0, list[str]()
    while len(killed) < kills:
        place = folder / f"round_{rounds}"
        for (command, most), duration in zip(commands, durations, strict=True):
            for _ in range(min(most, kills - len(killed))):
                kill = runner.kill_after(command, place, rng.uniform(0, duration))
                if kill is None:
                    break  # it ended before
                killed.append(kill)
            runner.complete(command, place)
        results = _results(place)
        differing += [
            f"round {rounds}: {name} differs"
            for name in sorted(expected.keys() | results.keys())
            if expected.get(name) != results.get(name)
        ]
        rounds += 1
    return Campaign(killed, rounds, differing)


class _Commands:
    """Starts commands in processes that have imported everything before."""

    def __init__(self, folder: Path) -> None:
        compiled = str((folder / "compiled").absolute())
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", compiled)

    def _start(self, command: Sequence[str], place: Path) -> BaseProcess:
        place.mkdir(parents=True, exist_ok=True)
        return forked.start(command, place, place / "output.log")

    def complete(self, command: Sequence[str], place: Path) -> float:
        """Runs a command to its end; returns the seconds it took."""
        started, process = time.perf_counter(), self._start(command, place)
        process.join(_PATIENCE)
        self._require_well(command, place, process)
        return time.perf_counter() - started

    @staticmethod
    def _require_well(command: Sequence[str], place: Path, process: BaseProcess) -> None:
        if process.exitcode != 0:
            process.kill()
            output = (place / "output.log").read_text()[-2000:]
            raise InputError(f"{' '.join(command)} ended with {process.exitcode}:\n{output}")

    def kill_after(self, command: Sequence[str], place: Path, after: float) -> Kill | None:
        """Kills a command after so many seconds; None where it ended before."""
        before = _half_written(place)
        process = self._start(command, place)
        process.join(after)
        if process.exitcode is not None:
            self._require_well(command, place, process)
            return None
        process.kill()
        process.join()
        return Kill(Path(command[0]).stem, after, _during(place, time.time() - after, before))


def _half_written(place: Path) -> set[Path]:
    return {*place.rglob("*.orbax-checkpoint-tmp*")}


def _during(place: Path, started: float, before: set[Path]) -> str:
    """What was under way, by the files; leftovers of earlier kills (``before``) do not count."""
    if _half_written(place) - before:
        return "save"
    signs = [path.stat().st_mtime for path in place.rglob("goodput.json")]
    return "steps" if max(signs, default=0.0) > started else "before or after the steps"


def _results(place: Path) -> dict[str, Any]:
    """Results that must not depend on kills, by name: sums of checkpoints, scores, manifests."""
    results: dict[str, Any] = {}
    for path in sorted(place.rglob("checkpoints")):
        with Checkpoints(path.parent) as checkpoints:
            name = str(path.parent.relative_to(place))
            results |= {f"{name}: {path}": s for path, s in checkpoints.sums().items()}
            results[f"{name}: step"] = checkpoints.latest()
    for path in sorted(place.rglob("scores_*.json")):
        results[str(path.relative_to(place))] = json.loads(path.read_text())
    for path in sorted(place.rglob("manifest.json")):
        results[str(path.relative_to(place))] = json.loads(path.read_text())
    return results


def save(result: Campaign, path: Path) -> None:
    """Writes a campaign as JSON."""
    files.write_text(path, json.dumps(dataclasses.asdict(result), indent=1))
