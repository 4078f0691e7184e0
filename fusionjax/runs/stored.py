"""Finds the runs under a folder and reads what each says of itself."""

import dataclasses
import functools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fusionjax import files
from fusionjax.adapt.serving import SERVING, Serving
from fusionjax.errors import InputError, nearest
from fusionjax.evaluate.inference import read_info
from fusionjax.evaluate.table import Scores
from fusionjax.registry import HEADS
from fusionjax.train import goodput
from fusionjax.train.goodput import FAILED, STOPPED
from fusionjax.train.run_info import RunInfo

TRAINING, DONE = "training", "done"
_SEED = "seed_"
# Folders inside a run, or beside the runs, that hold none.
_NO_RUNS = {"checkpoints", "damaged", "tensorboard", "lost", "compiled", "ledger", "groups"}


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """A run folder.

    Attributes:
      folder: of the run.
      seeds: its folders of seeds; the folder itself where it holds the checkpoints.
    """

    folder: Path
    seeds: tuple[Path, ...]

    @functools.cached_property
    def info(self) -> RunInfo | None:
        """The description in its first seed's checkpoint; None if no checkpoint can be read."""
        try:
            return read_info(self.folder)
        except InputError:
            return None

    @property
    def parent(self) -> Path | None:
        """The seed that its first one was fine-tuned from; None of a training."""
        origin = None if self.info is None else self.info.parent
        return None if origin is None else Path(origin.rpartition("@")[0])

    @property
    def steps(self) -> tuple[int, int]:
        """Updates made by the seed that is behind the others, and updates to make."""
        rows = [_goodput(seed) for seed in self.seeds]
        return min(((r["step"], r["steps"]) for r in rows if r), default=(0, 0))

    @property
    def state(self) -> str:
        """What its trainings do: one that runs or failed counts before one that is done."""
        if any(files.is_locked(seed) for seed in self.seeds):
            return TRAINING
        rows = [_goodput(seed) for seed in self.seeds]
        if any(row.get("state") == FAILED for row in rows):
            return FAILED
        done = all(row and row["step"] >= row["steps"] for row in rows)
        return DONE if done else STOPPED

    @property
    def scores(self) -> dict[str, Scores]:
        """The scores of each split, the newest first; a file that cannot be read is left out."""
        found = {}
        paths = self.folder.glob("scores_*.json")
        for path in sorted(paths, key=lambda p: p.stat().st_mtime, reverse=True):
            try:
                found[path.stem.removeprefix("scores_")] = Scores.read(path)
            except InputError:
                continue
        return found

    @property
    def last_score(self) -> str:
        """The first metric of the newest scores, in words; empty without scores."""
        for split, scores in self.scores.items():
            for table in scores.tables:
                values = table.rows[0].values
                for metric in HEADS[table.target].listed:
                    if metric in values:
                        mark = " SUSPECT" if scores.suspect and not scores.answer.strip() else ""
                        return f"{split} {metric} {values[metric]:.3f}{mark}"
        return ""

    @property
    def size(self) -> int:
        """Bytes of all its files; links are not followed."""
        return size(self.folder)


def find(root: Path) -> list[StoredRun]:
    """The runs under a folder, updates of services too, by name; links are not followed.

    Raises:
      InputError: there is none.
    """
    seeds: dict[Path, list[Path]] = {}
    for name, folders, inside in os.walk(root):
        folder = Path(name)
        if "checkpoints" in folders or goodput.FILE in inside:
            run = folder.parent if folder.name.startswith(_SEED) else folder
            seeds.setdefault(run, []).append(folder)
        folders[:] = sorted(set(folders) - _NO_RUNS)
    if not seeds:
        raise InputError(f"{root}: no run here; give the folder of the run folders with --runs")
    return [StoredRun(run, tuple(sorted(seeds[run], key=_number))) for run in sorted(seeds)]


def named(names: Iterable[str], root: Path, runs: list[StoredRun]) -> list[StoredRun]:
    """The runs of these names: paths, or relative to ``root``.

    Raises:
      InputError: a name is no run's folder.
    """
    known = {run.folder.resolve(): run for run in runs}
    found = []
    for name in names:
        paths = [path for path in (Path(name), root / name) if path.resolve() in known]
        if not paths:
            listed = [str(f) for run in runs for f in (run.folder, run.folder.relative_to(root))]
            raise InputError(
                f"{name}: no run under {root}{nearest(name, listed)}; fusionjax runs list shows "
                "them (--runs names another folder)"
            )
        if paths[0].is_symlink():
            raise InputError(f"{paths[0]}: is a link; give the run folder itself")
        found.append(known[paths[0].resolve()])
    return list(dict.fromkeys(found))


def children(run: StoredRun, runs: list[StoredRun]) -> list[StoredRun]:
    """The runs that were fine-tuned from one of its seeds."""
    own = run.folder.resolve()
    return [
        other
        for other in runs
        if other.parent is not None
        and own in (other.parent.resolve(), *other.parent.resolve().parents)
    ]


def services(root: Path) -> dict[Path, set[Path]]:
    """The services under a folder; of each the run that forecasts and the one that it would go
    back to, without links."""
    found = {}
    for name, folders, inside in os.walk(root):
        folders[:] = sorted(set(folders) - _NO_RUNS)
        if SERVING in inside:
            now = Serving.read(Path(name))
            found[Path(name)] = {Path(p).resolve() for p in (now.run, now.parent) if p}
    return found


def size(folder: Path) -> int:
    """Bytes of all files in a folder; links are not followed."""
    return sum(
        (Path(name) / file).lstat().st_size
        for name, _, inside in os.walk(folder)
        for file in inside
    )


def _goodput(seed: Path) -> dict[str, Any]:
    """What a training says of its progress; empty if it says nothing."""
    try:
        row = json.loads((seed / goodput.FILE).read_text())
        return {"step": int(row["step"]), "steps": int(row["steps"]), "state": row.get("state")}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _number(seed: Path) -> tuple[int, str]:
    digits = seed.name.removeprefix(_SEED)
    return (int(digits) if digits.isdecimal() else 0), seed.name
