"""All experts of a run: what they learned, how much each counts, what they forecast together."""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64, Shaped

from fusionjax import files
from fusionjax.config import Config
from fusionjax.data.samples import Samples, TrainingData
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError
from fusionjax.experts import stack, walk_forward
from fusionjax.experts.cache import digest
from fusionjax.experts.features import Features
from fusionjax.experts.walk_forward import Available, Task
from fusionjax.heads.base import Scored
from fusionjax.heads.baseline import Learned
from fusionjax.parallel import processes
from fusionjax.types import Base

CACHE = "baselines"  # in data.prepared: what was learned, of baselines too
_FILE = "experts.npz"  # in the folder of a training


@dataclasses.dataclass(frozen=True)
class Experts:
    """Experts and how much each counts, with what it learned by each of some days.

    Attributes:
      until: datetime64[D] [K], ascending: a row is forecast by the last fit before its session.
      weight: by task and expert, those above 0, which add up to 1; and of a task whose experts
        may all lack a row, 0 of the one that stands in then.
      learned: by task and expert, of each fit.
    """

    until: Shaped[np.ndarray, "K"]
    weight: dict[Task, dict[str, float]]
    learned: dict[Task, dict[str, list[Learned]]]

    @property
    def used(self) -> "Experts":
        """Those with any weight."""
        used = {
            t: {k: x for k, x in e.items() if k in self.weight[t]} for t, e in self.learned.items()
        }
        return dataclasses.replace(self, learned=used)

    def save(self, folder: Path) -> None:
        """Writes them into a folder of a training, as arrays: nothing is pickled."""
        with files.replaced(folder / _FILE) as f:
            np.savez_compressed(f, allow_pickle=False, **self._arrays())

    @property
    def digest(self) -> str:
        """Tells them from others: a hash of what they learned and of how much each counts."""
        arrays = self._arrays()
        return digest(*(x for name in sorted(arrays) for x in (np.array(name), arrays[name])))

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {"until": self.until}
        index = []
        for (head, at), weight in self.weight.items():
            for name, share in weight.items():
                index.append([head, at, name, share])
                for k, learned in enumerate(self.learned[head, at][name]):
                    arrays |= {f"{len(index) - 1}/{k}/{part}": x for part, x in learned.items()}
        arrays["index"] = np.array(json.dumps(index))
        return arrays

    @staticmethod
    def read(folder: Path) -> "Experts | None":
        """Those of a training; None if it has none yet.

        Raises:
          InputError: the file is damaged.
        """
        path = folder / _FILE
        if not path.exists():
            return None
        stored = files.arrays(path)
        if stored is None or not {"until", "index"} <= stored.keys():
            raise InputError(
                f"{path}: damaged; it holds the experts that the run starts from: copy it from "
                "another seed of the run, or train again"
            )
        experts = Experts(stored.pop("until"), {}, {})
        for i, (head, at, name, share) in enumerate(json.loads(str(stored.pop("index")))):
            fits: list[Learned] = [{} for _ in experts.until]
            for key in [k for k in stored if k.startswith(f"{i}/")]:
                _, k, part = key.split("/", 2)
                fits[int(k)][part] = stored[key]
            experts.weight.setdefault((head, at), {})[name] = share
            experts.learned.setdefault((head, at), {})[name] = fits
        return experts

    def forecast(
        self, available: Available, task: Task, name: str, rows: Int64[np.ndarray, "S"]
    ) -> Float[np.ndarray, "S *value"]:
        """One expert's forecasts; NaN before its first fit."""
        market = available.windows.market
        head = available.windows.config.targets[task[0]]
        fit = np.searchsorted(self.until, market.session[rows]) - 1
        value = np.full((len(rows), *head.value_shape), np.nan)
        expert = available.one(task, name)
        for k in np.unique(fit[fit >= 0]).tolist():
            of_fit = fit == k
            value[of_fit] = expert.forecast(self.learned[task][name][k], market, rows[of_fit])
        return value

    def together(
        self, available: Available, task: Task, rows: Int64[np.ndarray, "S"]
    ) -> Float[np.ndarray, "S *value"]:
        """The weighted mean of a task's experts; of those that have a forecast, where some lack it;
        of none, that of the expert without weight. NaN where all lack it."""
        weight = np.array([*self.weight[task].values()])
        each = [self.forecast(available, task, name, rows) for name in self.weight[task]]
        return stack.combined(np.stack(each, 1), weight, int(weight.argmin()))


def tasks(config: Config) -> list[Task]:
    """Heads and horizons that can start from experts; those that others are scaled by first."""
    heads = sorted(config.stacked_heads.items(), key=lambda item: not item[1].is_scale)
    return [(name, at) for name, h in heads for at in range(len(h.horizons))]


def learned(available: Available, training_data: TrainingData, last: np.datetime64) -> Experts:
    """Fits experts walk-forward through a training period and weighs them by its meta set.

    Args:
      available: the experts, scaled by the trailing volatility: the others once that is forecast
        itself.
      training_data: what is learned from; its meta set weighs.
      last: the last day that may be learned from.

    Raises:
      InputError: ``distill.experts`` names one that no head has, or a file of
        ``distill.expert_files`` cannot be weighed.
    """
    assert training_data.meta is not None
    windows, samples = available.windows, training_data.all
    market, config = windows.market, windows.config
    days, parts = np.unique(market.session[samples.row]), config.distill.expert_fits
    cuts = [days[k * len(days) // parts - 1] for k in range(1, parts)]
    experts = Experts(np.array([*cuts, last], "datetime64[D]"), {}, {})
    first, scaled = samples.target_day.min(), False
    available.require_known()
    _require_weighable(available, training_data.meta)
    for task in tasks(config):
        if not (of_task := available.of(task)):
            continue
        folder = _cache(windows)
        by_name = walk_forward.fits(of_task, windows, task, first, experts.until, folder)
        experts = dataclasses.replace(experts, learned=experts.learned | {task: by_name})
        weight = _weights(experts, available, task, training_data.meta)
        experts = dataclasses.replace(experts, weight=experts.weight | {task: weight})
        if config.targets[task[0]].is_scale and not scaled:
            available = available.scaled_by(Stack(experts, available).log_scale)
            scaled = True
    return experts


def _require_weighable(available: Available, meta: Samples) -> None:
    """Refuses a file without a forecast to weigh, and files without an expert beside them."""
    config = available.windows.config
    files, by_task = config.distill.expert_files, {t: available.of(t) for t in tasks(config)}
    for name, (path, day) in files.items():
        available.declared(name).require_weighable(meta.row)
        if not any(name in of_task for of_task in by_task.values()):
            wanted = (f"{k} at {h.horizons} sessions" for k, h in config.stacked_heads.items())
            raise InputError(
                f"{path}: has no forecast after {day} that a head can start from; expected "
                f"{', '.join(wanted)}: write those (docs/peers.md), or drop "
                f"config.distill.expert_files.{name}"
            )
    for (head, _), of_task in by_task.items():
        if of_task and all(e.lacks_rows for e in of_task.values()):
            raise InputError(
                f"config.distill.experts has none of {head}, of which {', '.join(of_task)} may "
                "lack rows; expected one at least: add one to start those from"
            )


def _weights(experts: Experts, available: Available, task: Task, meta: Samples) -> dict[str, float]:
    """The experts of a task that count, by later data."""
    values, loss, days = _later(experts, available, task, meta)
    names, head = [*values], available.windows.config.targets[task[0]]
    first = _start(available, task, values, loss)
    together, horizon = np.stack([*values.values()], 1), head.horizons[task[1]]
    firm = first == head.simplest
    weight = stack.weigh(together, loss, days, horizon, names.index(first), firm)
    counts = {k: w for k, w in zip(names, weight.tolist(), strict=True) if w > 0}
    if all(available.one(task, k).lacks_rows for k in counts):
        counts[first] = 0.0
    return counts


def start(experts: Experts, available: Available, task: Task, meta: Samples) -> str:
    """The expert from which the weights of a task start: never one that may lack rows."""
    values, loss, _ = _later(experts, available, task, meta)
    return _start(available, task, values, loss)


def _start(
    available: Available,
    task: Task,
    values: dict[str, np.ndarray],
    loss: Callable[[np.ndarray], np.ndarray],
) -> str:
    simplest = available.windows.config.targets[task[0]].simplest
    if simplest in values:
        return simplest
    whole = [k for k in values if not available.one(task, k).lacks_rows]
    return min(whole, key=lambda k: loss(values[k]).mean())


def _later(
    experts: Experts, available: Available, task: Task, meta: Samples
) -> tuple[dict[str, np.ndarray], Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Of the meta samples with a label: each expert's forecast, the loss of one, the days."""
    windows, (name, at) = available.windows, task
    scored = Scored.of(name, meta, windows.market, windows.config, at)
    rows, label = scored.row[scored.known], scored.label[scored.known]
    names = [*experts.learned[task]]
    values = {k: experts.forecast(available, task, k, rows) for k in names}
    loss = available.one(task, names[0]).loss
    return values, lambda v: loss(v, label), scored.target_day[scored.known]


class Stack:
    """What experts forecast together, by row of the market; each row is computed once.

    Args:
      experts: of a run.
      available: the experts over the windows of the market, by any scale.
    """

    def __init__(self, experts: Experts, available: Available) -> None:
        self.experts, self._windows = experts, available.windows
        self.available = available.scaled_by(self.log_scale)
        self._hiding = {available.hidden: self}
        windows = self._windows
        for task, by_name in experts.learned.items():
            self.available.require_unchanged(task, by_name)
        scales = (t for t in experts.weight if windows.config.targets[t[0]].is_scale)
        self._scale = next(scales, None)
        self._by_task = {
            task: Features(windows, functools.partial(self._compute, task))
            for task in experts.weight
        }

    @staticmethod
    def over(windows: Windows, experts: Experts, hidden: frozenset[str] = frozenset()) -> "Stack":
        """Over windows from which some modalities may be missing."""
        return Stack(experts, Available(windows, windows.trailing, hidden))

    def _compute(self, task: Task, windows: Windows, rows: np.ndarray) -> np.ndarray:
        return self.experts.together(self.available, task, rows)

    def __call__(self, rows: Int64[np.ndarray, "S"]) -> Base:
        """The forecasts of all heads and horizons, and which of them there are."""
        value, known = {}, {}
        for name, head in self._windows.config.stacked_heads.items():
            shape = len(rows), len(head.horizons), *head.value_shape
            forecast = np.full(shape, np.nan, np.float32)
            for at in range(len(head.horizons)):
                if (name, at) in self._by_task:
                    forecast[:, at] = self._by_task[name, at](rows)
            known[name] = np.isfinite(forecast).reshape(*shape[:2], -1).all(-1)
            mask = known[name].reshape(*shape[:2], *(1,) * len(head.value_shape))
            value[name] = np.where(mask, forecast, np.float32(0))
        return Base(value, known)

    @property
    def files(self) -> list[str]:
        """The sums of files among the experts, as they are now: forecasts may have been added."""
        return self.available.sums

    def hiding(self, hidden: frozenset[str]) -> "Stack":
        """The same experts without some modalities."""
        read = frozenset(k for k in hidden if self._windows.config.modalities[k].channel_names)
        if read not in self._hiding:
            self._hiding[read] = Stack.over(self._windows, self.experts, read)
        return self._hiding[read]

    def log_scale(self, rows: Int64[np.ndarray, "S"]) -> Float[np.ndarray, "S"]:
        """The log volatility that rows are forecast; the trailing one where none is."""
        trailing = self._windows.trailing(rows).astype(float)
        if self._scale is None:
            return trailing
        value = self._by_task[self._scale](rows)
        return np.where(np.isfinite(value), value, trailing)


def started(windows: Windows, training_data: TrainingData, last: np.datetime64) -> Windows:
    """The windows of a new run with the forecasts of its experts; unchanged if it has none.

    Args:
      windows: of the data, scaled as the model's.
      training_data: what is learned from.
      last: the last day that may be learned from.

    Raises:
      InputError: nothing is held back that could weigh them.
    """
    config = windows.config
    if not config.stacked_heads:
        return windows
    if training_data.meta is None:
        raise InputError(
            f"config.distill.refit_fraction is {config.distill.refit_fraction}, which leaves no "
            "meta set to weigh distill.experts by; lower it or set distill.experts to ()"
        )
    available = Available(windows, windows.trailing)
    with processes.first_alone():  # the others find what it learned
        experts = learned(available, training_data, last).used
    return windows.starting_from(Stack(experts, available))


def kept(windows: Windows, folder: Path) -> Windows:
    """The windows with the experts of a training's folder, where they are written if it has none:
    a training that goes on must start from the same forecasts, wherever it was begun."""
    stored = Experts.read(folder)
    if stored is None:
        if processes.first() and windows.stack is not None:
            windows.stack.experts.save(folder)
        return windows
    return windows.starting_from(Stack.over(windows, stored))


def of_run(windows: Windows, folder: Path) -> Windows:
    """The windows with the experts of a training.

    Raises:
      InputError: its folder lacks them.
    """
    if not windows.config.stacked_heads:
        return windows
    stored = Experts.read(folder)
    if stored is None:
        raise InputError(
            f"{folder / _FILE}: missing; it holds the experts that the run starts from: copy it "
            "from another seed of the run, or train again"
        )
    return windows.starting_from(Stack.over(windows, stored))


def updated(windows: Windows, first: np.datetime64, until: np.datetime64) -> Windows:
    """The windows of an update: the parent's experts with a further fit, for the rows after it.

    Args:
      windows: of the update, with the parent's experts.
      first: first target day of all that is learned from.
      until: the last day of any label.
    """
    if windows.stack is None:
        return windows
    old, available = windows.stack.experts, windows.stack.available
    days, folder = np.array([until], "datetime64[D]"), _cache(windows)
    learned = {}
    with processes.first_alone():
        for task, by_name in old.learned.items():
            of_task = {name: available.one(task, name) for name in by_name}
            new = walk_forward.fits(of_task, windows, task, first, days, folder)
            learned[task] = {name: [*fits, *new[name]] for name, fits in by_name.items()}
    experts = Experts(np.append(old.until, until), old.weight, learned)
    return windows.starting_from(Stack(experts, available))


def _cache(windows: Windows) -> Path:
    return Path(windows.config.data.prepared) / CACHE
