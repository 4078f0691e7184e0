"""The calibration of a run as it stands, kept in its folder.

It moves on by the labels that matured since, and by nothing else: what it issues to a session is
what ``evaluation.calibrated`` gives to that session's samples, without their being forecast anew.
What is kept of a run, of data or of code that has changed since is not used but made anew.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Int64

from fusionjax import files
from fusionjax.config import Config
from fusionjax.data.store import Market
from fusionjax.evaluate.inference import Ensemble, Prediction
from fusionjax.experts.walk_forward import Task
from fusionjax.heads.base import Scored
from fusionjax.scores.calibration import Sequential
from fusionjax.telemetry import say

_FORMAT = 1
_ROWS = 65_536  # forecast at once while it moves on
_CHUNK = 1 << 20  # rows of a column that are hashed at once
_LIBRARIES = ("jax", "jaxlib", "numpy", "scipy")
_KEY, _DATA, _PREFIX, _SUM = "key", "data", "prefix", "sum"
_BEFORE: np.datetime64 = np.datetime64("0001-01-01", "D")

Predict = Callable[[Int64[np.ndarray, "S"]], Prediction]


class CalibrationState:
    """The calibrations of all heads and horizons, and what they issued to each session.

    Args:
      config: of the run.
      since: the first target day whose forecasts calibrate.

    Attributes:
      through: the last session whose labels are learned.
    """

    def __init__(self, config: Config, since: np.datetime64) -> None:
        self._config, self._since = config, since
        self.through: np.datetime64 = _BEFORE
        self._first = -1  # ordinal of the first session that anything was issued to
        self._process: dict[Task, Sequential] = {}
        for name, head in config.targets.items():
            for at in range(len(head.horizons)):
                if (process := head.one(at).calibration()) is not None:
                    self._process[name, at] = process
        self._issued: dict[Task, list[float]] = {task: [] for task in self._process}

    def move(self, market: Market, until: np.datetime64, predict: Predict) -> None:
        """Learns the labels that matured after ``through`` and by the close of ``until``.

        Args:
          market: data whose part up to ``through`` is that which was learned from.
          until: a session.
          predict: forecasts rows of the market, averaged over seeds.
        """
        new = (market.session > self.through) & (market.session >= self._since)
        bars = np.flatnonzero(new & (market.session <= until))
        bars = bars[np.argsort(market.ordinal[bars], kind="stable")]
        for block in _blocks(market.ordinal[bars]):
            self._move(market, bars[block], until, predict)
        self.through = max(self.through, until)

    def _move(
        self, market: Market, bars: Int64[np.ndarray, "K"], until: np.datetime64, predict: Predict
    ) -> None:
        """``move`` by whole sessions: all the bars of each, in their order."""
        rows, matured = {}, {}
        enough = market.forecast_rows(self._config.data.min_history)
        for name, at in self._process:
            row = bars - self._config.targets[name].horizons[at]
            there = row >= market.first_row[bars]
            row, bar = row[there], bars[there]
            counts = enough[row] & (market.session[row + 1] >= self._since)
            rows[name, at], matured[name, at] = row[counts], market.ordinal[bar[counts]]
        distinct = np.unique(np.concatenate([*rows.values(), np.empty(0, int)]).astype(int))
        prediction = predict(distinct) if len(distinct) else None
        sessions = np.unique(market.ordinal[bars])
        if self._first < 0:
            self._first = int(sessions[0])
        for task, row in rows.items():
            value = np.empty((0,))
            if prediction is not None:
                value = prediction.value[task[0]][np.searchsorted(distinct, row), task[1]]
            kept = self._kept(market, task, row, value, until)
            counts = ~np.isnan(kept).any(1)
            learned = row[counts], kept[counts], matured[task][counts]
            self._learn(market, task, sessions, *learned)

    def _kept(
        self,
        market: Market,
        task: Task,
        row: Int64[np.ndarray, "S"],
        value: Float[np.ndarray, "..."],
        until: np.datetime64,
    ) -> Float[np.ndarray, "S C"]:
        (name, at), columns = task, self._process[task].columns
        if not len(row):
            return np.empty((0, columns))
        head = self._config.targets[name].one(at)
        horizon = head.horizons[0]
        label, known = head.labels(market, row, horizon, until)
        day = market.session[row + 1]
        scored = Scored(market, self._config, row, day, horizon, label.astype(head.dtype), known)
        return np.asarray(head.kept(value.astype(float), scored))

    def _learn(
        self,
        market: Market,
        task: Task,
        sessions: Int64[np.ndarray, "N"],
        row: Int64[np.ndarray, "S"],
        kept: Float[np.ndarray, "S C"],
        matured: Int64[np.ndarray, "S"],
    ) -> None:
        process = self._process[task]
        first, last = np.searchsorted(matured, [sessions, sessions + 1])
        for session, a, b in zip(sessions.tolist(), first.tolist(), last.tolist(), strict=True):
            if a < b:
                issued = self.issued(task, market.ordinal[row[a:b]])
                process.learn(session, kept[a:b], issued)
            self._issued[task].append(process.issue(session))

    @property
    def tasks(self) -> list[Task]:
        """The heads and horizons that are calibrated."""
        return [*self._process]

    def issued(self, task: Task, session: Int[np.ndarray, "S"]) -> Float[np.ndarray, "S"]:
        """What a task's calibration issued to sessions (``Market.ordinal``); NaN before any."""
        values = np.array([*self._issued[task], np.nan])
        at = session - self._first
        return values[np.where((at >= 0) & (self._first >= 0), at, len(values) - 1)]

    def corrected(
        self, prediction: Prediction, market: Market, rows: Int64[np.ndarray, "S"]
    ) -> dict[str, np.ndarray | None]:
        """By head, the calibrated values [S, H, ...] of rows up to ``through``; None if it has no
        calibration."""
        by_head: dict[str, np.ndarray | None] = {}
        for name, head in self._config.targets.items():
            each = [
                head.one(at).corrected(
                    prediction.value[name][:, at].astype(float),
                    self.issued((name, at), market.ordinal[rows]),
                    head.one(at).scales(market, rows),
                )
                for at in range(len(head.horizons))
                if (name, at) in self._process
            ]
            by_head[name] = np.stack(each, 1) if each else None
        return by_head

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, for a file."""
        arrays = {"through": np.array(str(self.through)), "first": np.array(self._first)}
        for (name, at), process in self._process.items():
            parts = process.state() | {"issued": np.array(self._issued[name, at], float)}
            arrays |= {f"{name}/{at}/{part}": x for part, x in parts.items()}
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Goes on from ``arrays``."""
        self.through = np.datetime64(str(arrays["through"]), "D")
        self._first = int(arrays["first"])
        for (name, at), process in self._process.items():
            own = f"{name}/{at}/"
            parts = {k.removeprefix(own): x for k, x in arrays.items() if k.startswith(own)}
            self._issued[name, at] = parts.pop("issued").tolist()
            process.restore(parts)


def moved(
    ensemble: Ensemble,
    market: Market,
    config: Config,
    until: np.datetime64,
    hidden: frozenset[str] = frozenset(),
    *,
    keep: bool = True,
) -> CalibrationState:
    """The calibration of a run, moved to a session; what is kept of it is read, and kept again.

    Args:
      ensemble: the run.
      market: the data.
      config: of the run.
      until: the session.
      hidden: modalities that are treated as missing; they have a state of their own.
      keep: whether it is kept in the run's folder.
    """
    key, path = _key(ensemble, config, hidden), _path(ensemble, hidden)
    state = CalibrationState(config, ensemble.since)
    stored = _read(path, key, market) if keep else None
    if stored is not None:
        state.restore(stored)
    if until > state.through and until >= ensemble.since:
        state.move(market, until, lambda rows: ensemble.predict(rows, hidden))
        if keep:
            _write(path, key, market, state)
    return state


def _path(ensemble: Ensemble, hidden: frozenset[str]) -> Path:
    name = hashlib.sha256(json.dumps(sorted(hidden)).encode()).hexdigest()[:12]
    return Path(ensemble.source) / f"calibration{f'_without_{name}' if hidden else ''}.npz"


def _key(ensemble: Ensemble, config: Config, hidden: frozenset[str]) -> str:
    """Tells what is kept from that of another run, other settings and other code."""
    stack = ensemble.windows.stack
    parts = {
        "format": _FORMAT,
        "code": _code(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "run": ensemble.info.to_json(),
        "parameters": ensemble.identity(),
        "experts": None if stack is None else stack.experts.digest,
        "min_history": config.data.min_history,
        "hidden": sorted(hidden),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _code() -> str:
    """A hash of this package's sources: any of them may change what is forecast."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def _read(path: Path, key: str, market: Market) -> dict[str, np.ndarray] | None:
    """What is kept, if it is whole, of this run and code, and learned from this data."""
    if not path.exists():
        return None
    stored = files.arrays(path) or {}
    total = stored.pop(_SUM, None)
    if total is None or str(total) != _sum(stored):
        say(f"{path}: damaged; the calibration is made anew from all labels since training")
        return None
    data, prefix = str(stored.pop(_DATA)), str(stored.pop(_PREFIX))
    if str(stored.pop(_KEY)) != key:
        say(f"{path}: of another run or version; the calibration is made anew")
        return None
    if data != market.fingerprint and prefix != _prefix(
        market, np.datetime64(str(stored["through"]), "D")
    ):
        say(f"{path}: of data that has changed since; the calibration is made anew")
        return None
    return stored


def _write(path: Path, key: str, market: Market, state: CalibrationState) -> None:
    """Keeps it; a full or read-only disk is reported and does not end work."""
    identity = {_KEY: key, _DATA: market.fingerprint, _PREFIX: _prefix(market, state.through)}
    arrays = state.arrays() | {k: np.array(v) for k, v in identity.items()}
    with files.best_effort(path), files.replaced(path) as f:
        np.savez(f, allow_pickle=False, **arrays | {_SUM: np.array(_sum(arrays))})


def _sum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        x = arrays[name]
        digest.update(
            f"{name} {x.shape} {x.dtype.str}".encode() + np.ascontiguousarray(x).tobytes()
        )
    return digest.hexdigest()


def _prefix(market: Market, through: np.datetime64) -> str:
    """A hash of all that the data say up to a session, however it grows after it."""
    digest, rows = hashlib.sha256(), len(market.session)
    counts = np.zeros(len(market.symbols), int)
    columns = [market.session, market.decision_time, market.ohlcv, market.adj_close]
    columns += [market.channels, *([] if market.member is None else [market.member])]
    for start in range(0, rows, _CHUNK):
        part = slice(start, start + _CHUNK)
        keep = market.session[part] <= through
        counts += np.bincount(market.symbol[part][keep], minlength=len(counts))
        for column in columns:
            digest.update(np.ascontiguousarray(column[part][keep]).tobytes())
    named = [x for x in zip(market.symbols, counts.tolist(), strict=True) if x[1]]
    digest.update(json.dumps([*market.channel_names, named]).encode())
    for kind, items in market.items.items():
        shown = ("event_time", "available_time", "author", "embedding", "lexicon", "tokens")
        names = [n for n in (*shown, "length", "content", "decoded") if hasattr(items, n)]
        for part in _slices(len(items.bar)):
            bar = items.bar[part]
            keep = market.session[bar] <= through
            place = bar - market.first_row[bar]
            for column in (market.session[bar], place, *(getattr(items, n)[part] for n in names)):
                digest.update(np.ascontiguousarray(column[keep]).tobytes())
        digest.update(kind.encode())
    return digest.hexdigest()


def _slices(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, start + _CHUNK)


def _blocks(session: Int[np.ndarray, "K"]) -> Iterator[slice]:
    """Whole sessions of bars in their order, at most ``_ROWS`` bars or one session at once."""
    ends = np.flatnonzero(np.diff(session, append=session[-1:] + 1)) + 1
    start, end = 0, 0
    for stop in ends.tolist():
        if end > start and stop - start > _ROWS:
            yield slice(start, end)
            start = end
        end = stop
    if end > start:
        yield slice(start, end)
