"""Who read the labels of which days: a locked hold-out is read once, and every trial is counted.

A reading is recorded before anything is scored and again with its result, each time on disk before
a number is shown: in the ledger, beside the prepared data, and in the user's own folder. One that
was begun and never finished counts. Data is known by its labels, so another name, ledger, folder,
preparation or a period that overlaps is the same hold-out.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from fusionjax import chain, ledger
from fusionjax.config import Config
from fusionjax.data import provenance
from fusionjax.errors import InputError
from fusionjax.evaluate.inference import Forecaster
from fusionjax.evaluate.labels import Labels
from fusionjax.ledger import Record, Result, Subject

_LABELS = "labels"  # folder of the label files, beside the records
_NOT_A_SETTING = ("name", "evaluate.", "sweep.", "mesh.", "data.root", "data.prepared", "seed")
READ_AGAIN = "HOLD-OUT READ AGAIN"


@dataclasses.dataclass(frozen=True)
class Question:
    """Labels that a command wants to score something by.

    Attributes:
      kind: of the record.
      config: of the command.
      subject: what is scored.
      labels: of the days.
      trials: of each setting to be scored, what tells it from others.
      trained: configs of the runs to be scored: what they lock is locked.
      ledger: folder of the ledger; None where only the other places are known.
      encoders: pretrained ones of the data, see ``Market``.
    """

    kind: str
    config: Config
    subject: Subject
    labels: Labels
    trials: tuple[str, ...]
    trained: tuple[Config, ...] = ()
    ledger: Path | None = None
    encoders: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)

    def require_unread(self, *, at_most: int = 1) -> None:
        """Refuses, before any work, what ``begin`` would refuse.

        Args:
          at_most: how often the command will read the days; more than once is refused if locked.

        Raises:
          InputError: the days are of a locked hold-out that was read before.
        """
        known = records(self.config, self.ledger)
        self._refuse(overlapping(known, self.labels, self.config, self.ledger), at_most)

    def begin(self) -> "Reading":
        """Records that these labels are now read; only then may they be.

        Raises:
          InputError: the days are of a locked hold-out that was read before, or the record cannot
            be written.
        """
        with contextlib.ExitStack() as held:
            for place in sorted(_places(self.config, self.ledger), key=str):
                with contextlib.suppress(chain.Unwritable):  # said by ``_write``
                    held.enter_context(chain.locked(place))
            known = records(self.config, self.ledger)
            earlier = overlapping(known, self.labels, self.config, self.ledger)
            forced = self._refuse(earlier, 1)
            now = ledger.record(self.kind, self.config, self.subject, Result({}, {}))
            record = dataclasses.replace(
                now,
                finished=False,
                forced=forced,
                locked=tuple(p for p in self._locks(earlier) if _overlap(p, self.labels.days)),
                labels=self.labels.sum,
                days=self.labels.days,
                trials={trial: {} for trial in self.trials},
            )
            _write(self, record, chain.add)
        return Reading(self, record, tuple(earlier), self._elsewhere(known, earlier))

    def _elsewhere(self, known: list[Record], earlier: list[Record]) -> int:
        """How many other settings were scored on other days of the source."""
        source, ours = self.config.data.source, {r.id for r in earlier}
        others = (r for r in known if r.id not in ours and _source(r) == source and _reads(r))
        return len(trials_of(others).keys() - trials_of(earlier).keys() - set(self.trials))

    def _locks(self, earlier: Iterable[Record]) -> list[tuple[str, str]]:
        """First and last day of every hold-out that was ever locked in these data."""
        locks = [
            c.data.splits[name] for c in (self.config, *self.trained) for name in c.evaluate.locked
        ]
        return sorted({*locks, *(lock for r in earlier for lock in r.locked)})

    def _refuse(self, earlier: list[Record], at_most: int) -> bool:
        """Whether a locked hold-out is read again; an InputError unless that is asked for."""
        ours = self.labels.days
        for lock in self._locks(earlier):
            if not _overlap(lock, ours):
                continue
            inside = max(lock[0], ours[0]), min(lock[1], ours[1])
            before = [r for r in earlier if _overlap(inside, _days(r))]
            if not before and at_most == 1:
                continue
            if self.config.evaluate.read_again:
                return True
            raise InputError(
                f"config.evaluate.locked: {inside[0]} to {inside[1]} is of the hold-out "
                f"{lock[0]} to {lock[1]}. A hold-out is read once, and this "
                f"{_words(before, at_most)}. Choose other days; "
                "--config.evaluate.read_again=True reads it again, which every table and page "
                "then says"
            )
        return False


@dataclasses.dataclass(frozen=True)
class Reading:
    """A reading that was begun.

    Attributes:
      question: what is read.
      record: as begun.
      earlier: readings of some of its days, oldest first.
      elsewhere: how many other settings were scored on other days of the source.
    """

    question: Question
    record: Record
    earlier: tuple[Record, ...]
    elsewhere: int

    def finish(self, result: Result, trials: dict[str, dict[str, float]] | None = None) -> Record:
        """Records the result; only then may it be shown.

        Args:
          result: of the reading.
          trials: daily net returns of each trial, where there are any.

        Raises:
          InputError: it cannot be written.
        """
        record = dataclasses.replace(
            self.record,
            finished=True,
            metrics=result.metrics,
            cost=result.cost,
            daily=result.daily,
            suspect=result.suspect,
            trials=self.record.trials | (trials or {}),
        )
        _write(self.question, record, chain.append)
        return record

    @property
    def warnings(self) -> list[str]:
        """A line, if days of a locked hold-out were read more than once; and one, if a pretrained
        encoder may have read of these days."""
        q = self.question
        before = provenance.read_before(q.encoders, (q.config, *q.trained), q.labels.days)
        return [*read_again([*self.earlier, self.record]), *before]

    @property
    def count(self) -> str:
        """How many settings were scored on these days, in how many readings."""
        all_of_them = [*self.earlier, self.record]
        text = f"Trial {len(trials_of(all_of_them))} on these days, reading {len(all_of_them)}"
        return text + f" ({self.elsewhere} more settings on other days)" * bool(self.elsewhere)


def records(config: Config, ledger_folder: Path | None) -> list[Record]:
    """All records of all places, oldest first.

    Raises:
      InputError: a place is damaged.
    """
    by_id: dict[str, Record] = {}
    for place in _places(config, ledger_folder):
        for r in ledger.read(place):
            if r.id not in by_id or r.finished:
                by_id[r.id] = r
    return [by_id[key] for key in sorted(by_id)]


def overlapping(
    known: list[Record], labels: Labels, config: Config, ledger_folder: Path | None
) -> list[Record]:
    """The records that have read some of these labels.

    Of one whose labels are lost, the days decide; of one from before label sums, days and source.
    """
    places, result, answers = _places(config, ledger_folder), [], dict[str, bool]()

    def same(r: Record) -> bool:
        if r.labels and r.labels not in answers:
            stored = next(filter(None, (Labels.load(p / _LABELS, r.labels) for p in places)), None)
            answers[r.labels] = stored is None or stored.same_data(labels)
        return answers[r.labels] if r.labels else _source(r) == config.data.source

    for r in known:
        if _reads(r) and _overlap(_days(r), labels.days) and same(r):
            result.append(r)
    return result


def trials_of(readings: Iterable[Record]) -> dict[str, dict[str, float]]:
    """The settings that were scored, each once, with their daily net returns where known."""
    result: dict[str, dict[str, float]] = {}
    for r in readings:
        for trial, daily in (r.trials or {of_config(r.config): r.daily}).items():
            result[trial] = daily or result.get(trial, {})
    return result


def read_again(readings: list[Record]) -> list[str]:
    """A line for tables and pages, if a locked hold-out was read more than once."""
    forced = [r for r in readings if r.forced]
    if not forced:
        return []
    last = forced[-1]
    return [
        f"{READ_AGAIN}: days of a locked hold-out were read {len(readings)} times, "
        f"{len(forced)} of them forced, the last on {last.made} by {last.run}; no score on them "
        "is that of an unseen period"
    ]


def of_config(config: dict[str, object]) -> str:
    """What tells a setting from others where no trained parameters are known: its keys."""
    kept = {k: v for k, v in config.items() if not k.startswith(_NOT_A_SETTING)}
    return _sum(json.dumps(kept, sort_keys=True))


def of_run(run: Forecaster) -> str:
    """What tells a run, or forecasts of a file, from others."""
    return _sum(*run.identity())


def variant(trial: str, what: str) -> str:
    """What tells a variant of a setting from it and from others."""
    return _sum(trial, what)


def _words(before: list[Record], at_most: int) -> str:
    if not before:
        return f"command would read it {at_most} times"
    first = before[0]
    return (
        f"one was read {len(before)} time(s), first on {first.made} by {first.kind} {first.run} "
        f"as split {first.split[0]}"
    )


def _sum(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _reads(r: Record) -> bool:
    return bool(r.labels) or r.kind in ("evaluate", "sweep")  # of older versions


def _source(r: Record) -> object:
    return r.config["data.source"]


def _days(r: Record) -> tuple[str, str]:
    first, last = r.days or r.split[1:]
    return first, last


def _overlap(a: tuple[str, str], b: tuple[str, str]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]


def _places(config: Config, ledger_folder: Path | None) -> list[Path]:
    """Folders of records: the ledger, then those that no flag of a ledger moves."""
    others = [Path(config.data.prepared) / "readings", _own_folder()]
    return list(dict.fromkeys(p.resolve() for p in (ledger_folder, *others) if p is not None))


def _own_folder() -> Path | None:
    """Of the user, by the XDG base directory specification; None for a user without a home."""
    state = os.environ.get("XDG_STATE_HOME")
    try:
        folder = Path(state) if state else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return folder / "fusionjax" / "readings"


def _write(q: Question, record: Record, write: Callable[[Path, dict], object]) -> None:
    """Writes to the ledger, and to at least one other place: the data may lie on a full or
    read-only disk."""
    row, failed = dataclasses.asdict(record), list[chain.Unwritable]()

    def to(place: Path) -> None:
        with chain.writing(place):
            q.labels.save(place / _LABELS)
        write(place, row)

    if q.ledger is not None:
        to(q.ledger.resolve())
    others = [p for p in _places(q.config, None) if q.ledger is None or p != q.ledger.resolve()]
    for place in others:
        try:
            to(place)
        except chain.Unwritable as e:
            failed.append(e)
            print(f"{place}: cannot be written; recorded elsewhere", file=sys.stderr)
    if len(failed) == len(others):
        raise failed[0]
