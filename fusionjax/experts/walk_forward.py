"""Fits experts walk-forward: a row's forecast comes from labels that were known before it."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from fusionjax.config import DistillConfig
from fusionjax.data.samples import Samples, between
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError, nearest
from fusionjax.experts import features
from fusionjax.experts.cache import Cache, described, digest
from fusionjax.experts.from_files import Declared, FromFile
from fusionjax.experts.learners import learners
from fusionjax.heads.base import Head, Scale, Scored
from fusionjax.heads.baseline import Baseline, Learned
from fusionjax.registry import EXPERTS
from fusionjax.telemetry import progress_bar

Task = tuple[str, int]  # a head's name, and the number of one of its horizons
_HELD_OUT = 0.2  # of the sessions known to a fit, the latest: they choose its setting


class Available:
    """All experts there are for each head and horizon, over the same windows.

    Args:
      windows: of the data, scaled as the model's.
      scale: the log volatility that rows are forecast by the experts of volatility.
      hidden: modalities that are missing from their inputs.
    """

    def __init__(
        self, windows: Windows, scale: Scale, hidden: frozenset[str] = frozenset()
    ) -> None:
        self.windows, self.hidden, self._scale = windows, hidden, scale
        # Of an expert that reads all modalities nothing could be told apart from the network.
        self._inputs = features.Inputs.of(windows, hidden)
        self._declared: dict[str, Declared] = {}
        self._from_files: dict[tuple[Task, str], FromFile | None] = {}

    def scaled_by(self, scale: Scale) -> "Available":
        """The same experts, what they read included, by another scale."""
        other = copy.copy(self)
        other._scale = scale
        return other

    def of(self, task: Task) -> dict[str, Baseline]:
        """By name, the experts of ``distill.experts`` and of ``distill.expert_files``."""
        asked = self.windows.config.distill
        listed = {name: e for name, e in self._all(task).items() if name in asked.experts}
        files = {name: self._from_file(task, name) for name in asked.expert_files}
        return listed | {name: e for name, e in files.items() if e is not None}

    def one(self, task: Task, name: str) -> Baseline:
        """An expert that a run has weighed; no file but its own is read.

        Raises:
          InputError: it is not there any more.
        """
        if name in self.windows.config.distill.expert_files:
            expert: Baseline | None = self._from_file(task, name)
        else:
            expert = self._all(task).get(name)
        if expert is None:
            raise InputError(
                f"the run starts {task[0]} from the expert {name!r}, which is not there; expected "
                "it as at training: give the config, the code and the file it was trained with"
            )
        return expert

    def require_unchanged(self, task: Task, learned: dict[str, list[Learned]]) -> None:
        """Checks that files still hold what a run has learned from.

        Raises:
          InputError: one does not.
        """
        for name in learned.keys() & self.windows.config.distill.expert_files.keys():
            expert = self.one(task, name)
            assert isinstance(expert, FromFile)
            expert.require_unchanged(learned[name])

    @property
    def sums(self) -> list[str]:
        """sha256 of each file that was read."""
        return [self._declared[name].file.sha256 for name in sorted(self._declared)]

    def declared(self, name: str) -> Declared:
        """An entry of ``distill.expert_files``; its file is read once."""
        if name not in self._declared:
            windows = self.windows
            self._declared[name] = Declared.read(name, windows.config, windows.market)
        return self._declared[name]

    def _from_file(self, task: Task, name: str) -> FromFile | None:
        if (task, name) not in self._from_files:
            self._from_files[task, name] = self.declared(name).expert(self._head(task))
        return self._from_files[task, name]

    def _head(self, task: Task) -> Head:
        head: Head = self.windows.config.targets[task[0]].one(task[1])
        return head

    def _all(self, task: Task) -> dict[str, Baseline]:
        name, head = task[0], self._head(task)
        of_users = (EXPERTS[e](name, head) for e in EXPERTS)
        experts = (
            *head.baselines(),
            *learners(head, self._inputs),
            *head.scaled_experts(self._scale),
            *(e for e in of_users if e is not None),
        )
        return {e.name: e for e in experts}

    def require_known(self) -> None:
        """Checks the names of experts; a default one may be of a head that is not here.

        Raises:
          InputError: no head has an expert of a name in ``distill.experts``, or one has an expert
            of a name in ``distill.expert_files``.
        """
        config = self.windows.config
        known = {name: None for head in config.stacked_heads for name in self._all((head, 0))}
        for name in config.distill.experts:
            if name not in known and name not in DistillConfig().experts:
                raise InputError(
                    f"config.distill.experts names {name!r}; expected some of {', '.join(known)}"
                    f"{nearest(name, known)}"
                )
        for name in config.distill.expert_files:
            if name in known:
                raise InputError(
                    f"config.distill.expert_files has {name!r}; expected a name that no other "
                    "expert has: choose another"
                )


def fits(
    experts: dict[str, Baseline],
    windows: Windows,
    task: Task,
    first: np.datetime64,
    untils: Shaped[np.ndarray, "K"],
    cache: Path,
) -> dict[str, list[Learned]]:
    """What each expert of a task learned by each of some days.

    Args:
      experts: by name.
      windows: of the data.
      task: whose labels are learned.
      first: first target day.
      untils: datetime64[D], ascending: last days of anything that is learned.
      cache: folder of what was learned before.
    """
    from joblib import Parallel, delayed
    from threadpoolctl import threadpool_limits

    kept = Cache(cache)
    pasts = [_Past.of(windows, task, first, until) for until in untils]

    def one(name: str, past: _Past) -> Learned:
        key = past.key(experts[name])
        learned = kept.read(key)
        if learned is None:
            learned = past.fit(experts[name])
            kept.write(key, learned)
        return learned

    for expert in experts.values():
        expert.prepare(pasts[-1].all.row)  # once, not in every thread
    jobs = [(name, past) for name in experts for past in pasts]
    title = f"experts of {task[0]} {windows.config.targets[task[0]].horizons[task[1]]}d"
    by_name: dict[str, list[Learned]] = {name: [] for name in experts}
    with progress_bar() as bar, threadpool_limits(1):
        shown = bar.add_task(title, total=len(jobs), note="")
        parallel = Parallel(n_jobs=-1, prefer="threads", return_as="generator")
        for learned, (name, _) in zip(parallel(delayed(one)(*j) for j in jobs), jobs, strict=True):
            bar.update(shown, advance=1, note=name)
            by_name[name].append(learned)
    return by_name


@dataclasses.dataclass(frozen=True)
class _Past:
    """What is known of a task by a day: samples to learn from, and to choose a setting by."""

    until: np.datetime64
    all: Scored
    before: Scored
    before_until: np.datetime64
    after: Scored

    @staticmethod
    def of(windows: Windows, task: Task, first: np.datetime64, until: np.datetime64) -> "_Past":
        market, config = windows.market, windows.config
        samples = between(market, config, first, until)
        decided = market.session[samples.row]
        days = np.unique(decided)
        cut = days[int(len(days) * (1 - _HELD_OUT))] if len(days) else until

        def scored(part: Samples) -> Scored:
            return Scored.of(task[0], part, market, config, task[1])

        early = between(market, config, first, cut)
        late = samples.take(decided > cut)
        return _Past(until, scored(samples), scored(early), cut, scored(late))

    def fit(self, expert: Baseline) -> Learned:
        """Chooses the setting on the latest sessions and fits it to all."""
        setting = expert.settings[0]
        if len(expert.settings) > 1 and self.before.known.any() and self.after.known.any():
            losses = {}
            k, market = self.after.known, self.after.market
            for group in expert.groups:
                fitted = expert.fit_group(self.before, self.before_until, group)
                for candidate, learned in zip(group, fitted, strict=True):
                    value = expert.forecast(learned, market, self.after.row[k])
                    losses[candidate] = expert.loss(value, self.after.label[k]).mean()
            setting = min(expert.settings, key=lambda s: losses[s])
        return expert.fit(self.all, self.until, setting)

    def key(self, expert: Baseline) -> dict[str, Any]:
        """All that decides what an expert learns."""
        return {
            "data": self.all.market.fingerprint,
            "until": str(self.until),
            "labels": digest(self.all.row, self.all.known, self.all.label),
            "expert": described(expert),
            "inputs": expert.inputs(self.all.row),
        }
