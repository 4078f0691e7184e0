"""The record of all runs and their results, a chain of lines (``chain.py``)."""

import dataclasses
import datetime
import functools
import importlib.metadata
import itertools
import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd

from fusionjax import chain
from fusionjax.config import Config
from fusionjax.config.renamed import DROPPED, KEYS
from fusionjax.errors import InputError
from fusionjax.registry import HEADS

_SETTINGS = 8  # columns in a wide table


@dataclasses.dataclass(frozen=True)
class Record:
    """One training, fine-tuning, sweep point, or reading of labels to score something.

    Attributes:
      id: begins with the time, so that ids sort by it.
      kind: train, finetune, sweep, evaluate, ablate, gate, drift, or a study's name.
      name: the config's.
      run: the run folder, or the sweep of a point.
      parent: the run that this one started from, or empty.
      code: the commit, with + if files were changed, or the package's version.
      data: fingerprint of the prepared set.
      seeds: those trained or scored.
      split: name, first and last day of the split scored or trained on.
      metrics: by name.
      daily: net return by scored day, of the first run scored.
      cost: seconds and other costs, by name.
      forced: whether a locked hold-out was read again.
      config: all settings, by dotted key.
      finished: False while nothing is known but that scoring began; a killed command leaves it so.
      locked: first and last day of the locked hold-outs that the days belong to.
      labels: sum of the labels read (``evaluate/readings.py``); empty if none were, or before
        sums were recorded.
      days: first and last day of them.
      trials: the settings scored: a sum of what each is, and its net returns as ``daily``.
      suspect: leak alarms of its scores.
    """

    id: str
    kind: str
    name: str
    run: str
    parent: str
    code: str
    data: str
    seeds: tuple[int, ...]
    split: tuple[str, ...]
    metrics: dict[str, float]
    daily: dict[str, float]
    cost: dict[str, float]
    forced: bool
    config: dict[str, Any]
    finished: bool = True
    locked: tuple[tuple[str, str], ...] = ()
    labels: str = ""
    days: tuple[str, ...] = ()
    trials: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    suspect: tuple[str, ...] = ()

    @property
    def made(self) -> str:
        """Time of the record, UTC, to the minute."""
        return f"{self.id[:4]}-{self.id[4:6]}-{self.id[6:8]} {self.id[9:11]}:{self.id[11:13]}"


@dataclasses.dataclass(frozen=True)
class Subject:
    """The run that a record describes; see ``Record``."""

    run: str
    data: str
    seeds: tuple[int, ...]
    split: str
    parent: str = ""


@dataclasses.dataclass(frozen=True)
class Result:
    """The results of a run; see ``Record``."""

    metrics: dict[str, float]
    cost: dict[str, float]
    daily: dict[str, float] = dataclasses.field(default_factory=dict)
    suspect: tuple[str, ...] = ()


def record(kind: str, config: Config, subject: Subject, result: Result) -> Record:
    """A record with the current time."""
    now = datetime.datetime.now(datetime.UTC)
    return Record(
        id=f"{now:%Y%m%dT%H%M%S.%f}-{secrets.token_hex(3)}",
        kind=kind,
        name=config.name,
        run=subject.run,
        parent=subject.parent,
        code=_code_version(),
        data=subject.data,
        seeds=subject.seeds,
        split=(subject.split, *config.data.splits.get(subject.split, ())),
        metrics=result.metrics,
        daily=result.daily,
        cost=result.cost,
        forced=False,
        config=flat(config),
        suspect=result.suspect,
    )


def flat(config: Config) -> dict[str, Any]:
    """All settings by dotted key."""
    rows = pd.json_normalize(json.loads(config.to_json())).to_dict("records")
    return {str(key): value for key, value in rows[0].items()}


def append(folder: Path, entry: Record) -> None:
    """Appends a record; it is on disk when this returns.

    Raises:
      InputError: the folder cannot be written, or its records are not what was written.
    """
    if not chain.begun(folder):
        read(folder)  # what is no record of an older version must not be covered as one
    chain.append(folder, dataclasses.asdict(entry))


def read(folder: Path) -> list[Record]:
    """All records, oldest first; one that began and finished is there once.

    Raises:
      InputError: a file is not a ledger record, or one was removed, edited or moved.
    """
    by_id: dict[str, Record] = {}
    for path in chain.older(folder):
        try:
            entry = _record(json.loads(path.read_text()))
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            raise InputError(
                f"{path}: is not a ledger record ({e}); move it out of {folder}"
            ) from e
        by_id[entry.id] = entry
    for row in chain.read(folder):
        entry = _parsed(row)
        by_id[entry.id] = entry
    return [by_id[key] for key in sorted(by_id)]


@functools.lru_cache(8192)
def _parsed(row: bytes) -> Record:
    return _record(json.loads(row))


def _record(raw: Any) -> Record:
    for key in ("seeds", "split", "days", "suspect"):
        raw[key] = tuple(raw.get(key, ()))
    raw["locked"] = tuple((first, last) for first, last in raw.get("locked", ()))
    stored = raw["config"].items()
    raw["config"] = {KEYS.get(k, k): v for k, v in stored if k not in DROPPED}
    return Record(**raw)


def table(records: list[Record], wide: bool = True) -> pd.DataFrame:
    """One row a record, newest first: time, kind, run, split, main scores and cost.

    A wide one also has code, data, and the first eight settings in which the records differ.
    """
    metrics = [f"{name}: {metric}" for name in HEADS for metric in HEADS[name].listed]
    metrics.append("objective")
    settings = dict(itertools.islice(differences(records).items(), _SETTINGS)) if wide else {}
    rows = []
    for i, r in enumerate(records):
        rows.append(
            {
                "made": r.made,
                "kind": r.kind,
                "run": r.run,
                "split": r.split[0]
                + " (forced)" * r.forced
                + " (not finished)" * (not r.finished)
                + _marked(r),
                **{k.partition(": ")[2] or k: r.metrics[k] for k in metrics if k in r.metrics},
                "seconds": r.cost.get("seconds"),
            }
        )
        if wide:
            rows[-1] |= {"seeds": len(r.seeds), "code": r.code, "data": r.data[:12]}
        rows[-1] |= {key: str(values[i]) for key, values in settings.items()}
    return pd.DataFrame(rows[::-1]).set_index("made")


def _marked(r: Record) -> str:
    """Whether a leak alarm was raised by the scores of a record, and answered."""
    if not r.suspect:
        return ""
    answer = str(r.config.get("evaluate.leak_alarm_override", "")).strip()
    return f" (leak alarm answered: {answer})" if answer else " (SUSPECT: leak alarm)"


def differences(records: list[Record]) -> dict[str, list[Any]]:
    """Dotted keys whose values are not the same in all records, with each record's value."""
    keys = sorted({key for r in records for key in r.config})
    values = {key: [r.config.get(key) for r in records] for key in keys}
    return {key: v for key, v in values.items() if any(x != v[0] for x in v)}


@functools.cache
def _code_version() -> str:
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "errors.py")  # not another repository around us
        return git("describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        pass  # no git, or installed from a wheel
    try:
        return importlib.metadata.version("fusionjax")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
