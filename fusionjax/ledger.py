"""The record of all runs and their results: one file a record, for concurrent writers."""

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

from fusionjax import files
from fusionjax.config import Config, DataConfig
from fusionjax.config.renamed import KEYS
from fusionjax.errors import InputError
from fusionjax.registry import HEADS

_SETTINGS = 8  # columns in a wide table


@dataclasses.dataclass(frozen=True)
class Record:
    """One training, fine-tuning, evaluation or sweep point.

    Attributes:
      id: begins with the time, so that ids sort by it.
      kind: train, finetune, evaluate or sweep.
      name: the config's.
      run: the run folder, or the sweep of a point.
      parent: the run that this one started from, or empty.
      code: the commit, with + if files were changed, or the package's version.
      data: fingerprint of the prepared set.
      seeds: those trained or scored.
      split: name, first and last day of the split scored or trained on.
      metrics: by name.
      daily: net return by scored day, to correct Sharpe ratios for many trials.
      cost: seconds and other costs, by name.
      forced: whether a locked split was scored again.
      config: all settings, by dotted key.
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
    forced: bool = False
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
        split=(subject.split, *config.data.splits[subject.split]),
        metrics=result.metrics,
        daily=result.daily,
        cost=result.cost,
        forced=result.forced,
        config=flat(config),
        suspect=result.suspect,
    )


def flat(config: Config) -> dict[str, Any]:
    """All settings by dotted key."""
    rows = pd.json_normalize(json.loads(config.to_json())).to_dict("records")
    return {str(key): value for key, value in rows[0].items()}


def append(folder: Path, entry: Record) -> None:
    """Writes a record atomically."""
    files.write_text(folder / f"{entry.id}.json", json.dumps(dataclasses.asdict(entry)))


def read(folder: Path) -> list[Record]:
    """All records, oldest first.

    Raises:
      InputError: a file is not a ledger record.
    """
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            raw = json.loads(path.read_text())
            for key in ("seeds", "split", "suspect"):
                raw[key] = tuple(raw[key] if key != "suspect" else raw.get(key, ()))
            raw["config"] = {KEYS.get(k, k): v for k, v in raw["config"].items()}
            records.append(Record(**raw))
        except (json.JSONDecodeError, TypeError, KeyError, UnicodeDecodeError) as e:
            raise InputError(
                f"{path}: is not a ledger record ({e}); move it out of {folder}"
            ) from e
    return records


def scored_before(records: list[Record], data: DataConfig, split: str) -> list[Record]:
    """Evaluations of the same period of the same source."""
    period = (split, *data.splits[split])
    return [
        r
        for r in records
        if r.kind == "evaluate" and r.split == period and r.config["data.source"] == data.source
    ]


def require_unread(records: list[Record], config: Config, split: str) -> None:
    """Raises InputError where a locked split was scored before."""
    before = scored_before(records, config.data, split)
    if split in config.evaluate.locked and before:
        last = before[-1]
        raise InputError(
            f"config.evaluate.locked names {split}: a hold-out is read once, and this one was on "
            f"{last.made} ({last.run}, {len(before)} time(s) in all). Choose on another split; "
            "--force scores it again, and the ledger keeps both"
        )


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
                "split": r.split[0] + " (forced)" * r.forced + _marked(r),
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
